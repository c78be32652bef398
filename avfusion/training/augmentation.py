"""What a batch shows a network in training: the clips as they are, mixed with each other, or without a modality.

Shapes: B clips, T frames, Da and Dv feature dimensions, C classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Beta
from torch.nn.functional import one_hot

from avfusion.fusion.hyperparameters import Value

LEAST_STRENGTH = 0.01
"""Of mixup. A Beta distribution of less is drawn wrong: what it is made of underflows, in float32 already below 0.1."""


@dataclass(frozen=True)
class Batch:
    """Standardised features audio [B, T, Da] and video [B, T, Dv], and targets: classes [B], or their shares [B, C]."""

    audio: Tensor
    video: Tensor
    targets: Tensor


@dataclass(frozen=True)
class Augmentation:
    """What of a recipe changes a batch. Each is off at 0; all draw from torch's global random state."""

    n_classes: int
    mixup: float = 0.0
    modality_dropout: float = 0.0
    label_smoothing: float = 0.0

    @classmethod
    def of(cls, recipe: Mapping[str, Value], n_classes: int) -> "Augmentation":
        """That of a recipe; what the recipe lacks is off."""
        names = ("mixup", "modality_dropout", "label_smoothing")
        return cls(n_classes, **{name: float(recipe.get(name, 0.0)) for name in names})

    def apply(self, batch: Batch) -> Batch:
        """`batch` itself where all are off; targets become shares where they are no longer one class each."""
        if self.mixup:
            batch = mixed(batch, self.mixup, self.n_classes)
        if self.modality_dropout:
            batch = without_a_modality(batch, self.modality_dropout)
        return batch

    def smoothed(self, targets: Tensor) -> Tensor:
        """What training is to predict: `targets`, with `label_smoothing` of each spread over all classes evenly."""
        if not self.label_smoothing:
            return targets
        return (1 - self.label_smoothing) * shares(targets, self.n_classes) + self.label_smoothing / self.n_classes


def shares(targets: Tensor, n_classes: int) -> Tensor:
    """Targets as shares [B, C] of the classes."""
    return targets if targets.ndim == 2 else one_hot(targets, n_classes).float()


def mixed(batch: Batch, strength: float, n_classes: int) -> Batch:
    """Each clip mixed with another of the batch: sound, picture and target by the same weight, drawn for each pair.

    The weight is from Beta(`strength`, `strength`), with a strength of at least 0.01, at which it is nearly always 0 or
    1. Source: Zhang et al., mixup, arXiv 1710.09412; over both modalities at once, arXiv 2203.04114.
    """
    device, n_clips = batch.targets.device, len(batch.targets)
    concentration = torch.tensor(max(strength, LEAST_STRENGTH), dtype=torch.float64)
    weight = Beta(concentration, concentration).sample((n_clips,)).float().to(device)
    partner = torch.randperm(n_clips).to(device)

    def mix(values: Tensor) -> Tensor:
        own = weight.view(-1, *[1] * (values.ndim - 1))
        return own * values + (1 - own) * values[partner]

    return Batch(mix(batch.audio), mix(batch.video), mix(shares(batch.targets, n_classes)))


def without_a_modality(batch: Batch, probability: float) -> Batch:
    """Each clip loses, with this probability, one modality: sound or picture, as often, and never both.

    What is lost becomes 0, its mean in training. Source: Neverova et al., ModDrop, arXiv 1501.00102.
    """
    draws = torch.rand(len(batch.targets)).to(batch.targets.device)[:, None, None]
    no_audio, no_video = draws < probability / 2, (draws >= probability / 2) & (draws < probability)
    # Multiplied, so that padding (NaN) stays padding.
    return Batch(batch.audio * ~no_audio, batch.video * ~no_video, batch.targets)
