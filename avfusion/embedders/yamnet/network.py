"""The network of YAMNet: log-mel patches -> embeddings and scores.

Source: Google's YAMNet (TensorFlow Hub google/yamnet/1), a MobileNet v1 (Howard et al., arXiv 1704.04861) trained on
AudioSet. Shapes: P patches, C channels.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from avfusion.embedders.pretrained.layers import Convolution
from avfusion.embedders.pretrained.weights import randomise
from avfusion.embedders.yamnet.frontend import N_MELS, PATCH_FRAMES
from avfusion.l3.untrained import fit_statistics, smooth_noise
from avfusion.system.seeds import derive_seed

NAME = "yamnet"  # of the network within a weight file
SHIPPED = Path(__file__).parent / "yamnet.safetensors"
EMBEDDING_SIZE = 1024
N_CLASSES = 521
_EPSILON = 1e-4
_FIRST = 32
# (stride of the depthwise convolution, channels of the pointwise one) of each pair
_PAIRS = ((1, 64), (2, 128), (1, 128), (2, 256), (1, 256), (2, 512), *[(1, 512)] * 5, (2, 1024), (1, 1024))


class YAMNet(nn.Module):
    """Log-mel patches [P, 96, 64] -> embeddings [P, 1024]; `scores` are the next step.

    A 3x3 convolution of stride 2, 13 pairs of a depthwise 3x3 and a pointwise convolution, each with BatchNorm and
    ReLU, and the mean over the map.
    """

    def __init__(self) -> None:
        super().__init__()
        layers = [Convolution(1, _FIRST, 3, 2, epsilon=_EPSILON)]
        n_in = _FIRST
        for stride, n_out in _PAIRS:
            layers.append(Convolution(n_in, n_in, 3, stride, epsilon=_EPSILON, depthwise=True))
            layers.append(Convolution(n_in, n_out, 1, epsilon=_EPSILON))
            n_in = n_out
        self.layers = nn.Sequential(*layers)
        self.classify = nn.Linear(EMBEDDING_SIZE, N_CLASSES)

    def forward(self, patches: Tensor) -> Tensor:
        """Embeddings [P, 1024], not negative, of `patches` [P, 96, 64]."""
        inputs = patches.unsqueeze(1).to(self.classify.weight.dtype, memory_format=torch.channels_last)
        features: Tensor = self.layers(inputs)
        return features.mean(dim=(2, 3))

    def scores(self, embeddings: Tensor) -> Tensor:
        """Probabilities [P, 521] of AudioSet's classes, each by itself, from embeddings [P, 1024]."""
        scores: Tensor = self.classify(embeddings).sigmoid()
        return scores


def untrained_yamnet(seed: int = 0) -> YAMNet:
    """YAMNet with seeded random weights, and statistics for smooth noise in the range of real patches."""
    generator = torch.Generator().manual_seed(derive_seed(NAME, "untrained", seed))
    network = YAMNet()
    randomise(network, generator)
    with torch.no_grad():
        fit_statistics(network, smooth_noise(1, (PATCH_FRAMES, N_MELS), generator)[:, 0] * 9.0 - 7.0)
    return network
