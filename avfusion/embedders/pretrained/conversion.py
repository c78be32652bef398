"""The weights of the published networks under the names, and in the layout, of ours."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from avfusion.embedders.yamnet.network import YAMNet
from avfusion.l3.weights import State

_YAMNET_LAYER = "layer-1/layer/_func/_yamnet/layer_with_weights-{}/{}/.ATTRIBUTES/VARIABLE_VALUE"
_LITE0_PARTS = {  # the port's names of a layer -> ours
    "_expand_conv": "widen.convolution",
    "_bn0": "widen.norm",
    "_depthwise_conv": "filter.convolution",
    "_bn1": "filter.norm",
    "_project_conv": "narrow.convolution",
    "_bn2": "narrow.norm",
}
_LITE0_ENDS = {
    "_conv_stem": "stem.convolution",
    "_bn0": "stem.norm",
    "_conv_head": "head.convolution",
    "_bn1": "head.norm",
    "_fc": "classify",
}


def yamnet_state(tensors: Mapping[str, npt.NDArray[np.float32]]) -> State:
    """YAMNet's weights from the variables of its checkpoint.

    Layers with weights are counted: a convolution and its BatchNorm in turn, and the classifier last. TensorFlow lays
    kernels out as [height, width, in, out], depthwise ones as [height, width, channel, 1].
    """
    state: State = {}
    n_layers = len(YAMNet().layers)

    def take(number: int, variable: str) -> Tensor:
        return torch.from_numpy(tensors[_YAMNET_LAYER.format(number, variable)].copy())

    for layer in range(n_layers):
        depthwise = layer % 2 == 1
        kernel = take(2 * layer, "depthwise_kernel" if depthwise else "kernel")
        state[f"layers.{layer}.convolution.weight"] = kernel.permute((2, 3, 0, 1) if depthwise else (3, 2, 0, 1))
        bias = take(2 * layer + 1, "beta")
        state[f"layers.{layer}.norm.weight"] = torch.ones_like(bias)  # the original has none
        state[f"layers.{layer}.norm.bias"] = bias
        state[f"layers.{layer}.norm.running_mean"] = take(2 * layer + 1, "moving_mean")
        state[f"layers.{layer}.norm.running_var"] = take(2 * layer + 1, "moving_variance")
    state["classify.weight"] = take(2 * n_layers, "kernel").T
    state["classify.bias"] = take(2 * n_layers, "bias")
    return state


def lite0_state(original: Mapping[str, Tensor]) -> State:
    """EfficientNet-Lite0's weights from the state dict of its PyTorch port: other names, the same tensors."""
    state: State = {}
    for name, tensor in original.items():
        layer, _, variable = name.rpartition(".")
        if variable == "num_batches_tracked":
            continue
        if layer.startswith("_blocks."):
            _, block, part = layer.split(".")
            state[f"blocks.{block}.{_LITE0_PARTS[part]}.{variable}"] = tensor
        else:
            state[f"{_LITE0_ENDS[layer]}.{variable}"] = tensor
    return state
