"""Gated multimodal unit: for each clip the network decides how much it trusts the sound, and how much the picture."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from avfusion.fusion.base import FusionNetwork, Shape
from avfusion.fusion.blocks import DROPOUT, Dropout
from avfusion.fusion.hyperparameters import Whole


class GatedFusion(FusionNetwork):
    """Means over time a, v; gate z = sigmoid(W [a; v]); h = z * tanh(W1 a) + (1 - z) * tanh(W2 v); Dropout; Linear.

    The gate has a value for each of the `hidden` dimensions of h, and each Linear a bias.
    """

    id = "gated"
    title = "gated fusion"
    source = "Arevalo et al., Gated multimodal units for information fusion, arXiv 1702.01992"
    order = 11
    hyperparameters: ClassVar = {"dropout": DROPOUT, "hidden": Whole(256, low=1, high=8192, search=(128, 256, 512))}
    diagnosed: ClassVar = {"gate": "mean gate: 1 trusts the sound, 0 the picture"}

    def __init__(self, shape: Shape, *, dropout: float, hidden: int) -> None:
        super().__init__()
        self.audio = nn.Linear(shape.audio_dim, hidden)
        self.video = nn.Linear(shape.video_dim, hidden)
        self.gate = nn.Linear(shape.audio_dim + shape.video_dim, hidden)
        self.output = nn.Sequential(Dropout(dropout), nn.Linear(hidden, shape.n_classes))

    def gates(self, audio: Tensor, video: Tensor) -> Tensor:
        """The share of the sound in each dimension of h, [B, hidden] in [0, 1]."""
        return torch.sigmoid(self.gate(torch.cat([audio.mean(1), video.mean(1)], dim=1)))

    def forward(self, audio: Tensor, video: Tensor) -> Tensor:
        """Class scores [B, C]; see `FusionNetwork.forward`."""
        gate = self.gates(audio, video)
        sound, picture = torch.tanh(self.audio(audio.mean(1))), torch.tanh(self.video(video.mean(1)))
        scores: Tensor = self.output(gate * sound + (1 - gate) * picture)
        return scores

    def diagnostics(self, audio: Tensor, video: Tensor) -> dict[str, Tensor]:
        """The mean gate of each clip; see `FusionNetwork.diagnostics`."""
        return {"gate": self.gates(audio, video).mean(1)}
