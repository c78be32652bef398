"""The network EfficientNet-Lite0: pictures -> embeddings and class scores.

Source: Google's EfficientNet-Lite (2020): EfficientNet (Tan & Le, arXiv 1905.11946) without squeeze-and-excitation and
with ReLU6; trained on ImageNet. Shapes: B pictures, C channels, H height, W width.
"""

from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from avfusion.embedders.efficientnet_lite0.pictures import SIDE
from avfusion.embedders.pretrained.layers import Convolution
from avfusion.embedders.pretrained.weights import randomise
from avfusion.l3.untrained import fit_statistics, smooth_noise
from avfusion.system.seeds import derive_seed

NAME = "efficientnet_lite0"  # of the network within a weight file
SHIPPED = Path(__file__).parent / "efficientnet_lite0.safetensors"
EMBEDDING_SIZE = 1280
N_CLASSES = 1000
_EPSILON = 1e-3
_FIRST = 32
# (blocks, kernel, stride of the first block, widening, channels) of each stage
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_Convolution = partial(Convolution, epsilon=_EPSILON, ceiling=6.0)


class Bottleneck(nn.Module):
    """Inverted bottleneck: widen, filter each channel, narrow; plus the input where shapes allow.

    [B, n_in, H, W] -> [B, n_out, H / stride, W / stride]. Source: MobileNetV2 (Sandler et al., arXiv 1801.04381).
    """

    def __init__(self, n_in: int, n_out: int, kernel: int, stride: int, widening: int) -> None:
        super().__init__()
        wide = n_in * widening
        self.residual = stride == 1 and n_in == n_out
        self.widen = _Convolution(n_in, wide, 1) if widening > 1 else nn.Identity()
        self.filter = _Convolution(wide, wide, kernel, stride, depthwise=True)
        self.narrow = _Convolution(wide, n_out, 1, ceiling=0)

    def forward(self, inputs: Tensor) -> Tensor:
        """See the class."""
        outputs: Tensor = self.narrow(self.filter(self.widen(inputs)))
        return outputs.add_(inputs) if self.residual else outputs


class EfficientNetLite0(nn.Module):
    """Prepared pictures [B, 3, 224, 224] (see `pictures`) -> embeddings [B, 1280]; `logits` are the next step."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _Convolution(3, _FIRST, 3, 2)
        blocks: list[nn.Module] = []
        n_in = _FIRST
        for n_blocks, kernel, stride, widening, n_out in _STAGES:
            for index in range(n_blocks):
                blocks.append(Bottleneck(n_in, n_out, kernel, 1 if index else stride, widening))
                n_in = n_out
        self.blocks = nn.Sequential(*blocks)
        self.head = _Convolution(n_in, EMBEDDING_SIZE, 1)
        self.classify = nn.Linear(EMBEDDING_SIZE, N_CLASSES)

    def forward(self, pictures: Tensor) -> Tensor:
        """Embeddings [B, 1280], in [0, 6], of `pictures` [B, 3, 224, 224]."""
        inputs = pictures.to(self.classify.weight.dtype, memory_format=torch.channels_last)
        features: Tensor = self.head(self.blocks(self.stem(inputs)))
        return features.mean(dim=(2, 3))

    def logits(self, embeddings: Tensor) -> Tensor:
        """Scores [B, 1000] of ImageNet's classes before a softmax, from embeddings [B, 1280]."""
        logits: Tensor = self.classify(embeddings)
        return logits


def untrained_efficientnet_lite0(seed: int = 0) -> EfficientNetLite0:
    """EfficientNet-Lite0 with seeded random weights, and statistics for smooth noise in the range of real pictures."""
    generator = torch.Generator().manual_seed(derive_seed(NAME, "untrained", seed))
    network = EfficientNetLite0()
    randomise(network, generator)
    with torch.no_grad():
        fit_statistics(network, smooth_noise(3, (SIDE, SIDE), generator) * 2.0 - 1.0)
    return network
