"""Late fusion: each modality scores the classes, and a fixed weight mixes the scores."""

from typing import ClassVar

from torch import Tensor, nn

from avfusion.fusion.base import FusionNetwork, Shape
from avfusion.fusion.blocks import DROPOUT, EMBEDDING, HIDDEN, OUTPUT_RELU, block, output_network
from avfusion.hyperparameters import Real, Whole


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
        "dropout": DROPOUT,
        "hidden": HIDDEN,
        "embedding": EMBEDDING,
        "output_hidden": Whole(256, low=1, high=8192, search=(64, 128, 256, 512)),
        "output_relu": OUTPUT_RELU,
    }

    def __init__(
        self,
        shape: Shape,
        *,
        alpha: float,
        dropout: float,
        hidden: int,
        embedding: int,
        output_hidden: int,
        output_relu: bool,
    ) -> None:
        super().__init__()
        self.alpha = alpha

        def branch(n_in: int) -> nn.Sequential:
            return nn.Sequential(
                block(n_in, embedding, hidden=hidden, dropout=dropout),
                output_network(embedding, output_hidden, shape.n_classes, relu=output_relu),
            )

        self.audio = branch(shape.audio_dim)
        self.video = branch(shape.video_dim)

    def forward(self, audio: Tensor, video: Tensor) -> Tensor:
        """Class scores [B, C]; see `FusionNetwork.forward`."""
        scores: Tensor = (1 - self.alpha) * self.audio(audio.mean(1)) + self.alpha * self.video(video.mean(1))
        return scores
