"""Features in, scene out; where a modality is missing, a companion of the model answers.

T frames of a modality, D features of a frame, C classes, B clips.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avfusion.errors import UserError
from avfusion.features import MODALITIES
from avfusion.training.classifier import Classifier

Features = Mapping[str, NDArray[np.float32]]
"""`audio` and `video` [T, D]; T = 0 where the modality is missing."""

NOUNS = {"audio": "sound", "video": "pictures"}


@dataclass(frozen=True)
class Answer:
    """The scene of one clip."""

    scene: str
    probability: float
    """Of the scene, in [0, 1]."""
    classes: tuple[str, ...]
    probabilities: NDArray[np.float64]
    """[C], in the order of the classes; they sum to 1."""
    modalities: tuple[str, ...]
    """What the answer rests on."""
    diagnostics: Mapping[str, float | None]
    """What else the model says of the clip (see `FusionNetwork.diagnosed`); None where a companion answers."""

    @property
    def class_columns(self) -> dict[str, float]:
        """The probability of each class by the name of its column."""
        return dict(zip(map(class_column, self.classes), self.probabilities.tolist(), strict=True))


def class_column(name: str) -> str:
    """The column for the probability of the class `name`, which may be called like any other column of an answer."""
    return f"probability/{name}"


def present(features: Features) -> tuple[str, ...]:
    """The modalities that are there."""
    return tuple(name for name in MODALITIES if len(features[name]))


def basis(classifier: Classifier, features: Features) -> tuple[str, ...]:
    """The modalities on which an answer of `classifier` itself rests: those that are there and that it listens to."""
    return tuple(name for name in present(features) if name in classifier.modalities)


def responsible(classifier: Classifier, having: tuple[str, ...]) -> Classifier:
    """`classifier` if a clip has all that it listens to or it does without, else the companion for what the clip has.

    Raises `UserError`, saying what is missing, if there is none.
    """
    if set(having) & set(classifier.description.answers_alone):
        return classifier
    for candidate in (classifier, *classifier.companions.values()):
        if set(candidate.modalities) <= set(having):
            return candidate
    missing = " and ".join(NOUNS[name] for name in classifier.modalities if name not in having)
    reason = f"{classifier.description.variant} needs {missing}"
    if having and len(classifier.modalities) > 1:
        (only,) = having
        remedy = classifier.without_companion.format(only=only)
        reason += f", and this model has no companion for {NOUNS[only]} alone; {remedy}"
    raise UserError(reason)


def answer(classifier: Classifier, features: Features) -> Answer:
    """The scene of a clip by `classifier`, or by its companion; `UserError` as of `responsible` and `scores`."""
    chosen = responsible(classifier, present(features))
    clip = batch(chosen, features)
    probabilities, decisions = scores(chosen, clip)
    diagnostics: dict[str, float | None] = dict.fromkeys(classifier.diagnosed)
    if chosen is classifier:
        with torch.no_grad():
            diagnostics |= {name: float(value) for name, value in classifier.diagnostics(**clip).items()}
    classes, best = chosen.description.classes, int(decisions[0])
    return Answer(
        scene=classes[best],
        probability=float(probabilities[0, best]),
        classes=classes,
        probabilities=probabilities[0],
        modalities=basis(chosen, features),
        diagnostics=diagnostics,
    )


def batch(classifier: Classifier, features: Features) -> dict[str, Tensor]:
    """The features as a batch of one clip, [1, T, D] each: the training mean for what is not there, or not heard."""
    heard = basis(classifier, features)
    n_frames = len(features[heard[0]])
    tensors: dict[str, Tensor] = {}
    for name in MODALITIES:
        there = name in heard
        frames = torch.tensor(features[name]) if there else classifier.mean_frame(name).expand(n_frames, -1)
        tensors[name] = frames[None]
    return tensors


@torch.no_grad()
def scores(classifier: Classifier, clips: Mapping[str, Tensor]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Probabilities [B, C] and decisions [B] for audio and video [B, T, D], where T may differ.

    Every answer to a clip is made here. Raises `UserError` if it is not of finite numbers.
    """
    log_probabilities, decisions = classifier.answers(clips["audio"], clips["video"])
    probabilities = torch.softmax(log_probabilities.double(), 1)
    if not probabilities.isfinite().all():
        variant = classifier.description.variant
        raise UserError(
            f"{variant} has no answer: its numbers are not finite; the features are far from those that it was "
            "trained on, or its weights are damaged"
        )
    return probabilities.numpy(), decisions.numpy()
