"""Whatever answers to features, a trained variant or an ensemble: the contract of both, and what each says it is."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from avfusion.fusion import Shape
from avfusion.fusion.hyperparameters import Value

DESCRIPTION, COMPANIONS = "classifier.json", "companions"
"""File of what a classifier is, and folder of its companions, in the folder that `Classifier.save` writes."""


@dataclass(frozen=True)
class Description:
    """What a classifier is, apart from its numbers."""

    variant: str
    shape: Shape
    params: dict[str, Value]
    classes: tuple[str, ...]
    features: dict[str, Any]
    """Provenance of the features that it was trained on: embedder, weights, dataset."""
    answers_alone: tuple[str, ...] = ()
    """Modalities from which alone a fusion answers by itself, the other at its mean, in place of a companion."""


class Classifier(nn.Module, ABC):
    """Whatever answers to raw features: one trained variant, or an ensemble of them.

    Features are as the embedder gives them, audio [B, T, Da] and video [B, N, Dv], each of its own length.

    Attributes:
        companions: by name the classifiers of one modality that answer in its place where a clip lacks the other.
    """

    def __init__(self, description: Description) -> None:
        super().__init__()
        self.description = description
        # A plain dict: companions are no part of a network's parameters.
        self.companions: Mapping[str, Classifier] = {}

    @property
    @abstractmethod
    def modalities(self) -> tuple[str, ...]:
        """The inputs that it listens to."""

    @property
    @abstractmethod
    def pools_time(self) -> bool:
        """Whether it sees only the mean over time."""

    @property
    @abstractmethod
    def any_length(self) -> bool:
        """Whether it learned from clips of any number of frames."""

    @property
    @abstractmethod
    def diagnosed(self) -> Mapping[str, str]:
        """What else it says of each clip, by name (see `FusionNetwork.diagnosed`)."""

    @property
    @abstractmethod
    def without_companion(self) -> str:
        """What to do about a modality for which it has no companion; `{only}` stands for the one that a clip has."""

    @abstractmethod
    def answers(self, audio: Tensor, video: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities [B, C] and decided classes [B]."""

    @abstractmethod
    def diagnostics(self, audio: Tensor, video: Tensor) -> dict[str, Tensor]:
        """What else it says of each clip, [B] by the names of `diagnosed`."""

    @abstractmethod
    def pair(self, audio: Tensor, video: Tensor) -> tuple[Tensor, Tensor]:
        """Audio [B, T, Da] and video [B, N, Dv] -> both at the T moments of the sound."""

    @abstractmethod
    def mean_frame(self, modality: str) -> Tensor:
        """The mean [D] of all frames of the training clips: what stands for features that are not there."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write it into `folder`, which is made if it is missing, with its companions."""
