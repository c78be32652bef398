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
        self.kernel, self.stride, self.ceiling = kernel, stride, ceiling
        groups = n_in if depthwise else 1
        self.convolution = nn.Conv2d(n_in, n_out, kernel, stride, groups=groups, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(n_out, eps=epsilon)

    def forward(self, inputs: Tensor) -> Tensor:
        """See the class."""
        hidden: Tensor = self.norm(self.convolution(pad_same(inputs, self.kernel, self.stride)))
        if self.ceiling == 0:
            return hidden
        return functional.relu_(hidden) if self.ceiling is None else functional.hardtanh_(hidden, 0.0, self.ceiling)


def pad_same(inputs: Tensor, kernel: int, stride: int) -> Tensor:
    """TensorFlow's "same" padding of [B, C, H, W]: just enough zeros, an odd one at the bottom and the right."""
    padding: list[int] = []
    for size in (inputs.shape[3], inputs.shape[2]):
        total = max(0, (-(-size // stride) - 1) * stride + kernel - size)
        padding += [total // 2, total - total // 2]
    return functional.pad(inputs, padding) if any(padding) else inputs


def folded(network: Network, dtype: torch.dtype = torch.float32) -> Network:
    """A copy of `network` for inference in `dtype`: the same function with every BatchNorm within its convolution.

    Folded in float64, then rounded once. Weights lie channels last, which is how `forward` then computes.
    """
    copy = deepcopy(network).eval().double()
    for module in copy.modules():
        if isinstance(module, Convolution):
            assert isinstance(module.norm, nn.BatchNorm2d)
            module.convolution = fuse_conv_bn_eval(module.convolution, module.norm)
            module.norm = nn.Identity()
    return copy.to(dtype=dtype, memory_format=torch.channels_last).requires_grad_(False)
