"""Mid-level fusion with a recurrent network over the frames of each modality."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from avfusion.fusion.base import FusionNetwork, Shape
from avfusion.fusion.blocks import EMBED_AND_CLASSIFY, block, output_network
from avfusion.fusion.hyperparameters import Whole


class LSTMBranch(nn.Module):
    """A bidirectional LSTM of two layers, flattened over time, then Block: [B, T, D] -> [B, embedding]."""

    def __init__(
        self, n_in: int, n_frames: int, *, lstm_hidden: int, hidden: int, embedding: int, dropout: float
    ) -> None:
        super().__init__()
        self.lstm = nn.LSTM(n_in, lstm_hidden, num_layers=2, batch_first=True, bidirectional=True)
        self.embed = block(n_frames * 2 * lstm_hidden, embedding, hidden=hidden, dropout=dropout)

    def forward(self, frames: Tensor) -> Tensor:
        """Embedding [B, embedding] of frames [B, T, D]."""
        states, _ = self.lstm(frames)  # [B, T, 2 * lstm_hidden]
        embedded: Tensor = self.embed(states.flatten(1))
        return embedded


class LSTM(FusionNetwork):
    """Per modality a bidirectional LSTM of 2 layers and Block(128); concatenate; Linear 256 -> 128 -> C."""

    id = "lstm"
    title = "LSTM"
    source = "the study, Table 9"
    order = 7
    pools_time = False
    any_length = False
    hyperparameters: ClassVar = {
        **EMBED_AND_CLASSIFY,
        "lstm_hidden": Whole(256, low=1, high=4096, search=(64, 128, 256)),
    }

    def __init__(
        self, shape: Shape, *, dropout: float, hidden: int, embedding: int, output_relu: bool, lstm_hidden: int
    ) -> None:
        super().__init__()
        self.audio, self.video = (
            LSTMBranch(
                n_in, shape.n_frames, lstm_hidden=lstm_hidden, hidden=hidden, embedding=embedding, dropout=dropout
            )
            for n_in in (shape.audio_dim, shape.video_dim)
        )
        self.output = output_network(2 * embedding, embedding, shape.n_classes, relu=output_relu)

    def forward(self, audio: Tensor, video: Tensor) -> Tensor:
        """Class scores [B, C]; see `FusionNetwork.forward`."""
        scores: Tensor = self.output(torch.cat([self.audio(audio), self.video(video)], dim=1))
        return scores
