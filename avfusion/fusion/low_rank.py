"""Low-rank tensor fusion: every product of a value of the sound with one of the picture, through few factors."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from avfusion.fusion.base import FusionNetwork, Shape
from avfusion.fusion.blocks import DROPOUT, EMBEDDING, HIDDEN, block
from avfusion.fusion.hyperparameters import Whole


class LowRankFusion(FusionNetwork):
    """Per modality mean over time and Block(128): a, v. h = sum over r of (Fa_r [a; 1]) * (Fv_r [v; 1]) + b, as wide as
    a and v; Linear 128 -> C.

    The 1 keeps each modality by itself among the products. Of raw features, even normalised ones, products overfit
    within a few epochs; the Blocks, with their BatchNorm and Dropout, are what the paper's modality networks are for.
    """

    id = "low_rank"
    title = "low-rank tensor fusion"
    source = "Liu et al., Efficient low-rank multimodal fusion with modality-specific factors, arXiv 1806.00064"
    order = 12
    hyperparameters: ClassVar = {
        "dropout": DROPOUT,
        "hidden": HIDDEN,
        "embedding": EMBEDDING,
        "rank": Whole(8, low=1, high=1024, search=(4, 8, 16)),
    }

    def __init__(self, shape: Shape, *, dropout: float, hidden: int, embedding: int, rank: int) -> None:
        super().__init__()
        self.rank = rank
        self.audio, self.video = (
            nn.Sequential(
                block(n_in, embedding, hidden=hidden, dropout=dropout),
                nn.Linear(embedding, rank * embedding),
            )
            for n_in in (shape.audio_dim, shape.video_dim)
        )
        self.bias = nn.Parameter(torch.zeros(embedding))
        self.output = nn.Linear(embedding, shape.n_classes)

    def forward(self, audio: Tensor, video: Tensor) -> Tensor:
        """Class scores [B, C]; see `FusionNetwork.forward`."""
        products = self.audio(audio.mean(1)) * self.video(video.mean(1))  # [B, rank * embedding]
        joint = products.unflatten(1, (self.rank, -1)).sum(1) + self.bias  # [B, embedding]
        scores: Tensor = self.output(joint)
        return scores
