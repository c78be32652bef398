"""Late fusion: each modality scores the classes, and a fixed weight mixes the scores."""

from typing import Any, ClassVar

from torch import Tensor

from avfusion.fusion.base import FusionNetwork, Shape
from avfusion.fusion.blocks import BRANCH, scoring_branch
from avfusion.fusion.hyperparameters import Real


class LateFusion(FusionNetwork):
    """Per modality: mean over time, Block(128), Linear 128 -> 256 -> C. Scores = (1 - alpha) audio + alpha video.

    alpha weighs the video; both branches are trained together, end to end, for each alpha.
    """

    id = "late"
    title = "late fusion"
    source = "the study, Tables 6 and 7"
    order = 5
    quick = True
    hyperparameters: ClassVar = {
        "alpha": Real(0.5, low=0.0, high=1.0, search=(0.1, 0.9)),
        **BRANCH,
    }

    def __init__(self, shape: Shape, *, alpha: float, **branch: Any) -> None:
        super().__init__()
        self.alpha = alpha
        self.audio = scoring_branch(shape.audio_dim, shape.n_classes, **branch)
        self.video = scoring_branch(shape.video_dim, shape.n_classes, **branch)

    def forward(self, audio: Tensor, video: Tensor) -> Tensor:
        """Class scores [B, C]; see `FusionNetwork.forward`."""
        scores: Tensor = (1 - self.alpha) * self.audio(audio.mean(1)) + self.alpha * self.video(video.mean(1))
        return scores
