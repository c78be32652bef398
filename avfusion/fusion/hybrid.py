"""Hybrid fusion: late and mid-level fusion at once."""

from typing import Any, ClassVar

from torch import Tensor

from avfusion.fusion.base import FusionNetwork, Shape
from avfusion.fusion.baseline import Baseline
from avfusion.fusion.blocks import EMBED_AND_CLASSIFY
from avfusion.fusion.hyperparameters import with_default
from avfusion.fusion.unimodal import AudioOnly, VideoOnly


class HybridFusion(FusionNetwork):
    """Scores = the mean of those of `audio_only`, `video_only` and `baseline`, trained together from the start."""

    id = "hybrid"
    title = "hybrid fusion"
    source = (
        "late and mid-level fusion side by side, as in Atrey et al., Multimodal fusion for multimedia analysis (2010)"
    )
    order = 13
    hyperparameters: ClassVar = {**EMBED_AND_CLASSIFY, "hidden": with_default(EMBED_AND_CLASSIFY["hidden"], 256)}

    def __init__(self, shape: Shape, **branch: Any) -> None:
        super().__init__()
        self.audio = AudioOnly(shape, **branch)
        self.video = VideoOnly(shape, **branch)
        self.joint = Baseline(shape, **branch)

    def forward(self, audio: Tensor, video: Tensor) -> Tensor:
        """Class scores [B, C]; see `FusionNetwork.forward`."""
        scores: Tensor = (self.audio(audio, video) + self.video(audio, video) + self.joint(audio, video)) / 3
        return scores
