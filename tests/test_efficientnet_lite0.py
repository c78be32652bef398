"""EfficientNet-Lite0: the same numbers as the original's, and what it makes of any frame."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

from avfusion.embedders.efficientnet_lite0.network import NAME, SHIPPED, EfficientNetLite0, untrained_efficientnet_lite0
from avfusion.embedders.efficientnet_lite0.pictures import crop_frame, normalised, stream_crops
from avfusion.embedders.pretrained.layers import folded
from avfusion.embedders.pretrained.parity import cosine, lite0_pairs, pictures, relative_l2
from avfusion.embedders.pretrained.weights import load_weights
from avfusion.errors import UserError
from avfusion.l3.weights import weights_digest

GOLDEN = Path(__file__).parent / "data" / "lite0_golden.npz"
Frame = npt.NDArray[np.uint8]


@cache
def loaded() -> EfficientNetLite0:
    network = EfficientNetLite0()
    load_weights(network, NAME, SHIPPED)
    return network


@cache
def network() -> EfficientNetLite0:
    return folded(loaded())


def embed(crops: Frame) -> npt.NDArray[np.float32]:
    with torch.inference_mode():
        features: npt.NDArray[np.float32] = network()(normalised(crops)).numpy()
    return features


def scene(height: int, width: int) -> Frame:
    """Waves and some noise, so that resizing has something to do."""
    y, x = np.mgrid[:height, :width] / max(height, width)
    waves = np.stack([np.sin(40 * x + 9 * y), np.cos(25 * y - 30 * x), np.sin(60 * x * y)], axis=-1)
    noise = np.random.RandomState(height + width).randint(0, 60, (height, width, 3))
    return (97 * (1 + waves) + noise).astype(np.uint8)


@pytest.mark.parametrize("picture", ["pattern", "noise"])
def test_equals_the_original(picture: str) -> None:
    with np.load(GOLDEN) as golden:
        pairs = lite0_pairs(network(), dict(golden))
    for kind in ("features", "logits"):  # with the shipped weights, rounded to float16
        ours, theirs = pairs[f"{picture}|{kind}"]
        assert ours.shape == theirs.shape
        assert cosine(ours, theirs) >= 0.9999


def test_folding_changes_nothing() -> None:
    inputs = normalised(np.stack([crop_frame(scene(300, 400)), pictures()["pattern"]]))
    with torch.inference_mode():
        assert relative_l2(network()(inputs).numpy(), loaded()(inputs).numpy()) <= 1e-5
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in network().modules())


def test_untrained_weights_are_fixed_by_their_seed() -> None:
    network = untrained_efficientnet_lite0()
    digest = weights_digest({NAME: network})
    assert (
        digest
        == weights_digest({NAME: untrained_efficientnet_lite0()})
        != weights_digest({NAME: untrained_efficientnet_lite0(1)})
    )
    with torch.inference_mode():
        embeddings = folded(network)(normalised(crop_frame(scene(300, 400))[None]))
    assert 0.01 < embeddings.std() < 100
    assert (embeddings > 0).float().mean() > 0.7


def test_bf16_is_near() -> None:
    inputs = normalised(crop_frame(scene(300, 400))[None])
    with torch.inference_mode():
        coarse = folded(loaded(), torch.bfloat16)(inputs)
        assert coarse.dtype == torch.bfloat16
        assert cosine(coarse.float().numpy(), network()(inputs).numpy()) >= 0.999


def test_one_picture_equals_many_and_again() -> None:
    crops = np.stack(list(stream_crops([scene(240, 320), scene(320, 240), scene(224, 224)])))
    together = embed(crops)
    assert together.shape == (3, 1280)
    for index in range(3):
        np.testing.assert_allclose(embed(crops[index : index + 1])[0], together[index], rtol=1e-4, atol=1e-5)
    assert np.array_equal(embed(crops), together)


@pytest.mark.parametrize("value", [0, 255])
def test_black_and_white(value: int) -> None:
    crop = crop_frame(np.full((120, 160, 3), value, np.uint8))
    assert (crop == value).all()
    features = embed(crop[None])
    assert np.isfinite(features).all()
    assert 0 <= features.min() <= features.max() <= 6


@pytest.mark.parametrize(
    ("height", "width"),
    [(480, 640), (641, 481), (1080, 1920), (224, 224), (256, 341), (256, 256), (37, 53), (300, 1199)],
)
def test_crops_are_those_of_pillow(height: int, width: int) -> None:
    frame = scene(height, width)
    scaled_height, scaled_width = (int(256 * side / min(height, width)) for side in (height, width))
    resized: Any = Image.fromarray(frame).resize((scaled_width, scaled_height), Image.Resampling.BICUBIC)
    top, left = round((scaled_height - 224) / 2), round((scaled_width - 224) / 2)
    expected = np.asarray(resized)[top : top + 224, left : left + 224].astype(int)
    difference = np.abs(crop_frame(frame).astype(int) - expected)
    assert difference.max() <= 2
    assert difference.mean() < 0.01


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 5000), (5000, 3), (2, 300), (223, 1), (17, 4097)])
def test_any_size_gives_a_crop_of_one_size(height: int, width: int) -> None:
    crop = crop_frame(scene(height, width))
    assert crop.shape == (224, 224, 3)
    assert crop.dtype == np.uint8


def test_frames_that_do_not_lie_in_a_row() -> None:
    frame = scene(480, 640)
    assert np.array_equal(crop_frame(frame[::-1, ::2]), crop_frame(frame[::-1, ::2].copy()))


def test_values() -> None:
    crops = np.full((1, 224, 224, 3), 127, np.uint8)
    crops[0, 0, 0] = 255
    prepared = normalised(crops)
    assert prepared.shape == (1, 3, 224, 224)
    assert prepared[0, :, 0, 0].tolist() == [1, 1, 1]
    assert not prepared[0, :, 1:].any()


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (np.zeros((4, 4), np.uint8), r"a frame has shape \[4, 4\]; expected RGB"),
        (np.zeros((0, 4, 3), np.uint8), r"a frame has shape \[0, 4, 3\]; expected RGB"),
        (np.zeros((4, 4, 3), np.float32), "a frame has values of type float32; expected uint8"),
    ],
)
def test_other_frames_are_refused(frame: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        crop_frame(frame)
