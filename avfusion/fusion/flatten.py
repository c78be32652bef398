"""Mid-level fusion that keeps every frame: flattened over time instead of averaged."""

from typing import ClassVar

import torch
from torch import Tensor

from avfusion.fusion.base import FusionNetwork, Shape
from avfusion.fusion.blocks import EMBED_AND_CLASSIFY, block, output_network


class Flatten(FusionNetwork):
    """Flatten [T * 512] and Block(128) per modality, concatenate (256), Linear 256 -> 128 -> C.

    The widths are our reading: the study says only that time is flattened, so this is the baseline with its first
    Linear widened.
    """

    id = "flatten"
    title = "flatten"
    source = "the study, Table 8"
    order = 6
    pools_time = False
    any_length = False
    hyperparameters: ClassVar = EMBED_AND_CLASSIFY

    def __init__(self, shape: Shape, *, dropout: float, hidden: int, embedding: int, output_relu: bool) -> None:
        super().__init__()
        self.audio = block(shape.n_frames * shape.audio_dim, embedding, hidden=hidden, dropout=dropout)
        self.video = block(shape.n_frames * shape.video_dim, embedding, hidden=hidden, dropout=dropout)
        self.output = output_network(2 * embedding, embedding, shape.n_classes, relu=output_relu)

    def forward(self, audio: Tensor, video: Tensor) -> Tensor:
        """Class scores [B, C]; see `FusionNetwork.forward`."""
        joint = torch.cat([self.audio(audio.flatten(1)), self.video(video.flatten(1))], dim=1)
        scores: Tensor = self.output(joint)
        return scores
