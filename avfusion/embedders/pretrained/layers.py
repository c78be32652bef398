"""Convolutions as TensorFlow computes them, and the same network with its BatchNorms folded away.

Shapes: B batch, C channels, H height, W width.
"""

from copy import deepcopy
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

Network = TypeVar("Network", bound=nn.Module)


class Convolution(nn.Module):
    """Convolution, BatchNorm, and a ReLU: [B, n_in, H, W] -> [B, n_out, ceil(H / stride), ceil(W / stride)].

    Args:
        n_in, n_out: channels.
        kernel, stride: pixels, the same along both axes.
        epsilon: what BatchNorm adds to the variance.
        depthwise: every channel by itself (n_out equals n_in).
        ceiling: the ReLU's largest value; None for no limit, 0 for no ReLU.
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        kernel: int,
        stride: int = 1,
        *,
        epsilon: float,
        depthwise: bool = False,
        ceiling: float | None = None,
    ) -> None:
        super().__init__()
        self.ceiling = ceiling
        groups = n_in if depthwise else 1
        self.convolution = nn.Conv2d(n_in, n_out, kernel, stride, groups=groups, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(n_out, eps=epsilon)

    def forward(self, inputs: Tensor) -> Tensor:
        """See the class."""
        hidden: Tensor = self.norm(_convolve_same(inputs, self.convolution))
        if self.ceiling == 0:
            return hidden
        return functional.relu_(hidden) if self.ceiling is None else functional.hardtanh_(hidden, 0.0, self.ceiling)


def _convolve_same(inputs: Tensor, convolution: nn.Conv2d) -> Tensor:
    """A convolution of [B, C, H, W] with TensorFlow's "same" padding: just enough zeros, an odd one bottom and right.

    torch pads both sides alike. Where an odd zero is left, both sides get a whole stride more than what is due at the
    top, and the first output is dropped: almost twice as fast as a padded copy of the inputs.
    """
    padding, wanted = [], []
    for size, kernel, stride in zip(inputs.shape[2:], convolution.kernel_size, convolution.stride, strict=True):
        n_out = -(-size // stride)
        zeros = max(0, (n_out - 1) * stride + kernel - size)
        surplus = zeros % 2
        padding.append(zeros // 2 + surplus * stride)
        wanted.append(slice(surplus, surplus + n_out))
    weight, bias, groups = convolution.weight, convolution.bias, convolution.groups
    outputs = functional.conv2d(inputs, weight, bias, convolution.stride, padding, groups=groups)
    return outputs[:, :, wanted[0], wanted[1]]


def folded(network: Network, dtype: torch.dtype = torch.float32) -> Network:
    """A copy of `network` for inference in `dtype`: the same function with every BatchNorm within its convolution.

    Folded in float64, then rounded once. Weights lie channels last, where convolutions are fastest.
    """
    copy = deepcopy(network).eval().double()
    for module in copy.modules():
        if isinstance(module, Convolution):
            assert isinstance(module.norm, nn.BatchNorm2d)
            module.convolution = fuse_conv_bn_eval(module.convolution, module.norm)
            module.norm = nn.Identity()
    for weight in copy.to(dtype).requires_grad_(False).parameters():
        if weight.ndim == 4:
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    return copy
