"""Cross-modal attention: each modality looks up in the other what goes with its own frames."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from avfusion.fusion.attention import ATTENDING, Layer, Tokens, token_mean
from avfusion.fusion.base import FusionNetwork, Shape


class CrossBranch(nn.Module):
    """One modality: its tokens, and the layers in which they attend to those of the other."""

    def __init__(
        self, n_in: int, n_frames: int, *, hidden: int, heads: int, layers: int, tokens: int, dropout: float
    ) -> None:
        super().__init__()
        self.tokens = Tokens(n_in, hidden, n_frames, tokens)
        self.layers = nn.ModuleList(Layer(hidden, heads, dropout, crossed=True) for _ in range(layers))
        self.norm = nn.LayerNorm(hidden)

    def attend(self, own: tuple[Tensor, Tensor | None], other: tuple[Tensor, Tensor | None]) -> Tensor:
        """The mean [B, W] of its own tokens after all layers; both are pairs of tokens and padding."""
        tokens, padding = own
        for layer in self.layers:
            tokens = layer(tokens, other[1], other[0])
        return token_mean(self.norm(tokens), padding)


class CrossAttention(FusionNetwork):
    """Per modality tokens, and layers that attend to the first tokens of the other; mean, concatenate, Linear.

    Queries are a modality's own; keys and values are the other's, in every layer those that it began with.
    """

    id = "cross_attention"
    title = "cross-modal attention"
    source = "Tsai et al., Multimodal transformer for unaligned multimodal language sequences, arXiv 1906.00295"
    order = 14
    pools_time = False
    masks_padding = True
    cannot_use: ClassVar = {"balance": "its modalities meet within its branches"}
    hyperparameters: ClassVar = ATTENDING

    def __init__(self, shape: Shape, *, dropout: float, hidden: int, heads: int, layers: int, tokens: int) -> None:
        super().__init__()
        self.audio, self.video = (
            CrossBranch(n_in, shape.n_frames, hidden=hidden, heads=heads, layers=layers, tokens=tokens, dropout=dropout)
            for n_in in (shape.audio_dim, shape.video_dim)
        )
        self.output = nn.Linear(2 * hidden, shape.n_classes)

    def forward(self, audio: Tensor, video: Tensor) -> Tensor:
        """Class scores [B, C]; see `FusionNetwork.forward`."""
        sound, picture = self.audio.tokens(audio), self.video.tokens(video)
        joint = torch.cat([self.audio.attend(sound, picture), self.video.attend(picture, sound)], dim=1)
        scores: Tensor = self.output(joint)
        return scores
