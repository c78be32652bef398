"""Variants with their answers: what is compared, reported and combined, wherever it comes from.

`avfusion.analysis.sources` finds them in MLflow runs and in prediction files.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from avfusion.analysis.locations import ClipLocations
from avfusion.analysis.resampling import Locations
from avfusion.errors import UserError
from avfusion.features import FeatureStore
from avfusion.features.provenance import note, tags
from avfusion.scoring.metrics import evaluate
from avfusion.scoring.predictions import Predictions

HIGHEST = {"accuracy": 1.0, "class_accuracy": 1.0, "log_loss": np.inf, "class_log_loss": np.inf}
"""Largest possible value of each score that has intervals; the smallest is 0. class_ averages over classes."""

SCORES = tuple(HIGHEST)
HIGHER_IS_BETTER = {"accuracy": True, "class_accuracy": True, "log_loss": False, "class_log_loss": False}


@dataclass(frozen=True)
class VariantAnswers:
    """One variant, and what it answered on the test clips: S sets of answers, one for each seed of its training."""

    name: str
    """Unique among those that stand side by side: the variant's id, with what it differs in from others of that id,
    or the name of a file."""
    origin: str
    """The file or the run that the answers come from."""
    seeds: tuple[Predictions, ...]
    """[S] answers on the test clips."""
    validation: tuple[Predictions, ...] = ()
    """[S] answers on the validation clips; empty if they are not known."""
    title: str = ""
    """Name for people."""
    remarks: str = ""
    """In what its training differs from the defaults, as far as known."""
    experiment: str | None = None
    """Name of the MLflow experiment of its run; None for a file."""
    run_id: str | None = None
    """The MLflow run that holds its model, that of all its seeds; None for a file."""
    first_seed_id: str | None = None
    """The MLflow run that holds the answers of its first seed; None for a file."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """What the run of the first seed was trained with: variant, params, seed, features; empty for a file."""

    @property
    def answers(self) -> Predictions:
        """Those of the first seed: what tables of single answers and heatmaps show."""
        return self.seeds[0]

    @cached_property
    def metrics(self) -> dict[str, float]:
        """Every metric on the test clips, averaged over the seeds."""
        scores = pd.DataFrame([evaluate(predictions) for predictions in self.seeds])
        return {str(name): float(value) for name, value in scores.mean().items()}

    def values(self, score: str) -> NDArray[np.float64]:
        """[S, N] what each of N test clips adds to a score of `SCORES`: right (1) or not (0), or its loss in nats."""
        if score.endswith("log_loss"):
            return np.stack([predictions.losses for predictions in self.seeds])
        return np.stack([predictions.right for predictions in self.seeds]).astype(np.float64)


@dataclass(frozen=True)
class SideBySide:
    """Variants with answers over the same test clips, and what is known of these clips."""

    variants: tuple[VariantAnswers, ...]
    """At least one; clips and classes are in the same order in all of them."""
    source: str
    """Where the answers come from, in words."""
    clip_locations: ClipLocations | None = None
    """Where the clips were recorded; None if that is not known."""
    remarks: tuple[str, ...] = ()
    """What a reader must know, for instance what was left out."""
    store: FeatureStore | None = None
    """The features that the variants were trained on, if they are still there."""

    @property
    def first(self) -> Predictions:
        """Some variant's answers, for what all share: clips, classes, truth."""
        return self.variants[0].answers

    @property
    def features(self) -> Mapping[str, Any] | None:
        """Path, digest and provenance of the features; None for files."""
        return self.variants[0].config.get("features")

    @property
    def note(self) -> str | None:
        """What no figure must leave out, as "synthetic scenes"; None for nothing, or if it is not known."""
        return note(self.features["provenance"]) if self.features else None

    @property
    def tags(self) -> dict[str, str]:
        """Run tags that say what the features are; empty for files."""
        return tags(self.features["provenance"]) if self.features else {}

    @cached_property
    def locations(self) -> Locations:
        """The locations of the test clips, for intervals; each clip for itself if the locations are not known.

        Raises `UserError` if they are known of some clips only.
        """
        return locations_of(self.first, self.clip_locations)


