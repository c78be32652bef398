"""The DCASE 2021 task 1B baseline: unimodal networks on single frames, frozen, then fusion of their embeddings."""

import math
from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import Tensor, nn

from avfusion.fusion.base import FusionNetwork, Shape, Stage
from avfusion.fusion.blocks import DROPOUT, Dropout
from avfusion.fusion.hyperparameters import Whole


class FrameNetwork(nn.Module):
    """One modality, one frame at a time: Linear 512 -> 512 -> 128 -> 64 -> C, BatchNorm, ReLU, Dropout between."""

    def __init__(self, modality: str, n_in: int, n_classes: int, *, hidden: int, embedding: int, dropout: float):
        super().__init__()
        self.modality = modality

        def between(n: int) -> list[nn.Module]:
            return [nn.BatchNorm1d(n), nn.ReLU(), Dropout(dropout)]

        self.embed = nn.Sequential(nn.Linear(n_in, hidden), *between(hidden), nn.Linear(hidden, embedding))
        narrow = max(embedding // 2, 1)
        self.classify = nn.Sequential(
            *between(embedding), nn.Linear(embedding, narrow), *between(narrow), nn.Linear(narrow, n_classes)
        )

    def forward(self, audio: Tensor, video: Tensor) -> Tensor:
        """Class scores [B, C] of clips of one frame: audio [B, 1, Da], video [B, 1, Dv]."""
        frame = (audio if self.modality == "audio" else video)[:, 0]
        scores: Tensor = self.classify(self.embed(frame))
        return scores


class TwoStage(FusionNetwork):
    """Stage 1: a `FrameNetwork` per modality. Stage 2: both frozen up to their embedding (128), concatenate (256),
    Linear 256 -> 128 -> C with no activation between, still frame by frame.

    A clip's class is the largest sum of log-softmax over its frames (the authors' rule for 10 s); its probabilities
    are the mean over frames (their rule for log loss).
    """

    id = "two_stage"
    title = "two-stage (DCASE)"
    source = "DCASE 2021 task 1B baseline, Wang et al., A curated dataset of urban scenes for AVSC (ICASSP 2021)"
    order = 9
    pools_time = False
    recipe: ClassVar = {"batch_size": 64, "epochs": 200}
    cannot_use: ClassVar = dict.fromkeys(("modality_dropout", "balance"), "its modalities are trained apart")
    hyperparameters: ClassVar = {
        "dropout": DROPOUT,
        "hidden": Whole(512, low=1, high=8192, search=(128, 256, 512, 1024)),
        "embedding": Whole(128, low=1, high=8192, search=(64, 128, 256)),
    }

    def __init__(self, shape: Shape, *, dropout: float, hidden: int, embedding: int) -> None:
        super().__init__()
        self.audio, self.video = (
            FrameNetwork(m, n_in, shape.n_classes, hidden=hidden, embedding=embedding, dropout=dropout)
            for m, n_in in (("audio", shape.audio_dim), ("video", shape.video_dim))
        )
        self.output = nn.Sequential(nn.Linear(2 * embedding, embedding), nn.Linear(embedding, shape.n_classes))

    def stages(self) -> Iterator[Stage]:
        """The unimodal networks, then the fusion of their frozen embeddings; all on single frames."""
        yield Stage("audio", self.audio, single_frames=True)
        yield Stage("video", self.video, single_frames=True)
        self.audio.requires_grad_(False)
        self.video.requires_grad_(False)
        yield Stage("fusion", self, single_frames=True)

    def train(self, mode: bool = True) -> "TwoStage":
        """As of any module, but the unimodal networks stay in evaluation mode: they are trained by themselves."""
        super().train(mode)
        self.audio.eval()
        self.video.eval()
        return self

    def frame_scores(self, audio: Tensor, video: Tensor) -> Tensor:
        """Log-probabilities [B, T, C] of every frame."""
        n_clips, n_frames, _ = audio.shape
        joint = torch.cat([self.audio.embed(audio.flatten(0, 1)), self.video.embed(video.flatten(0, 1))], dim=1)
        return torch.log_softmax(self.output(joint), dim=1).view(n_clips, n_frames, -1)  # [B * T, C] -> [B, T, C]

    def forward(self, audio: Tensor, video: Tensor) -> Tensor:
        """Log of the mean over frames of the class probabilities [B, C]; see `FusionNetwork.forward`."""
        log_probabilities = self.frame_scores(audio, video)
        return torch.logsumexp(log_probabilities, 1) - math.log(log_probabilities.shape[1])

    def answers(self, audio: Tensor, video: Tensor) -> tuple[Tensor, Tensor]:
        """Log of the mean probabilities [B, C], and the largest sum of log-softmax [B]."""
        log_probabilities = self.frame_scores(audio, video)
        return self(audio, video), log_probabilities.sum(1).argmax(1)
