"""What every fusion variant is: a network from two feature sequences to class scores.

Shapes: B clips, T frames, Da and Dv feature dimensions (512 in the study), C classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from avfusion.hyperparameters import Hyperparameter


@dataclass(frozen=True)
class Shape:
    """The sizes that a network is built for: feature dimensions, frames per clip, classes."""

    audio_dim: int
    video_dim: int
    n_frames: int
    n_classes: int


class FusionNetwork(nn.Module):
    """Base of all variants: `Variant(shape, **hyperparameters)`, then `(audio, video) -> scores`.

    A subclass in a module of this package, with an `id` of its own, is found by `avfusion.fusion.variants`.
    """

    id: ClassVar[str]
    """The one name of this variant, on the command line, in MLflow and in reports."""
    title: ClassVar[str]
    """The name that people read."""
    source: ClassVar[str]
    """Where the definition comes from."""
    order: ClassVar[int] = 100
    """Place in tables; equal places go by id."""
    quick: ClassVar[bool] = False
    """Whether `variants=quick` (the demo) trains it."""
    modalities: ClassVar[tuple[str, ...]] = ("audio", "video")
    """The inputs that it listens to; the other is ignored."""
    pools_time: ClassVar[bool] = True
    """Whether it sees only the mean over time, so that features may be averaged once, before training."""
    hyperparameters: ClassVar[Mapping[str, Hyperparameter]] = {}
    """Its own knobs: exactly the keyword-only arguments of its constructor."""

    def forward(self, audio: Tensor, video: Tensor) -> Tensor:
        """Class scores [B, C] (unnormalised log-probabilities) of audio [B, T, Da] and video [B, T, Dv]."""
        raise NotImplementedError
