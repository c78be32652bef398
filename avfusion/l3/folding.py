"""A subnetwork for inference only: the same function with its BatchNorms folded away.

A BatchNorm right after a convolution becomes part of its weights. Two kinds must stay, as a scale and
shift: the one on the input and the one after a ReLU, because the next convolution pads with zeros
*after* them. ReLU and max pooling commute, so ReLU runs on the smaller map.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from avfusion.l3.network import Subnetwork, pool_and_flatten
from avfusion.l3.winograd import WinogradLayer, winograd_layers

Affine = tuple[Tensor, Tensor]


class FoldedSubnetwork(nn.Module):
    """`Subnetwork` in evaluation mode, equal to it within rounding; [B, C, H, W] float32 -> [B, D] `dtype`.

    The input's BatchNorm always runs in float32: bf16 would round its decibels to steps of half a dB.

    Args:
        subnetwork: what to fold.
        dtype: of the convolutions.
        winograd: convolve by `avfusion.l3.winograd` where that pays, in float32 on processors.
    """

    def __init__(self, subnetwork: Subnetwork, dtype: torch.dtype = torch.float32, *, winograd: bool = False) -> None:
        super().__init__()
        self.dtype = dtype
        self.config = subnetwork.config
        self.input_norm = _Affine(*_scale_and_shift(subnetwork.input_norm))
        self.layers = nn.ModuleList()
        by_winograd = winograd_layers(self.config) if winograd else frozenset()
        for index, convolution in enumerate(subnetwork.convolutions):
            norm = subnetwork.norms[index] if index < len(subnetwork.norms) else None
            late = _scale_and_shift(norm) if index in self.config.relu_first else None
            folded = _folded(convolution, None if late else norm)
            last = index == len(subnetwork.convolutions) - 1
            kind = WinogradLayer if index in by_winograd else _DirectLayer
            self.layers.append(kind(folded, relu=not last, norm=late, pool=index % 2 == 1 and not last))
        self.layers.to(dtype)
        self.eval().requires_grad_(False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Embeddings [B, D] of `inputs` [B, C, H, W]."""
        hidden = self.input_norm(inputs).to(dtype=self.dtype, memory_format=torch.channels_last)
        for layer in self.layers:
            hidden = layer(hidden)
        return pool_and_flatten(hidden, self.config.final_pool)


class _DirectLayer(nn.Module):
    """A convolution, then ReLU unless it is the last, a BatchNorm that cannot be folded, and 2x2 max pooling."""

    def __init__(self, convolution: nn.Conv2d, *, relu: bool, norm: Affine | None, pool: bool) -> None:
        super().__init__()
        self.convolution, self.relu, self.pool = convolution, relu, pool
        self.norm = None if norm is None else _Affine(*norm)

    def forward(self, hidden: Tensor) -> Tensor:
        hidden = self.convolution(hidden)
        if self.norm is not None:
            hidden = self.norm(functional.relu_(hidden))
        if self.pool:
            hidden = functional.max_pool2d(hidden, 2)
        return functional.relu_(hidden) if self.relu and self.norm is None else hidden


class _Affine(nn.Module):
    """x * scale + shift per channel of [B, C, H, W]."""

    scale: Tensor
    shift: Tensor

    def __init__(self, scale: Tensor, shift: Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", scale.float().view(1, -1, 1, 1))
        self.register_buffer("shift", shift.float().view(1, -1, 1, 1))

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.addcmul(self.shift, inputs, self.scale)


def _scale_and_shift(norm: nn.Module | None) -> Affine:
    """BatchNorm in evaluation mode as float64 (scale [C], shift [C])."""
    if not isinstance(norm, nn.BatchNorm2d) or norm.running_mean is None or norm.running_var is None:
        raise TypeError("expected a BatchNorm2d with running statistics")
    scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    return scale, norm.bias.double() - norm.running_mean.double() * scale


def _folded(convolution: nn.Module, norm: nn.Module | None) -> nn.Conv2d:
    """A copy of `convolution` that also does what `norm` does to its output."""
    if not isinstance(convolution, nn.Conv2d) or convolution.bias is None:
        raise TypeError("expected a Conv2d with bias")
    folded = nn.Conv2d(convolution.in_channels, convolution.out_channels, 3, padding=1)
    with torch.no_grad():
        weight, bias = convolution.weight.double(), convolution.bias.double()
        if norm is not None:
            scale, shift = _scale_and_shift(norm)
            weight, bias = weight * scale.view(-1, 1, 1, 1), bias * scale + shift
        folded.weight.copy_(weight)
        folded.weight.data = folded.weight.data.contiguous(memory_format=torch.channels_last)
        assert folded.bias is not None
        folded.bias.copy_(bias)
    return folded
