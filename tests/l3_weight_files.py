"""Keras HDF5 weight files as Keras 2 writes them, for a small L3 subnetwork; for tests."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from avfusion.l3.presets import L3Config, SubnetworkConfig, openl3_config

Layers = list[tuple[str, list[tuple[str, Any]]]]


def small_openl3(**options: Any) -> L3Config:
    """OpenL3 with few channels, so that files stay small."""
    config = openl3_config(**options)
    channels = (2, 3, 4, 5)
    return replace(
        config,
        audio=replace(config.audio, block_channels=channels),
        image=replace(config.image, block_channels=channels),
    )


def keras_layers(config: SubnetworkConfig, seed: int = 0) -> Layers:
    """Names and arrays in network order, layers without weights included."""
    random = np.random.RandomState(seed)

    def norm(number: int, n: int) -> tuple[str, list[tuple[str, Any]]]:
        name = f"batch_normalization_{number}"
        parts = ("gamma", "beta", "moving_mean", "moving_variance")
        arrays = [random.standard_normal(n), *random.standard_normal((2, n)), random.uniform(0.5, 2, n)]
        return name, [(f"{name}/{part}:0", a.astype(np.float32)) for part, a in zip(parts, arrays, strict=True)]

    layers: Layers = [("input_1", []), ("melspectrogram", [("melspectrogram/filters:0", np.ones((3, 3)))])]
    layers.append(norm(0, config.in_channels))
    for index, (n_in, n_out) in enumerate(config.convolutions):
        name = f"conv2d_{index}" if index < 7 else "audio_embedding_layer"
        kernel = random.standard_normal((3, 3, n_in, n_out)).astype(np.float32)
        bias = random.standard_normal(n_out).astype(np.float32)
        layers.append((name, [(f"{name}/kernel:0", kernel), (f"{name}/bias:0", bias)]))
        if index < 7:
            layers += [norm(index + 1, n_out), (f"activation_{index}", [])]
    return layers


def write_keras(path: Path, layers: Layers, root: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        group = file.create_group(root) if root else file
        group.attrs["layer_names"] = [name.encode() for name, _ in layers]
        for name, weights in layers:
            layer = group.create_group(name)
            layer.attrs["weight_names"] = [weight.encode() for weight, _ in weights]
            for weight, array in weights:
                layer[weight] = array
    return path
