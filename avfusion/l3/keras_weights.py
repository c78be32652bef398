"""OpenL3's Keras HDF5 weight files, read by order, without TensorFlow and without pickle.

Layout (Keras 2): attribute `layer_names` in network order; each layer's group has `weight_names`.
BatchNorm layers hold gamma, beta, mean, variance; convolutions hold a kernel [height, width, in, out]
and a bias. Layers without weights and spectrogram layers (`*spectrogram*`) count for nothing.
"""

import gzip
import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from avfusion.errors import UserError
from avfusion.l3.presets import Modality, SubnetworkConfig
from avfusion.l3.weights import State, expected_shapes

Layer = tuple[str, list[npt.NDArray[np.float32]]]  # name, arrays in file order

_NORM_PARTS = ("weight", "bias", "running_mean", "running_var")
_CONVOLUTION_PARTS = ("weight", "bias")


def read_layers(path: Path) -> list[Layer]:
    """The layers with weights in `path` (`.h5`, or `.h5.gz`), in network order.

    Raises UserError for a file that is damaged or has another layout.
    """
    import h5py

    try:
        source = io.BytesIO(gzip.decompress(path.read_bytes())) if path.suffix == ".gz" else path
        with h5py.File(source, "r") as file:
            return _layers_of(file)
    except (OSError, EOFError, KeyError, ValueError, RuntimeError, TypeError, gzip.zlib.error) as error:  # type: ignore[attr-defined]
        reason = " ".join(str(error).split())
        raise UserError(f"{path} cannot be read as Keras HDF5 weights ({reason}); is it damaged?") from None


def _layers_of(file: Any) -> list[Layer]:
    root = file.get("model_weights", file)
    layers = []
    for name in map(_text, root.attrs["layer_names"]):
        weights = [_text(weight) for weight in root[name].attrs["weight_names"]]
        if weights and "spectrogram" not in name:
            layers.append((name, [np.asarray(root[name][weight], dtype=np.float32) for weight in weights]))
    return layers


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def modality_of(layers: list[Layer]) -> Modality:
    """Which subnetwork these layers belong to, by the first one's channels: 3 are a picture's."""
    return "image" if layers and layers[0][1][0].shape == (3,) else "audio"


def keras_state(layers: list[Layer], config: SubnetworkConfig, origin: str) -> State:
    """Layers in network order -> the state of a `Subnetwork` of this configuration.

    Raises UserError, naming `origin`, the layer and both shapes, where a layer does not fit.
    """
    modules = _modules_in_order(config)
    if len(layers) != len(modules):
        raise UserError(
            f"{origin} has {len(layers)} layers with weights; an L3 subnetwork has {len(modules)}: "
            "it is a file for another network, or damaged"
        )
    shapes = expected_shapes(config)
    state: State = {}
    for (name, arrays), module in zip(layers, modules, strict=True):
        parts = _CONVOLUTION_PARTS if module.startswith("convolutions") else _NORM_PARTS
        if len(arrays) != len(parts):
            raise UserError(f"{origin}: layer {name!r} has {len(arrays)} arrays; expected {len(parts)}")
        for part, array in zip(parts, arrays, strict=True):
            key = f"{module}.{part}"
            expected = shapes[key]
            if len(expected) == 4:  # Keras keeps [height, width, in, out], torch [out, in, height, width]
                expected = (*expected[2:], expected[1], expected[0])
            _check(array, expected, f"{origin}: layer {name!r} ({part})")
            ordered = array.transpose(3, 2, 0, 1) if array.ndim == 4 else array
            state[key] = torch.from_numpy(np.ascontiguousarray(ordered))
    return state


def _check(array: npt.NDArray[np.float32], expected: tuple[int, ...], what: str) -> None:
    if array.shape != expected:
        raise UserError(f"{what} has shape {array.shape}; expected {expected}: a file for another network")
    if not np.isfinite(array).all():
        raise UserError(f"{what} has values that are not finite; the file is damaged")
    if what.endswith("(running_var)") and (array < 0).any():
        raise UserError(f"{what} has negative variances; the file is damaged")


def _modules_in_order(config: SubnetworkConfig) -> list[str]:
    """Module names as the layers come: input norm, convolution, norm, ..., last convolution."""
    last = len(config.convolutions) - 1
    pairs = [[f"convolutions.{i}", f"norms.{i}"] for i in range(last)]
    return ["input_norm", *(name for pair in pairs for name in pair), f"convolutions.{last}"]
