"""What every embedder must do, whatever its network: called for each that there is, and by tests of families.

`load(weights=..., precision=...)` gives the embedder of one modality, on the processor.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from avfusion.embedders.base import PictureEmbedder, PortableEmbedder, SoundEmbedder, SplitPictures, SplitSound
from avfusion.errors import UserError

Values = NDArray[np.float32]
NEAR = 1e-4  # relative L2 of the same input in another batch
BF16_NEAR = 0.98  # cosine of bf16 with float32


def noise(seconds: float, rate: int = 48_000, channels: int = 2) -> Values:
    """Sound [n, channels] with something at every pitch."""
    samples = np.random.RandomState(0).standard_normal((round(seconds * rate), channels))
    return (0.1 * samples).astype(np.float32)


def waves(n_frames: int, height: int, width: int) -> NDArray[np.uint8]:
    """Pictures [N, H, W, 3] that differ, with detail of every size."""
    y, x = np.mgrid[:height, :width] / max(height, width)
    frames = [
        np.stack([np.sin(40 * x + i), np.cos(25 * y - 30 * x * i), np.sin(60 * x * y)], -1) for i in range(n_frames)
    ]
    speckles = np.random.RandomState(1).randint(0, 60, (n_frames, height, width, 3))
    return (97 * (1 + np.array(frames)) + speckles).astype(np.uint8)


def check_sound(load: Callable[..., SoundEmbedder], folder: Path, window: float = 1.0) -> None:
    """The contract of sound; `window` is how many seconds a window looks at, at most."""
    embedder = load()
    _check_provenance(embedder.provenance, embedder.name)
    assert embedder.hop > 0
    whole, rate = noise(2.5 * window), 48_000

    def embed(*blocks: Values, rate: int = rate, by: SoundEmbedder = embedder) -> Values:
        values = by.embed_audio(iter(blocks), rate)
        assert values.dtype == np.float32 and np.isfinite(values).all()
        assert values.shape == (by.n_windows(sum(map(len, blocks)), rate), values.shape[1])
        return values

    values = embed(whole)
    assert len(values) > 1 and values.std() > 0
    np.testing.assert_array_equal(embed(whole[:777], whole[777:20_000], whole[20_000:]), values)
    np.testing.assert_array_equal(embed(whole, by=load()), values)
    mono = whole.mean(axis=1, keepdims=True)
    assert distance(embed(mono), values) < NEAR and distance(embed(mono.repeat(5, axis=1)), values) < NEAR
    alone = embed(whole[: round(1.5 * window * rate)])
    assert distance(alone[:1], values[:1]) < NEAR  # a window is what it is in whatever company
    embed(np.zeros_like(whole))
    assert len(embed(whole[:100])) == 1  # 2 ms
    for other in (8_000, 44_100, 96_000):
        embed(noise(0.3, other, 1), rate=other)
    with pytest.raises(UserError, match=r"empty|short"):
        embedder.embed_audio([whole[:0]], rate)
    if isinstance(embedder, SplitSound):
        pieces = list(embedder.prepare_audio([whole], rate))
        np.testing.assert_array_equal(embedder.embed_prepared_audio([np.concatenate(pieces)]), values)
    if isinstance(embedder, PortableEmbedder):
        _check_portable(embedder, load, folder, lambda other: embed(whole, by=other), values)
    _check_bf16(load, lambda other: embed(whole[: round(window * rate)], by=other)[:1], values[:1])


def check_pictures(load: Callable[..., PictureEmbedder], folder: Path) -> None:
    """The contract of pictures."""
    embedder = load()
    _check_provenance(embedder.provenance, embedder.name)
    counts = [embedder.n_frames(seconds, max(1, round(5 * seconds))) for seconds in (0.01, 1.0, 10.0, 600.0)]
    assert counts[0] >= 1 and counts == sorted(counts)

    def embed(frames: NDArray[np.uint8], by: PictureEmbedder = embedder) -> Values:
        values = by.embed_video(iter(frames))
        assert values.dtype == np.float32 and np.isfinite(values).all()
        assert values.shape == (len(frames), values.shape[1])
        return values

    frames = waves(5, 300, 401)
    values = embed(frames)
    assert values.std() > 0
    np.testing.assert_array_equal(embed(frames, by=load()), values)
    assert distance(embed(frames[4:]), values[4:]) < NEAR  # a picture is what it is in whatever company
    for shade in (0, 255):
        embed(np.full((1, 120, 160, 3), shade, np.uint8))
    for height, width in ((37, 53), (641, 481), (224, 224), (256, 341), (16, 300)):
        embed(waves(1, height, width))
    with pytest.raises(UserError, match="no frames"):
        embedder.embed_video([])
    if isinstance(embedder, SplitPictures):
        pictures = list(embedder.prepare_video(iter(frames)))
        assert len({(picture.shape, picture.dtype) for picture in pictures}) == 1
        np.testing.assert_array_equal(embedder.embed_prepared_video(np.stack(pictures)), values)
    if isinstance(embedder, PortableEmbedder):
        _check_portable(embedder, load, folder, lambda other: embed(frames, by=other), values)
    _check_bf16(load, lambda other: embed(frames[:1], by=other), values[:1])


def distance(found: Values, expected: Values) -> float:
    """Relative L2."""
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def _check_provenance(provenance: dict[str, Any], name: str) -> None:
    assert {"name", "weights", "trained", "precision", "device"} <= set(provenance)
    assert json.loads(json.dumps(provenance)) == provenance
    assert provenance["name"] == name


def _check_portable(
    embedder: Any, load: Callable[..., Any], folder: Path, embed: Callable[[Any], Values], values: Values
) -> None:
    """With the weights that it wrote it is the same one."""
    file = folder / "carried.safetensors"
    embedder.save_weights(file)
    again = load(weights=str(file))
    np.testing.assert_array_equal(embed(again), values)
    assert again.provenance["weights_files"] == [str(file)]
    assert again.provenance["trained"] is True


def _check_bf16(load: Callable[..., Any], embed: Callable[[Any], Values], values: Values) -> None:
    """Near float32 where the machine can do it; else one line says so."""
    try:
        coarse = load(precision="bf16")
    except UserError as error:
        assert "bf16" in str(error)
        return
    assert coarse.provenance["precision"] == "bf16"
    found = embed(coarse)
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(values, axis=1)
    assert ((found * values).sum(axis=1) / lengths).min() > BF16_NEAR
    with pytest.raises(UserError, match="unknown precision 'int8'"):
        load(precision="int8")
