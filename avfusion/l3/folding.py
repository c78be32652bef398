"""A subnetwork for inference only: the same function with its BatchNorms folded away.

A BatchNorm right after a convolution becomes part of its weights. Two kinds must stay, as a scale and
shift: the one on the input and the one after a ReLU, because the next convolution pads with zeros
*after* them. ReLU and max pooling commute, so ReLU runs on the smaller map.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from avfusion.l3.network import Subnetwork, pool_and_flatten

Affine = tuple[Tensor, Tensor]


class FoldedSubnetwork(nn.Module):
    """`Subnetwork` in evaluation mode, equal to it within rounding; [B, C, H, W] float32 -> [B, D] `dtype`.

    The input's BatchNorm always runs in float32: bf16 would round its decibels to steps of half a dB.
    """

    def __init__(self, subnetwork: Subnetwork, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.dtype = dtype
        self.config = subnetwork.config
        self.input_norm = _Affine(*_scale_and_shift(subnetwork.input_norm))
        self.convolutions = nn.ModuleList()
        self.late_norms = nn.ModuleDict()
        for index, convolution in enumerate(subnetwork.convolutions):
            norm = subnetwork.norms[index] if index < len(subnetwork.norms) else None
            late = index in self.config.relu_first
            self.convolutions.append(_folded(convolution, None if late else norm))
            if late:
                self.late_norms[str(index)] = _Affine(*_scale_and_shift(norm))
        self.convolutions.to(dtype)
        self.late_norms.to(dtype)
        self.eval().requires_grad_(False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Embeddings [B, D] of `inputs` [B, C, H, W]."""
        hidden = self.input_norm(inputs).to(dtype=self.dtype, memory_format=torch.channels_last)
        last = len(self.convolutions) - 1
        for index, convolution in enumerate(self.convolutions):
            hidden = convolution(hidden)
            if index == last:
                break
            late = str(index) in self.late_norms
            if late:
                hidden = self.late_norms[str(index)](functional.relu_(hidden))
            if index % 2 == 1:
                hidden = functional.max_pool2d(hidden, 2)
            if not late:
                hidden = functional.relu_(hidden)
        return pool_and_flatten(hidden, self.config.final_pool)


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
