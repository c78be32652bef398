"""What is compared: variants with their answers on the same test clips, once for each seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from avfusion.analysis.conflict import align
from avfusion.errors import UserError
from avfusion.scoring.predictions import Predictions


@dataclass(frozen=True)
class Contender:
    """One variant and its answers."""

    name: str
    origin: str
    """The file or the run that the answers come from."""
    seeds: tuple[Predictions, ...]
    """Answers on the test clips, once for each seed that it was trained with."""
    validation: tuple[Predictions, ...] = ()
    """Answers on the validation clips, seed by seed; empty if they are not known."""

    def values(self, score: str) -> NDArray[np.float64]:
        """[S, N] what each clip adds to a score of `SCORES`, for each of S seeds: right (1 or 0), or the log loss."""
        return np.stack([VALUES[score](predictions) for predictions in self.seeds])


def _right(predictions: Predictions) -> NDArray[np.float64]:
    return predictions.right.astype(np.float64)


def _losses(predictions: Predictions) -> NDArray[np.float64]:
    return predictions.losses


VALUES = {"accuracy": _right, "class_accuracy": _right, "log_loss": _losses, "class_log_loss": _losses}
"""Score -> what each clip adds to it, named as in `avfusion.scoring.metrics`; class_ averages over classes."""

SCORES = tuple(VALUES)
HIGHEST = {"accuracy": 1.0, "class_accuracy": 1.0, "log_loss": np.inf, "class_log_loss": np.inf}
"""Largest possible value; the smallest is 0."""
HIGHER_IS_BETTER = {"accuracy": True, "class_accuracy": True, "log_loss": False, "class_log_loss": False}


def same_clips(contenders: Sequence[Contender]) -> tuple[list[Contender], list[str]]:
    """All on the clips that every one answered, in the order of the first, and what a reader must know of that.

    (A model of one modality may answer clips that lack the other.) Raises `UserError` for fewer than two contenders,
    for a name that repeats, for answers over other classes or with another truth, and if no clip is left.
    """
    if len(contenders) < 2:
        found = contenders[0].origin if contenders else "none"
        raise UserError(f"compare needs at least two sets of answers; found {len(contenders)} ({found}); give more")
    names = [contender.name for contender in contenders]
    if repeated := [name for name in names if names.count(name) > 1]:
        raise UserError(f"{repeated[0]!r} stands for two sets of answers; give each its own name")
    sets = [set(predictions.ids) for contender in contenders for predictions in contender.seeds]
    shared, largest = set.intersection(*sets), max(map(len, sets))
    if not shared:
        origins = ", ".join(contender.origin for contender in contenders)
        raise UserError(f"no clip is in all of {origins}; give answers over the same clips")
    aligned, first = [], _only(contenders[0].seeds[0], shared)
    for contender in contenders:
        try:
            seeds = align(first, *(_only(predictions, shared) for predictions in contender.seeds))[1:]
        except UserError as error:
            raise UserError(f"{contender.origin} beside {contenders[0].origin}: {error}") from error
        aligned.append(replace(contender, seeds=seeds))
    remark = f"Only the {len(shared)} clips that all variants answered are scored; some answered {largest}."
    return aligned, [remark] if len(shared) < largest else []


def _only(predictions: Predictions, clips: set[str]) -> Predictions:
    """The answers for these clips."""
    if len(clips) == len(predictions):
        return predictions
    return predictions.take(np.array([row for row, clip in enumerate(predictions.ids) if clip in clips]))


def locations_in_order(clips: Sequence[str], locations: Mapping[str, str], origin: str) -> list[str]:
    """[N] location of each of `clips`; `UserError` if `origin` lacks one."""
    if missing := [clip for clip in clips if clip not in locations]:
        raise UserError(
            f"{origin}: no location of {len(missing)} of {len(clips)} clips, for instance {missing[0]!r}; give a CSV "
            "with a line for each clip"
        )
    return [locations[clip] for clip in clips]