def locations_of(answers: Predictions, clip_locations: ClipLocations | None) -> Locations:
    """The locations of the clips of `answers`, for intervals; each clip for itself if `clip_locations` is None.

    Raises `UserError` if they are known of some clips only.
    """
    names = answers.ids if clip_locations is None else clip_locations.in_order(answers.ids)
    return Locations.of(names, answers.labels, len(answers.classes))


def align(first: Predictions, *others: Predictions) -> tuple[Predictions, ...]:
    """All sets with the clips and classes of `first`, in its order, joined by clip id.

    Raises `UserError` if a set has other clips, other classes, or another truth for a clip.
    """
    aligned = [first]
    for other in others:
        theirs = other.with_class_order(first.classes)
        missing = sorted(set(first.ids) - set(theirs.ids))
        extra = sorted(set(theirs.ids) - set(first.ids))
        if missing or extra:
            raise UserError(
                f"the predictions are not over the same clips: {len(missing)} only in the first set, {len(extra)} "
                f"only in the other, for instance {(missing or extra)[0]!r}; give sets over the same clips"
            )
        row = {clip: position for position, clip in enumerate(theirs.ids)}
        theirs = theirs.take(np.array([row[clip] for clip in first.ids]))
        if (differing := np.flatnonzero(theirs.labels != first.labels)).size:
            clip = int(differing[0])
            raise UserError(
                f"the true class of {differing.size} clip(s) differs between the predictions, for instance "
                f"{first.ids[clip]!r}: {first.classes[first.labels[clip]]!r} and "
                f"{first.classes[theirs.labels[clip]]!r}; give sets made from the same list of clips"
            )
        aligned.append(theirs)
    return tuple(aligned)


def beside(variant: VariantAnswers, reference: VariantAnswers) -> VariantAnswers:
    """`variant` with the clips and classes of `reference`, in its order; `UserError`, naming both, if it has others."""
    try:
        return replace(variant, seeds=align(reference.answers, *variant.seeds)[1:])
    except UserError as error:
        raise UserError(f"{variant.origin} beside {reference.origin}: {error}") from error


def on_shared_clips(variants: Sequence[VariantAnswers]) -> tuple[list[VariantAnswers], list[str]]:
    """All on the clips that every one answered, in the order of the first, and what a reader must know of that.

    (A model of one modality may answer clips that lack the other.) Raises `UserError` for fewer than two variants,
    for a name that repeats, for answers over other classes or with another truth, and if no clip is left.
    """
    if len(variants) < 2:
        found = variants[0].origin if variants else "none"
        raise UserError(f"expected at least two sets of answers; found {len(variants)} ({found}); give more")
    names = [variant.name for variant in variants]
    if repeated := [name for name in names if names.count(name) > 1]:
        raise UserError(f"{repeated[0]!r} stands for two sets of answers; give each its own name")
    sets = [set(predictions.ids) for variant in variants for predictions in variant.seeds]
    shared, largest = set.intersection(*sets), max(map(len, sets))
    if not shared:
        origins = ", ".join(variant.origin for variant in variants)
        raise UserError(f"no clip is in all of {origins}; give answers over the same clips")
    cut = [replace(variant, seeds=tuple(on_clips(seed, shared) for seed in variant.seeds)) for variant in variants]
    remark = f"Only the {len(shared)} clips that all variants answered are scored; some answered {largest}."
    return [beside(variant, cut[0]) for variant in cut], [remark] if len(shared) < largest else []


def on_clips(predictions: Predictions, clips: Set[str]) -> Predictions:
    """The answers to `clips` alone, in the order that they have; clips without an answer are passed over."""
    rows = np.array([row for row, clip in enumerate(predictions.ids) if clip in clips], dtype=np.intp)
    return predictions if len(rows) == len(predictions) else predictions.take(rows)
