"""What a report is made of, wherever it comes from: models with their answers, an alpha sweep, facts on the data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from avfusion.analysis.conflict import align
from avfusion.analysis.resampling import Locations
from avfusion.errors import UserError
from avfusion.report import published
from avfusion.scoring.metrics import evaluate
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


@dataclass(frozen=True)
class Model:
    """One model and its answers on the test clips."""

    id: str
    title: str
    origin: str
    """The file or the run that the answers come from."""
    seeds: tuple[Predictions, ...]
    """Its answers, once for each seed that it was trained with."""
    remarks: str = ""
    """In what it differs from the study's model, as far as known."""

    @property
    def answers(self) -> Predictions:
        """Those of the first seed: what tables of single answers and heatmaps show."""
        return self.seeds[0]

    @cached_property
    def metrics(self) -> dict[str, float]:
        """Every metric, averaged over the seeds."""
        scores = pd.DataFrame([evaluate(predictions) for predictions in self.seeds])
        return {str(name): float(value) for name, value in scores.mean().items()}

    @cached_property
    def right_by_seed(self) -> NDArray[np.float64]:
        """[S, N] 1 where a seed is right about a clip, else 0."""
        return np.stack([predictions.right for predictions in self.seeds]).astype(np.float64)


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

    @cached_property
    def means(self) -> pd.DataFrame:
        """Averages over the seeds, indexed by alpha, ascending."""
        return self.records.drop(columns="seed").groupby("alpha").mean().sort_index()

    @property
    def n_seeds(self) -> int:
        """How many seeds every alpha was trained with."""
        return int(self.records["seed"].nunique())


@dataclass(frozen=True)
class Material:
    """Everything that a report shows. All models are over the same clips and classes, in the same order."""

    source: str
    """Where the answers come from, in words."""
    place: str
    """"these files" or "this experiment": where something missing was looked for."""
    models: Mapping[str, Model]
    sweep: Sweep | None = None
    facts: tuple[tuple[str, str], ...] = ()
    """What is known of data and features: pairs of name and value."""
    remarks: tuple[str, ...] = ()
    """What else a reader must know, for instance what was left out."""
    locations: Mapping[str, str] | None = None
    """Clip id -> place of recording; None if not known."""
    synthetic: bool | None = None
    """Whether the scenes are rendered; None if not known."""
    figure_note: str | None = None
    """Said in every figure: "synthetic scenes"."""
    n_validation: int | None = None
    """Validation clips; None if not known."""
    missing: Mapping[str, str] | None = None
    """Model id -> why it is missing, where there is more to say than that it is not there."""

    @property
    def first(self) -> Predictions:
        """Some model's answers, for what all share: clips, classes, truth."""
        return next(iter(self.models.values())).answers

    @cached_property
    def tested(self) -> Locations:
        """The places of the test clips; each clip for itself if the places are not known."""
        names = self.first.ids if self.locations is None else [self.locations[clip] for clip in self.first.ids]
        return Locations.of(names, self.first.labels, len(self.first.classes))

    @property
    def unlike(self) -> list[str]:
        """The models of the study that differ from the study's, with what they differ in."""
        return [f"{m.title} ({m.remarks})" for m in self.models.values() if m.remarks and m.id in STUDY_MODELS]

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

    def absent(self, model: str) -> str:
        """Why the model of this id is not shown."""
        reason = (self.missing or {}).get(model)
        return reason or f"not in {self.place}: {STUDY_MODELS.get(model, model)}"


def over_same_clips(models: Sequence[Model]) -> tuple[dict[str, Model], list[str]]:
    """The models by id, all with the clips and classes of the first, and why others were left out.

    Raises `UserError` if a model of the study is over other clips than the first; another model is left out.
    """
    reference = models[0].answers
    kept, remarks = {}, []
    for model in models:
        try:
            seeds = align(reference, *model.seeds)[1:]
        except UserError as error:
            if model.id in STUDY_MODELS:
                raise UserError(f"{model.origin} beside {models[0].origin}: {error}") from error
            remarks.append(f"Left out: {model.origin}, which is over other clips or classes than {models[0].origin}.")
            continue
        kept[model.id] = replace(model, seeds=seeds)
    return kept, remarks


def in_order(models: Sequence[Model]) -> list[Model]:
    """The study's models first, in the order of our tables; the others by id."""
    places = list(STUDY_MODELS)
    return sorted(models, key=lambda model: (places.index(model.id) if model.id in places else len(places), model.id))


def _named_as_tau(clip: str) -> bool:
    scene, *rest = clip.split("-")
    return scene in published.CLASSES and len(rest) >= 3 and rest[0] in published.CITIES
