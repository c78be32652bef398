"""Mid-level fusion: embed each modality, then classify both embeddings together."""

from typing import ClassVar

import torch
from torch import Tensor

from avfusion.fusion.base import FusionNetwork, Shape
from avfusion.fusion.blocks import EMBED_AND_CLASSIFY, block, output_network


class Baseline(FusionNetwork):
    """Mean over time and Block(128) per modality, concatenate (256), Linear 256 -> 128 -> C."""

    id = "baseline"
    title = "baseline (mid-level fusion)"
    source = "the study, Table 5"
    order = 3
    quick = True
    hyperparameters: ClassVar = EMBED_AND_CLASSIFY

    def __init__(self, shape: Shape, *, dropout: float, hidden: int, embedding: int, output_relu: bool) -> None:
        super().__init__()
        self.audio = block(shape.audio_dim, embedding, hidden=hidden, dropout=dropout)
        self.video = block(shape.video_dim, embedding, hidden=hidden, dropout=dropout)
        self.output = output_network(2 * embedding, embedding, shape.n_classes, relu=output_relu)

    def forward(self, audio: Tensor, video: Tensor) -> Tensor:
        """Class scores [B, C]; see `FusionNetwork.forward`."""
        joint = torch.cat([self.audio(audio.mean(1)), self.video(video.mean(1))], dim=1)  # [B, 2 * embedding]
        scores: Tensor = self.output(joint)
        return scores
