"""One modality alone: what the fused variants must beat."""

from typing import ClassVar

from torch import Tensor

from avfusion.fusion.base import FusionNetwork, Shape
from avfusion.fusion.blocks import EMBED_AND_CLASSIFY, block, output_network


class AudioOnly(FusionNetwork):
    """Mean over time, Block(128), output network 128 -> 128 -> C; video is ignored."""

    id = "audio_only"
    title = "audio only"
    source = "the study, Table 2"
    order = 1
    quick = True
    modalities: ClassVar[tuple[str, ...]] = ("audio",)
    cannot_use: ClassVar = dict.fromkeys(("modality_dropout", "balance"), "it listens to one modality alone")
    hyperparameters: ClassVar = EMBED_AND_CLASSIFY

    def __init__(self, shape: Shape, *, dropout: float, hidden: int, embedding: int, output_relu: bool) -> None:
        super().__init__()
        (modality,) = self.modalities
        n_in = shape.audio_dim if modality == "audio" else shape.video_dim
        self.embed = block(n_in, embedding, hidden=hidden, dropout=dropout)
        self.output = output_network(embedding, embedding, shape.n_classes, relu=output_relu)

    def forward(self, audio: Tensor, video: Tensor) -> Tensor:
        """Class scores [B, C]; see `FusionNetwork.forward`."""
        sequence = audio if self.modalities == ("audio",) else video
        scores: Tensor = self.output(self.embed(sequence.mean(1)))
        return scores


class VideoOnly(AudioOnly):
    """The same network on the video features; audio is ignored."""

    id = "video_only"
    title = "video only"
    source = "the study, Table 1"
    order = 2
    modalities: ClassVar[tuple[str, ...]] = ("video",)
