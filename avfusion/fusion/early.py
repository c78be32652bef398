"""Early fusion: concatenate the features, then classify."""

from typing import ClassVar

import torch
from torch import Tensor

from avfusion.fusion.base import FusionNetwork, Shape
from avfusion.fusion.blocks import DROPOUT, block
from avfusion.fusion.hyperparameters import Whole


class EarlyFusion(FusionNetwork):
    """Mean over time per modality, concatenate (1024), Linear 1024 -> 1024, BatchNorm, ReLU, Dropout, Linear -> C."""

    id = "early"
    title = "early fusion"
    source = "the study, Table 6"
    order = 4
    quick = True
    cannot_use: ClassVar = {"balance": "its modalities meet in its first layer"}
    hyperparameters: ClassVar = {
        "dropout": DROPOUT,
        "hidden": Whole(1024, low=1, high=8192, search=(256, 512, 1024, 2048)),
    }

    def __init__(self, shape: Shape, *, dropout: float, hidden: int) -> None:
        super().__init__()
        self.joint = block(shape.audio_dim + shape.video_dim, shape.n_classes, hidden=hidden, dropout=dropout)

    def forward(self, audio: Tensor, video: Tensor) -> Tensor:
        """Class scores [B, C]; see `FusionNetwork.forward`."""
        scores: Tensor = self.joint(torch.cat([audio.mean(1), video.mean(1)], dim=1))
        return scores
