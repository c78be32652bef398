"""What every fusion variant is: a network from two feature sequences to class scores.

Shapes: B clips, T moments, Da and Dv feature dimensions (512 in the study), C classes.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from avfusion.fusion.hyperparameters import Hyperparameter, Value


@dataclass(frozen=True)
class Shape:
    """The sizes that a network is built for: feature dimensions, frames per clip, classes."""

    audio_dim: int
    video_dim: int
    n_frames: int
    n_classes: int


Loss = Callable[[Tensor, Tensor, Tensor, int], tuple[Tensor, Tensor]]
"""(audio, video, targets, epoch from 1) -> class scores [B, C] and what is minimised, a number. Targets are the classes
[B] or, where examples are of several classes, the share of each [B, C]."""


@dataclass(frozen=True)
class Stage:
    """One fit in a variant's training: what is trained, and on whole clips or on single frames."""

    name: str
    """Prefix of its curves; empty where there is only one stage."""
    network: nn.Module
    """Takes (audio, video) like a variant; those of its parameters that require a gradient are trained."""
    single_frames: bool = False
    """Whether every frame is an example of its own, a clip with T = 1."""
    loss: Loss | None = None
    """What is minimised; None is the cross-entropy of the network's scores."""


class FusionNetwork(nn.Module):
    """Base of all variants: `Variant(shape, **hyperparameters)`, then `(audio, video) -> scores`.

    A subclass in a module of this package, with an `id` of its own, is found by `avfusion.fusion.variants`. What hears
    one modality alone is a submodule called `audio` or `video`, at any depth: `balance` of the recipe goes by these.
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
    """Whether it sees only the mean over time, so that features may be averaged once, before training.

    Such a variant takes sound and pictures of different lengths, too; the others get them `paired`."""
    any_length: ClassVar[bool] = True
    """Whether it takes clips of any number of frames; otherwise exactly `Shape.n_frames`."""
    hyperparameters: ClassVar[Mapping[str, Hyperparameter]] = {}
    """Its own knobs: exactly the keyword arguments that its constructor takes beside the shape."""
    recipe: ClassVar[Mapping[str, Value]] = {}
    """Defaults of the training recipe that differ for this variant."""
    cannot_use: ClassVar[Mapping[str, str]] = {}
    """Entries of the training recipe that it does not have, and why ("its modalities are trained apart")."""
    masks_padding: ClassVar[bool] = False
    """Whether frames of NaN are no frames to it: shorter clips are then made as long as the others with them, for
    training, instead of with repetitions of their last frame."""
    diagnosed: ClassVar[Mapping[str, str]] = {}
    """What it says of a clip beside its scores (`diagnostics`): name, and in words what the number means."""

    def forward(self, audio: Tensor, video: Tensor) -> Tensor:
        """Class scores [B, C] (unnormalised log-probabilities) of audio [B, T, Da] and video [B, T, Dv]."""
        raise NotImplementedError

    def stages(self) -> Iterator[Stage]:
        """What is trained, in order; code after a `yield` runs when that stage is done."""
        yield Stage("", self)

    def calibrate(self, audio: Tensor, video: Tensor, labels: Tensor) -> None:
        """Fit on the validation clips, after all stages, what needs no gradient; nothing by default."""

    def answers(self, audio: Tensor, video: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities [B, C] and decided classes [B]; by default softmax and the largest of the scores."""
        scores = self(audio, video)
        return torch.log_softmax(scores, 1), scores.argmax(1)

    def diagnostics(self, audio: Tensor, video: Tensor) -> dict[str, Tensor]:
        """For each of `diagnosed` one number per clip [B], in [0, 1]; logged by class, and given with predictions."""
        return {}


def paired(frames: Tensor, n_moments: int, *, frame_by_frame: bool = False) -> Tensor:
    """The frames [..., N, D] of a clip at its `n_moments` moments, those of its sound: [..., n_moments, D].

    Moment i takes frame floor((i + 0.5) * N / n_moments): both lie in the middle of the same stretch of the clip. With
    N = n_moments each moment takes its own frame. `frame_by_frame` is for features whose makers count that way: moment
    i takes frame i, or the last one.
    """
    n_frames = frames.shape[-2]
    if n_frames == n_moments:
        return frames
    if frame_by_frame:
        return to_length(frames, n_moments)
    moments = torch.arange(n_moments, device=frames.device)
    return frames.index_select(-2, (2 * moments + 1) * n_frames // (2 * n_moments))


def to_length(frames: Tensor, n_frames: int) -> Tensor:
    """Frames [..., T, D] cut at the end, or continued with the last one, to [..., n_frames, D]."""
    kept = torch.arange(n_frames, device=frames.device).clamp(max=frames.shape[-2] - 1)
    return frames.index_select(-2, kept)
