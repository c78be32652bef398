"""Seeded random weights for any preset, for use until trained ones exist.

Random convolutions with fitting BatchNorm statistics are a fair baseline of features; with statistics
that do not fit, most channels would be stuck on one side of their ReLU.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from avfusion.l3.network import Subnetwork
from avfusion.l3.presets import Branch, L3Config
from avfusion.system.device import one_thread
from avfusion.system.seeds import derive_seed

_CALIBRATION_INPUTS = 4


def untrained_subnetwork(config: L3Config, branch: Branch, seed: int = 0) -> Subnetwork:
    """A subnetwork in evaluation mode, fixed by preset, branch and `seed`.

    Kernels after He et al. (2015), zero biases; BatchNorm statistics from seeded smooth noise in the
    range of real inputs: decibels in [-80, 0] or pictures in [0, 1].
    """
    generator = torch.Generator().manual_seed(derive_seed("l3", "untrained", config.preset, branch, seed))
    network = Subnetwork(config.subnetwork(branch))
    with torch.no_grad(), one_thread():
        for convolution in network.convolutions:
            assert isinstance(convolution, nn.Conv2d) and convolution.bias is not None
            kernel = torch.randn(convolution.weight.shape, generator=generator)
            convolution.weight.copy_(kernel * (2.0 / (9 * convolution.in_channels)) ** 0.5)
            convolution.bias.zero_()
        inputs = smooth_noise(network.config.in_channels, network.config.input_size, generator)
        fit_statistics(network, inputs * 80.0 - 80.0 if branch == "audio" else inputs)
    return network


def smooth_noise(channels: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Noise [4, channels, *size] in [0, 1] with detail at every scale, like spectrograms and pictures."""
    noise = torch.zeros(_CALIBRATION_INPUTS, channels, *size)
    for cells in (2, 4, 8, 16, 32):
        coarse = torch.randn(_CALIBRATION_INPUTS, channels, cells, cells, generator=generator)
        noise += functional.interpolate(coarse, size, mode="bilinear", align_corners=False) / cells**0.5
    return torch.sigmoid(1.5 * noise)


def fit_statistics(network: nn.Module, inputs: Tensor) -> None:
    """Give every BatchNorm the mean and variance that `inputs` cause at its place."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    usual = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    network.train()
    network(inputs)
    network.eval()
    for norm, momentum in zip(norms, usual, strict=True):
        norm.momentum = momentum
