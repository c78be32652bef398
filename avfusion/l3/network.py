"""The audio and the image subnetwork of L3-Net.

Source: Arandjelovic & Zisserman, "Look, Listen and Learn" (ICCV 2017), in the layout of OpenL3
(Cramer et al., ICASSP 2019). Shapes: B batch, C channels, H height (frequency or row), W width.
"""

from torch import Tensor, nn
from torch.nn import functional

from avfusion.l3.presets import SubnetworkConfig

NORM_EPSILON = 1e-3


class Subnetwork(nn.Module):
    """Spectrograms or pictures [B, C, H, W] -> embeddings [B, D].

    BatchNorm on the input; blocks of two 3x3 convolutions, each followed by BatchNorm and ReLU (ReLU
    and BatchNorm for those in `config.relu_first`), except that the very last convolution has neither;
    2x2 max pooling between blocks; one last max pooling. D is [H, W, C] of what is left, flattened.
    """

    def __init__(self, config: SubnetworkConfig) -> None:
        super().__init__()
        self.config = config
        shapes = config.convolutions
        self.input_norm = nn.BatchNorm2d(config.in_channels, eps=NORM_EPSILON)
        self.convolutions = nn.ModuleList(nn.Conv2d(n_in, n_out, 3, padding=1) for n_in, n_out in shapes)
        self.norms = nn.ModuleList(nn.BatchNorm2d(n_out, eps=NORM_EPSILON) for _, n_out in shapes[:-1])

    def feature_map(self, inputs: Tensor) -> Tensor:
        """What the last convolution gives for `inputs` [B, C, H, W]: [B, channels, H / 8, W / 8]."""
        hidden = self.input_norm(inputs)
        for index, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=False)):
            hidden = convolution(hidden)
            relu_first = index in self.config.relu_first
            hidden = norm(functional.relu(hidden)) if relu_first else functional.relu(norm(hidden))
            if index % 2 == 1:  # the second convolution of a block; the last block's is the very last
                hidden = functional.max_pool2d(hidden, 2)
        features: Tensor = self.convolutions[-1](hidden)
        return features

    def forward(self, inputs: Tensor) -> Tensor:
        """Embeddings [B, D] of `inputs` [B, C, H, W]."""
        return pool_and_flatten(self.feature_map(inputs), self.config.final_pool)


def pool_and_flatten(features: Tensor, pool: tuple[int, int]) -> Tensor:
    """Max pooling of [B, C, H, W] by `pool`, flattened channels-last: [row, column, channel]."""
    return functional.max_pool2d(features, pool).permute(0, 2, 3, 1).flatten(1)
