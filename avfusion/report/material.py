"""What a report is made of: the models of the study and others with their answers, and an alpha sweep."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from avfusion.analysis.pairs import pair_table, score_table
from avfusion.analysis.resampling import Locations
from avfusion.analysis.variant_answers import SideBySide, VariantAnswers, beside
from avfusion.errors import UserError
from avfusion.report import published
from avfusion.scoring.predictions import Predictions

STUDY_MODELS = {
    "audio_only": "audio only",
    "video_only": "video only",
    "baseline": "baseline (mid-level)",
    "early": "early fusion",
    "late": "late fusion, alpha = 0.5",
    "flatten": "flatten",
    "lstm": "LSTM",
}
"""Id and title of the models of the study, in the order of our tables."""


@dataclass(frozen=True, eq=False)
class SweepValidation:
    """What a sweep's trainings answered on the validation clips."""

    right: Mapping[float, NDArray[np.float64]]
    """Alpha -> [S, N] whether each of S seeds got each of N clips right (1) or not (0)."""
    locations: Locations
    """Of the N clips."""


@dataclass(frozen=True)
class Sweep:
    """Late fusion trained for each of several alphas."""

    origin: str
    records: pd.DataFrame
    """One row per alpha and seed: alpha, seed, val_accuracy, val_log_loss, test_accuracy, test_log_loss."""
    best_alpha: float
    """Chosen on validation, by the sweep itself."""
    answers: Predictions
    """Of the first seed at the best alpha, on the test clips."""
    history: pd.DataFrame
    """Epochs of the same training: epoch, train_loss, val_loss."""
    validation: SweepValidation | None = None
    """None if the sweep's run does not hold it."""

    @cached_property
    def means(self) -> pd.DataFrame:
        """Averages over the seeds, indexed by alpha, ascending."""
        return self.records.drop(columns="seed").groupby("alpha").mean().sort_index()

    @property
    def n_seeds(self) -> int:
        """How many seeds every alpha was trained with."""
        return int(self.records["seed"].nunique())


@dataclass(frozen=True)
class Material(SideBySide):
    """Everything that a report shows: models side by side, the study's under its own names, and an alpha sweep."""

    sweep: Sweep | None = None
    searched: str = "these files"
    """Where something missing was looked for."""
    missing: Mapping[str, str] = field(default_factory=dict)
    """Id of a study's model -> what is missing, where there is more to say than its title."""

    @cached_property
    def models(self) -> dict[str, VariantAnswers]:
        """The models by id."""
        return {model.name: model for model in self.variants}

    @cached_property
    def scores(self) -> pd.DataFrame:
        """The scores of the models with their intervals (see `score_table`)."""
        return score_table(self.variants, self.locations)

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """The models of all pairs side by side, with the verdicts that `compare` gives (see `pair_table`)."""
        return pair_table(self.variants, self.locations)

    @property
    def synthetic(self) -> bool | None:
        """Whether the scenes are rendered; None if not known."""
        return bool(self.features["provenance"]["dataset"]["synthetic"]) if self.features else None

    @property
    def n_validation(self) -> int | None:
        """Validation clips; None if not known."""
        return max((len(answers) for model in self.variants for answers in model.validation), default=None)

    @property
    def unlike(self) -> list[VariantAnswers]:
        """The models of the study that were trained otherwise than the study's."""
        return [model for model in self.variants if model.remarks and model.name in STUDY_MODELS]

    @cached_property
    def not_tau(self) -> tuple[str, ...]:
        """Why these are not the study's data; empty if nothing speaks against it."""
        reasons = []
        if self.synthetic:
            reasons.append("the scenes are synthetic")
        if set(self.first.classes) != set(published.CLASSES):
            reasons.append("the classes are not TAU's ten")
        if not all(_named_as_tau(clip) for clip in self.first.ids):
            reasons.append("the clips are not named as TAU's are (scene-city-location-segment)")
        return tuple(reasons)

    def absent(self, *models: str) -> str:
        """Why the models of these ids are not shown."""
        what = (self.missing.get(model) or STUDY_MODELS.get(model, model) for model in models)
        return f"not in {self.searched}: {'; '.join(what)}"


def over_same_clips(models: Sequence[VariantAnswers]) -> tuple[list[VariantAnswers], list[str]]:
    """All with the clips and classes of the first, and why others were left out.

    Raises `UserError` if a model of the study is over other clips than the first; another model is left out.
    """
    first, kept, remarks = models[0], [], []
    for model in models:
        try:
            kept.append(beside(model, first))
        except UserError:
            if model.name in STUDY_MODELS:
                raise
            remarks.append(f"Left out: {model.origin}, which is over other clips or classes than {first.origin}.")
    return kept, remarks


def in_order(models: Sequence[VariantAnswers]) -> list[VariantAnswers]:
    """The study's models first, in the order of our tables; the others by id."""
    order = {name: row for row, name in enumerate(STUDY_MODELS)}
    return sorted(models, key=lambda model: (order.get(model.name, len(order)), model.name))


def _named_as_tau(clip: str) -> bool:
    scene, *rest = clip.split("-")
    return scene in published.CLASSES and len(rest) >= 3 and rest[0] in published.CITIES
