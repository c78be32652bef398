"""What variants that attend share: tokens made of frames, and one layer of a transformer.

Shapes: B clips, T frames, D feature dimension, N and M tokens, W their width. Padding is a mask, true where a token is
none; None where every token is one.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from avfusion.fusion.blocks import DROPOUT, Dropout
from avfusion.fusion.hyperparameters import Hyperparameter, Whole

ATTENDING: Mapping[str, Hyperparameter] = {
    "dropout": DROPOUT,
    "hidden": Whole(128, low=1, high=4096, search=(64, 128, 256)),
    "heads": Whole(4, low=1, high=64, search=(2, 4, 8)),
    "layers": Whole(2, low=1, high=32, search=(1, 2, 3)),
    "tokens": Whole(16, low=1, high=4096, search=(8, 16, 32)),
}
"""The knobs that attending variants share: `hidden` is the width W of a token, `tokens` how many a usual clip has."""


class Tokens(nn.Module):
    """Means of so many frames each that a clip of `n_frames` has at most `tokens`, a Linear, and where they stand.

    A longer clip has more tokens. Attention costs the square of their number, and neighbouring frames, of which there
    are ten a second, are alike. Frames of NaN are no frames (see `FusionNetwork.masks_padding`).
    """

    def __init__(self, n_in: int, width: int, n_frames: int, tokens: int) -> None:
        super().__init__()
        self.stretch = math.ceil(n_frames / tokens)
        self.embed = nn.Linear(n_in, width)

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor | None]:
        """Tokens [B, N, W] of frames [B, T, D], and their padding [B, N]."""
        means, padding = stretch_means(frames, self.stretch)
        tokens: Tensor = self.embed(means)
        return tokens + positions(tokens.shape[1], tokens.shape[2]).to(tokens.device), padding

    def extra_repr(self) -> str:
        """What `print` and the diagrams show of it."""
        return f"of {self.stretch} frames each"


def stretch_means(frames: Tensor, stretch: int) -> tuple[Tensor, Tensor | None]:
    """Means [B, N, D] of each `stretch` of frames [B, T, D], the last perhaps shorter, and their padding [B, N].

    Frames of NaN do not count; a stretch without any other is padding, and zero.
    """
    short = -frames.shape[1] % stretch
    present = ~frames[..., :1].isnan()
    if not short and bool(present.all()):
        return frames.reshape(len(frames), -1, stretch, frames.shape[2]).mean(2), None

    def summed(values: Tensor) -> Tensor:
        longer = nn.functional.pad(values, (0, 0, 0, short))
        return longer.reshape(len(values), -1, stretch, values.shape[2]).sum(2)

    counts, sums = summed(present), summed(torch.where(present, frames, 0.0))  # [B, N, 1], [B, N, D]
    padding = counts[..., 0] == 0
    return sums / counts.clamp(min=1), padding if bool(padding.any()) else None


def positions(n: int, width: int) -> Tensor:
    """Sines and cosines [n, width] of each position, in wave lengths from 2 pi to 10,000 times that.

    Source: Vaswani et al., Attention is all you need, arXiv 1706.03762, section 3.5.
    """
    column = torch.arange(width)
    rates = 10_000.0 ** (-(column - column % 2) / width)
    angles = torch.arange(n)[:, None] * rates
    return torch.where(column % 2 == 0, angles.sin(), angles.cos())


class Attention(nn.Module):
    """Multi-head attention of tokens to a context; a head is as wide as W / heads, rounded up."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        inner = heads * math.ceil(width / heads)
        self.query = nn.Linear(width, inner)
        self.key = nn.Linear(width, inner, bias=False)  # a bias would weigh every token of the context alike
        self.value = nn.Linear(width, inner)
        self.output = nn.Linear(inner, width)

    def forward(self, tokens: Tensor, context: Tensor, padding: Tensor | None) -> Tensor:
        """What tokens [B, N, W] take from the context [B, M, W]: [B, N, W]."""
        query, key, value = (self._heads(part) for part in (self.query(tokens), self.key(context), self.value(context)))
        seen = None if padding is None else ~padding[:, None, None]
        taken: Tensor = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=seen)
        result: Tensor = self.output(taken.transpose(1, 2).flatten(2))
        return result

    def weights(self, tokens: Tensor, context: Tensor, padding: Tensor | None) -> Tensor:
        """How much tokens attend to each of the context, [B, N, M], mean over the heads; rows sum to 1."""
        query, key = self._heads(self.query(tokens)), self._heads(self.key(context))
        strengths = query @ key.transpose(2, 3) / math.sqrt(query.shape[3])
        if padding is not None:
            strengths = strengths.masked_fill(padding[:, None, None], -math.inf)
        mean: Tensor = strengths.softmax(3).mean(1)
        return mean

    def _heads(self, tokens: Tensor) -> Tensor:
        n_clips, n_tokens, _ = tokens.shape
        return tokens.reshape(n_clips, n_tokens, self.heads, -1).transpose(1, 2)  # to [B, heads, N, width of a head]


class Layer(nn.Module):
    """A layer of a transformer, normalised first: attention, then a network of 2 W hidden units, each added to tokens.

    With `crossed`, tokens attend to the context that they are given, which has a normalisation of its own, and not to
    themselves.
    """

    def __init__(self, width: int, heads: int, dropout: float, *, crossed: bool = False) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.context_norm = nn.LayerNorm(width) if crossed else None
        self.attention = Attention(width, heads)
        self.dropout = Dropout(dropout)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width), Dropout(dropout)
        )

    def forward(self, tokens: Tensor, padding: Tensor | None, context: Tensor | None = None) -> Tensor:
        """Tokens [B, N, W] after this layer; `padding` is that of what they attend to."""
        normed = self.norm(tokens)
        attended = normed if self.context_norm is None else self.context_norm(context)
        tokens = tokens + self.dropout(self.attention(normed, attended, padding))
        result: Tensor = tokens + self.feed_forward(tokens)
        return result

    def extra_repr(self) -> str:
        """What `print` and the diagrams show of it."""
        looks = "" if self.context_norm is None else ", to the other modality"
        return f"of a transformer, {self.attention.heads} heads{looks}"


def token_mean(tokens: Tensor, padding: Tensor | None) -> Tensor:
    """Mean [B, W] of the tokens [B, N, W] that are no padding."""
    if padding is None:
        return tokens.mean(1)
    present = ~padding[..., None]
    return (tokens * present).sum(1) / present.sum(1)
