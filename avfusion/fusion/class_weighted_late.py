"""Late fusion that learns, for each class, how much the picture counts."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from avfusion.fusion.base import FusionNetwork, Shape
from avfusion.fusion.blocks import BRANCH, scoring_branch


class ClassWeightedLate(FusionNetwork):
    """Branches as in late fusion. Scores = audio + w * video, with one learned w per class, started in +-0.1."""

    id = "class_weighted_late"
    title = "class-weighted late fusion"
    source = "a public solution of the study's course; branches as in the study's late fusion"
    order = 8
    hyperparameters: ClassVar = BRANCH

    def __init__(self, shape: Shape, **branch: Any) -> None:
        super().__init__()
        self.audio = scoring_branch(shape.audio_dim, shape.n_classes, **branch)
        self.video = scoring_branch(shape.video_dim, shape.n_classes, **branch)
        self.video_weight = nn.Parameter(torch.empty(shape.n_classes).uniform_(-0.1, 0.1))

    def forward(self, audio: Tensor, video: Tensor) -> Tensor:
        """Class scores [B, C]; see `FusionNetwork.forward`."""
        scores: Tensor = self.audio(audio.mean(1)) + self.video_weight * self.video(video.mean(1))
        return scores
