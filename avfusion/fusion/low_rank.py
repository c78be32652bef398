"""Low-rank tensor fusion: every product of a value of the sound with one of the picture, through few factors."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from avfusion.fusion.base import FusionNetwork, Shape
from avfusion.fusion.blocks import DROPOUT, Dropout
from avfusion.fusion.hyperparameters import Whole


class LowRankFusion(FusionNetwork):
    """Means over time, LayerNorm: a, v. h = sum over r of (Fa_r [a; 1]) * (Fv_r [v; 1]) + b; Dropout; Linear.

    The 1 keeps each modality by itself among the products. Inputs are normalised because products explode.
    """

    id = "low_rank"
    title = "low-rank tensor fusion"
    source = "Liu et al., Efficient low-rank multimodal fusion with modality-specific factors, arXiv 1806.00064"
    order = 12
    hyperparameters: ClassVar = {
        "dropout": DROPOUT,
        "hidden": Whole(128, low=1, high=8192, search=(64, 128, 256)),
        "rank": Whole(8, low=1, high=1024, search=(4, 8, 16)),
    }

    def __init__(self, shape: Shape, *, dropout: float, hidden: int, rank: int) -> None:
        super().__init__()
        self.rank = rank
        self.audio, self.video = (
            nn.Sequential(nn.LayerNorm(n_in), nn.Linear(n_in, rank * hidden))
            for n_in in (shape.audio_dim, shape.video_dim)
        )
        self.bias = nn.Parameter(torch.zeros(hidden))
        self.output = nn.Sequential(Dropout(dropout), nn.Linear(hidden, shape.n_classes))

    def forward(self, audio: Tensor, video: Tensor) -> Tensor:
        """Class scores [B, C]; see `FusionNetwork.forward`."""
        products = self.audio(audio.mean(1)) * self.video(video.mean(1))  # [B, rank * hidden]
        joint = products.unflatten(1, (self.rank, -1)).sum(1) + self.bias  # [B, hidden]
        scores: Tensor = self.output(joint)
        return scores
