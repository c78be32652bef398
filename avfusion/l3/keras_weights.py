"""OpenL3's Keras HDF5 weight files, read by order, without TensorFlow and without pickle.

Layout (Keras 2): attribute `layer_names` in network order; each layer's group has `weight_names`.
BatchNorm layers hold gamma, beta, mean, variance; convolutions hold a kernel [height, width, in, out]
and a bias. Layers without weights and spectrogram layers (`*spectrogram*`) count for nothing.
"""

import gzip
import io
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from avfusion.errors import UserError
from avfusion.l3.download import LARGEST
from avfusion.l3.presets import Branch, SubnetworkConfig
from avfusion.l3.weights import State, expected_shapes
from avfusion.system.memory import MemoryLimit

Layer = tuple[str, list[npt.NDArray[np.float32]]]  # name, arrays in file order

_NORM_PARTS = ("weight", "bias", "running_mean", "running_var")
_CONVOLUTION_PARTS = ("weight", "bias")
_MOST_WEIGHTS = 2**23  # OpenL3's networks have 4.7 million


def read_layers(path: Path) -> list[Layer]:
    """The layers with weights in `path` (`.h5`, or `.h5.gz`), in network order.

    Raises UserError for a file that is damaged, has another layout, or claims more than any L3 network has.
    """
    import h5py

    from avfusion.system.hdf5_checks import ERRORS, line

    try:
        with MemoryLimit(), h5py.File(_unpacked(path) if path.suffix == ".gz" else path, "r") as file:
            return _layers_of(h5py.h5g.open(file.id, b"/"))
    except (*ERRORS, EOFError, zlib.error) as error:
        raise UserError(f"{path} cannot be read as Keras HDF5 weights ({line(error)}); is it damaged?") from None


def _unpacked(path: Path) -> io.BytesIO:
    with gzip.open(path) as packed:
        content = packed.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise ValueError(f"it unpacks to more than {LARGEST >> 20} MiB")
    return io.BytesIO(content)


def _layers_of(root: Any) -> list[Layer]:
    """All datasets are checked, and what they claim in all, before the first is read."""
    from avfusion.system.hdf5_checks import attribute, check_datasets, open_dataset, open_group, read

    if attribute(root, "layer_names") is None:
        root = open_group(root, "model_weights")
    layers = []
    for name in _texts(attribute(root, "layer_names")):
        layer = open_group(root, name)
        weights = _texts(attribute(layer, "weight_names"))
        if weights and "spectrogram" not in name:
            layers.append((name, [open_dataset(layer, weight) for weight in weights]))
    check_datasets([dataset for _, datasets in layers for dataset in datasets], _MOST_WEIGHTS)
    return [(name, [read(dataset) for dataset in datasets]) for name, datasets in layers]


def _texts(found: Any) -> list[str]:
    """The entries of an attribute that lists names; there may be one without any."""
    if found is None:
        raise ValueError("no lists of layers and weights")
    return [entry.decode() if isinstance(entry, bytes) else str(entry) for entry in np.atleast_1d(found)]


def branch_of(layers: list[Layer]) -> Branch:
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
