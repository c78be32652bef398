"""Parity with openl3 0.4.2 (TensorFlow 2.15.1) on weights, sound and pictures that a recipe fixes.

data/recipe_golden.npz holds what the original computed. The recipe draws weights in network order from
numpy's RandomState (audio mel256 11, mel128 12, linear 13; image 14), as written below.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from avfusion.l3.api import L3
from avfusion.l3.loading import LoadedNetworks
from avfusion.l3.network import Subnetwork
from avfusion.l3.presets import SubnetworkConfig, openl3_config
from avfusion.l3.weights import State, build_subnetwork

GOLDEN = Path(__file__).parent / "data" / "recipe_golden.npz"
SEEDS = {"mel256": 11, "mel128": 12, "linear": 13}
TOLERANCE = {"mel256": 1e-5, "mel128": 1e-5, "linear": 1e-4}  # linear: a window with near-silent bins
SIZES = ("224x224", "240x320", "256x340", "360x480", "720x1280", "640x360")


@lru_cache(maxsize=1)
def golden() -> dict[str, Any]:
    with np.load(GOLDEN) as file:
        return dict(file)


@lru_cache(maxsize=1)  # the sizes of an embedding share the weights
def recipe_state(seed: int, convolutions: tuple[tuple[int, int], ...]) -> State:
    random = np.random.RandomState(seed)
    arrays: dict[str, Any] = {}

    def norm(name: str, n: int) -> None:
        arrays[f"{name}.weight"] = random.uniform(0.8, 1.2, n)
        arrays[f"{name}.bias"] = 0.1 * random.standard_normal(n)
        arrays[f"{name}.running_mean"] = 0.1 * random.standard_normal(n) - (40 if n == 1 else 0)
        arrays[f"{name}.running_var"] = random.uniform(0.8, 1.2, n) * (500 if n == 1 else 1)

    norm("input_norm", convolutions[0][0])
    for index, (n_in, n_out) in enumerate(convolutions):
        kernel = random.standard_normal((3, 3, n_in, n_out)) * np.sqrt(2 / (9 * n_in))
        arrays[f"convolutions.{index}.weight"] = kernel.transpose(3, 2, 0, 1)
        arrays[f"convolutions.{index}.bias"] = 0.05 * random.standard_normal(n_out)
        if index < len(convolutions) - 1:
            norm(f"norms.{index}", n_out)
    return {name: torch.from_numpy(array.astype(np.float32)) for name, array in arrays.items()}


def recipe_subnetwork(config: SubnetworkConfig, seed: int) -> Subnetwork:
    return build_subnetwork(config, recipe_state(seed, config.convolutions), "recipe")


def recipe_sound() -> Any:
    t = np.arange(int(1.7 * 48000)) / 48000
    chirp = 0.3 * np.sin(2 * np.pi * (200 * t + 900 * t**2))
    pulses = 0.2 * np.sin(2 * np.pi * 440 * t) * (np.sin(2 * np.pi * 3 * t) > 0)
    return (chirp + pulses + 0.05 * np.random.RandomState(7).standard_normal(len(t))).astype(np.float32)


def recipe_picture(height: int, width: int) -> Any:
    yy, xx = np.mgrid[:height, :width]
    channels = (0.5 + 0.5 * np.sin(xx / 17 + yy / 31), 0.5 + 0.5 * np.cos(xx / 23 - yy / 11), (xx % 64) / 64)
    return np.floor(255 * np.stack(channels, axis=-1)).astype(np.uint8)


def relative_error(values: Any, expected: Any) -> float:
    assert values.shape == expected.shape
    return float(np.linalg.norm(values.astype(np.float64) - expected) / np.linalg.norm(expected))


@pytest.mark.parametrize("size", [512, 6144])
@pytest.mark.parametrize("representation", ["mel256", "mel128", "linear"])
def test_sound(representation: str, size: int) -> None:
    config = openl3_config(representation, audio_size=size)
    network = recipe_subnetwork(config.audio, SEEDS[representation])
    loaded = LoadedNetworks({"audio": network}, {}, trained=True)
    for centred in (False, True):
        l3 = L3(config, loaded, torch.device("cpu"), "float32", hop=0.25, centred=centred)
        expected = golden()[f"audio_{representation}_{size}_center{int(centred)}"]
        # of the large embedding, only the first window is kept
        sound = recipe_sound() if size == 512 else recipe_sound()[: 24000 if centred else 48000]
        values = l3.embed_sound(sound, 48000).values
        assert relative_error(values, expected) <= TOLERANCE[representation]


@pytest.mark.parametrize("embedding_size", [512, 8192])
def test_pictures(embedding_size: int) -> None:
    config = openl3_config(image_size=embedding_size)
    loaded = LoadedNetworks({"image": recipe_subnetwork(config.image, 14)}, {}, trained=True)
    l3 = L3(config, loaded, torch.device("cpu"), "float32")
    for size in SIZES:
        height, width = map(int, size.split("x"))
        values = l3.embed_frames(recipe_picture(height, width)).values
        assert relative_error(values, golden()[f"image_{embedding_size}_{size}"]) <= 1e-5, size


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_every_precision_points_the_same_way(precision: str) -> None:
    """bf16 keeps 8 bits of a number: the direction must be right where the digits are not."""
    config = openl3_config()
    audio, image = recipe_subnetwork(config.audio, SEEDS["mel256"]), recipe_subnetwork(config.image, 14)
    loaded = LoadedNetworks({"audio": audio, "image": image}, {}, trained=True)
    l3 = L3(config, loaded, torch.device("cpu"), precision, hop=0.25)
    sound = l3.embed_sound(recipe_sound(), 48000).values
    picture = l3.embed_frames(recipe_picture(360, 480)).values
    for values, name in ((sound, "audio_mel256_512_center1"), (picture, "image_512_360x480")):
        expected = golden()[name].astype(np.float64)
        cosine = (values * expected).sum(1) / np.linalg.norm(values, axis=1) / np.linalg.norm(expected, axis=1)
        assert values.shape == expected.shape and cosine.min() >= 0.9999, cosine


def test_every_golden_is_compared() -> None:
    sound = {f"audio_{r}_{n}_center{c}" for r in SEEDS for n in (512, 6144) for c in (0, 1)}
    assert set(golden()) == sound | {f"image_{n}_{size}" for n in (512, 8192) for size in SIZES}
