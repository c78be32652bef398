"""Several classifiers as one: probabilities are proportional to the product of theirs, each to the power of its weight.

On disk it is a folder with `classifier.json`, which has the weights, and a folder `members` with one folder of a
`SceneClassifier` for each; nothing is pickled.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from avfusion.errors import UserError
from avfusion.features import MODALITIES
from avfusion.scoring.calibration import MOST_WEIGHT
from avfusion.scoring.predictions import SMALLEST_PROBABILITY
from avfusion.system.files import read_object
from avfusion.training.classifier import COMPANIONS, DESCRIPTION, Classifier, Description
from avfusion.training.scene_classifier import SceneClassifier

ENSEMBLE = "ensemble"
"""What stands for a variant where the answers are of an ensemble."""
MEMBERS = "members"


class Ensemble(Classifier):
    """Trained variants on the same features, with their weights.

    Its companions are its own members: where a clip lacks a modality, those answer that can answer from the other
    alone, with weights that are scaled to sum to 1; where none can, a companion of the member with the largest weight
    that has one does. Its members have no companions of their own any more.
    """

    def __init__(
        self, members: Mapping[str, SceneClassifier], weights: Mapping[str, float], hearing: str | None = None
    ) -> None:
        """`weights` are by the names of `members`; `hearing` is the one modality that is to be listened to, if any.

        Raises `UserError` for members of other features, or of other classes, than the first.
        """
        first = next(iter(members.values())).description
        super().__init__(Description(ENSEMBLE, first.shape, {}, first.classes, first.features))
        for name, member in members.items():
            _check_alike(name, member.description, first)
        self.members, self.weights, self.hearing = dict(members), dict(weights), hearing
        # Not by their names, in which torch would take a dot for a path.
        self.networks = torch.nn.ModuleList(self.members.values())
        self.lent: dict[str, SceneClassifier] = {}
        if hearing is None and len(self.modalities) > 1:
            self.companions = {name: one for modality in MODALITIES for name, one in self._alone(modality).items()}
            for member in self.members.values():
                member.companions = {}

    def _alone(self, modality: str) -> dict[str, Classifier]:
        """What answers for a clip that has nothing but `modality`, by its name; empty if nothing does."""
        able = {name: member for name, member in self.members.items() if _answers_from(member, modality)}
        total = sum(self.weights[name] for name in able)
        if total > 0:
            scaled = {name: self.weights[name] / total for name in able}
            return {f"{'+'.join(able)} by {modality}": Ensemble(able, scaled, modality)}
        for member in sorted(self.members, key=self.weights.__getitem__, reverse=True):
            for name, companion in self.members[member].companions.items():
                if companion.modalities == (modality,):
                    self.lent[name] = companion
                    return {name: companion}
        return {}

    @property
    def modalities(self) -> tuple[str, ...]:
        """See `Classifier`; what any of its members listens to."""
        if self.hearing is not None:
            return (self.hearing,)
        return tuple(name for name in MODALITIES if any(name in one.modalities for one in self.members.values()))

    @property
    def pools_time(self) -> bool:
        """See `Classifier`; whether all members do."""
        return all(member.pools_time for member in self.members.values())

    @property
    def any_length(self) -> bool:
        """See `Classifier`; whether all members did."""
        return all(member.any_length for member in self.members.values())

    @property
    def diagnosed(self) -> Mapping[str, str]:
        """See `Classifier`; what members say beside their answers is theirs alone."""
        return {}

    @property
    def without_companion(self) -> str:
        """See `Classifier`."""
        return "make an ensemble with a member that needs nothing else, as {only}_only"

    def answers(self, audio: Tensor, video: Tensor) -> tuple[Tensor, Tensor]:
        """See `Classifier`; in float64. The decision is the class of the largest probability."""
        weighted = [
            self.weights[name] * member.answers(audio, video)[0].double().clamp(min=float(np.log(SMALLEST_PROBABILITY)))
            for name, member in self.members.items()
        ]
        scores = torch.log_softmax(torch.stack(weighted).sum(0), 1)
        return scores, scores.argmax(1)

    def diagnostics(self, audio: Tensor, video: Tensor) -> dict[str, Tensor]:
        """See `Classifier`."""
        return {}

    def pair(self, audio: Tensor, video: Tensor) -> tuple[Tensor, Tensor]:
        """See `Classifier`; all members pair alike, for that depends on their features."""
        return next(iter(self.members.values())).pair(audio, video)

    def mean_frame(self, modality: str) -> Tensor:
        """See `Classifier`; that of the first member that listens to `modality`."""
        members = list(self.members.values())
        listening = [member for member in members if modality in member.modalities]
        return (listening or members)[0].mean_frame(modality)

    def save(self, folder: Path) -> None:
        """See `Classifier`; of companions those that are not made of its members."""
        folder.mkdir(parents=True, exist_ok=True)
        about = {"variant": ENSEMBLE, "weights": self.weights}
        (folder / DESCRIPTION).write_text(json.dumps(about, indent=2), encoding="utf-8")
        for name, member in self.members.items():
            member.save(folder / MEMBERS / name)
        for name, companion in self.lent.items():
            companion.save(folder / COMPANIONS / name)

    @classmethod
    def load(cls, folder: Path) -> "Ensemble":
        """The ensemble that `save` wrote, in evaluation mode; `UserError` if `folder` holds none or a damaged one."""
        found = {path.name: path for path in folder.glob(f"{MEMBERS}/*/")}
        try:
            weights = read_object(folder / DESCRIPTION)["weights"]
            if not isinstance(weights, dict) or weights.keys() != found.keys() or not found:
                raise ValueError("its weights are not those of its members")
            for name, weight in weights.items():
                if not isinstance(weight, float) or not 0 < weight <= MOST_WEIGHT:
                    raise ValueError(
                        f"the weight of {name} is {weight}, expected a number above 0, at most {MOST_WEIGHT:g}"
                    )
            members = {name: SceneClassifier.load(found[name]) for name in weights}
            next(iter(members.values())).companions |= {
                path.name: SceneClassifier.load(path) for path in sorted(folder.glob(f"{COMPANIONS}/*/"))
            }
            return cls(members, weights).eval()
        except (UserError, OSError, ValueError, KeyError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"{folder} holds no usable ensemble ({reason}); make it again") from error


def open_classifier(folder: Path) -> Classifier:
    """What `Classifier.save` wrote into `folder`: an ensemble or one variant, in evaluation mode.

    Raises `UserError` if it holds none, or a damaged one.
    """
    return Ensemble.load(folder) if (folder / MEMBERS).is_dir() else SceneClassifier.load(folder)


def _answers_from(member: SceneClassifier, modality: str) -> bool:
    """Whether `member` itself answers for a clip that has nothing but `modality`."""
    return member.modalities == (modality,) or modality in member.description.answers_alone


def _check_alike(name: str, member: Description, first: Description) -> None:
    sizes = ((one.shape.audio_dim, one.shape.video_dim, one.classes, one.features) for one in (member, first))
    if len({json.dumps(found, sort_keys=True) for found in sizes}) > 1:
        raise UserError(
            f"{name} was trained on other features, or other classes, than {first.variant}; take members that were "
            "trained on the same feature store"
        )
