"""Attention bottlenecks: sound and picture exchange what they know through a few tokens, and nothing else.

Shapes: B clips, W the width of a token, K bottleneck tokens, C classes.
"""

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from avfusion.fusion.attention import ATTENDING, Layer, Tokens
from avfusion.fusion.base import FusionNetwork, Shape
from avfusion.fusion.hyperparameters import Whole


class Stream(NamedTuple):
    """One modality on its way through the layers."""

    tokens: Tensor
    """[B, 1 + N, W]; the first is the one that is classified."""
    padding: Tensor | None
    """[B, 1 + N]; None where no token is padding."""

    def beside(self, bottlenecks: Tensor) -> tuple[Tensor, Tensor | None]:
        """Tokens and bottlenecks together, [B, 1 + N + K, W], and their padding."""
        padding = None if self.padding is None else nn.functional.pad(self.padding, (0, bottlenecks.shape[1]))
        return torch.cat([self.tokens, bottlenecks], dim=1), padding


class Transformer(nn.Module):
    """One modality: a token to be classified before its tokens, and its own layers."""

    def __init__(
        self, n_in: int, n_frames: int, *, hidden: int, heads: int, layers: int, tokens: int, dropout: float
    ) -> None:
        super().__init__()
        self.tokens = Tokens(n_in, hidden, n_frames, tokens)
        self.first = nn.Parameter(0.02 * torch.randn(hidden))
        self.layers = nn.ModuleList(Layer(hidden, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(hidden)

    def begin(self, frames: Tensor) -> Stream:
        """The tokens of frames [B, T, D] before the first layer."""
        tokens, padding = self.tokens(frames)
        padding = None if padding is None else nn.functional.pad(padding, (1, 0))
        return Stream(torch.cat([self.first.expand(len(tokens), 1, -1), tokens], dim=1), padding)

    def step(self, number: int, stream: Stream, bottlenecks: Tensor) -> tuple[Stream, Tensor]:
        """The tokens and its own update of the bottlenecks [B, K, W] after layer `number`, which sees nothing else."""
        both = self._layer(number)(*stream.beside(bottlenecks))
        n_tokens = stream.tokens.shape[1]
        return stream._replace(tokens=both[:, :n_tokens]), both[:, n_tokens:]

    def attention_to_bottlenecks(self, number: int, stream: Stream, bottlenecks: Tensor) -> Tensor:
        """The share [B] of the first token's attention that goes to the bottlenecks in layer `number`."""
        layer, (both, padding) = self._layer(number), stream.beside(bottlenecks)
        seen = layer.norm(both)
        weights = layer.attention.weights(seen[:, :1], seen, padding)
        return weights[:, 0, stream.tokens.shape[1] :].sum(1)

    def _layer(self, number: int) -> Layer:
        layer = self.layers[number]
        assert isinstance(layer, Layer)
        return layer


class BottleneckFusion(FusionNetwork):
    """Per modality a transformer over its tokens and K bottleneck tokens, whose two updates are averaged in each layer.

    What one modality gives in a layer the other takes up in the next, so that two layers are needed for an exchange.
    Before them come `unimodal_layers`, without bottlenecks. Scores are those of the mean of the two classified tokens.
    """

    id = "bottleneck"
    title = "attention bottlenecks"
    source = "Nagrani et al., Attention bottlenecks for multimodal fusion, arXiv 2107.00135"
    order = 15
    pools_time = False
    masks_padding = True
    cannot_use: ClassVar = {"balance": "its modalities meet within its branches"}
    hyperparameters: ClassVar = {
        **ATTENDING,
        "layers": Whole(2, low=2, high=32, search=(2, 3, 4)),
        "unimodal_layers": Whole(0, low=0, high=32),
        "bottlenecks": Whole(4, low=0, high=256, search=(2, 4, 8)),
    }
    diagnosed: ClassVar = {
        "bottleneck_attention_audio": "the sound's attention to the bottlenecks, last layer",
        "bottleneck_attention_video": "the picture's attention to the bottlenecks, last layer",
    }

    def __init__(
        self, shape: Shape, *, dropout: float, hidden: int, heads: int, layers: int, tokens: int,
        unimodal_layers: int, bottlenecks: int,
    ) -> None:  # fmt: skip
        super().__init__()
        self.unimodal_layers, self.n_layers = unimodal_layers, unimodal_layers + layers
        self.audio, self.video = (
            Transformer(
                n_in, shape.n_frames, hidden=hidden, heads=heads, layers=self.n_layers, tokens=tokens, dropout=dropout
            )
            for n_in in (shape.audio_dim, shape.video_dim)
        )
        self.bottlenecks = nn.Parameter(0.02 * torch.randn(bottlenecks, hidden))
        self.output = nn.Linear(hidden, shape.n_classes)

    def forward(self, audio: Tensor, video: Tensor) -> Tensor:
        """Class scores [B, C]; see `FusionNetwork.forward`."""
        sound, picture = self.classified(audio, video)
        scores: Tensor = self.output((sound + picture) / 2)
        return scores

    def classified(self, audio: Tensor, video: Tensor) -> tuple[Tensor, Tensor]:
        """The classified token [B, W] of each modality."""
        sound, picture, _ = self._run(audio, video, self.n_layers)
        return self.audio.norm(sound.tokens[:, 0]), self.video.norm(picture.tokens[:, 0])

    def diagnostics(self, audio: Tensor, video: Tensor) -> dict[str, Tensor]:
        """How much each modality asks of the other; see `FusionNetwork.diagnostics`."""
        last = self.n_layers - 1
        sound, picture, bottlenecks = self._run(audio, video, last)
        return {
            "bottleneck_attention_audio": self.audio.attention_to_bottlenecks(last, sound, bottlenecks),
            "bottleneck_attention_video": self.video.attention_to_bottlenecks(last, picture, bottlenecks),
        }

    def _run(self, audio: Tensor, video: Tensor, n_layers: int) -> tuple[Stream, Stream, Tensor]:
        """Both modalities and the bottlenecks [B, K, W] after the first `n_layers` layers."""
        sound, picture = self.audio.begin(audio), self.video.begin(video)
        shared = self.bottlenecks.expand(len(audio), -1, -1)
        bottlenecks = shared[:, :0]
        for number in range(n_layers):
            if number == self.unimodal_layers:
                bottlenecks = shared
            sound, heard = self.audio.step(number, sound, bottlenecks)
            picture, seen = self.video.step(number, picture, bottlenecks)
            bottlenecks = (heard + seen) / 2
        return sound, picture, bottlenecks
