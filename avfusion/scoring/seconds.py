"""The 1-s protocol: ten answers for each clip, one for each second, and how they become one answer for the clip.

DCASE 2021 task 1B scores so: its answers are those at the frames `int(i * T / 10)`, i < 10, of a clip of T frames. The
10-s protocol, one answer per clip, needs nothing but `avfusion.scoring.metrics`.

Shapes: N clips, F answers per clip, C classes.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from avfusion.errors import UserError, unknown
from avfusion.scoring.predictions import Predictions

SECONDS = 10
"""Answers per clip of the 1-s protocol."""


def second_frames(n_frames: int) -> NDArray[np.int64]:
    """[10] the frames that the 1-s protocol reads from a clip of `n_frames`: `int(i * n_frames / 10)`.

    A clip of fewer than 10 frames gives some frame more than once.
    """
    if n_frames < 1:
        raise UserError(f"the 1-s protocol needs clips of at least 1 frame; got {n_frames}")
    return np.arange(SECONDS) * n_frames // SECONDS


def per_second(
    ids: Sequence[str],
    classes: Sequence[str],
    labels: NDArray[np.integer],
    log_probabilities: NDArray[np.floating],
) -> Predictions:
    """The [N, F, C] log-probabilities of F answers per clip as N * F predictions named `<id>_<k>`, k < F."""
    n_clips, n_answers, n_classes = log_probabilities.shape
    return Predictions.from_scores(
        [f"{clip}_{k}" for clip in ids for k in range(n_answers)],
        classes,
        np.repeat(labels, n_answers),
        _finite(log_probabilities).reshape(n_clips * n_answers, n_classes),
    )


def mean_probability(log_probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """[N, F, C] -> [N, C]: log of the mean over a clip's F answers of the probabilities."""
    mean: NDArray[np.float64] = logsumexp(_finite(log_probabilities), axis=1) - np.log(log_probabilities.shape[1])
    return mean


def sum_log_softmax(log_probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """[N, F, C] -> [N, C]: sum over a clip's F answers of the log-probabilities, as DCASE's baseline does.

    The rows are scores, not log-probabilities: a softmax (`Predictions.from_scores`) normalises them.
    """
    scores: NDArray[np.float64] = _finite(log_probabilities).sum(axis=1)
    return scores


AGGREGATIONS: dict[str, Callable[[NDArray[np.floating]], NDArray[np.float64]]] = {
    "mean_probability": mean_probability,
    "sum_log_softmax": sum_log_softmax,
}
"""Named rules that turn the answers for the frames of a clip into one answer for the clip."""


def per_clip(
    ids: Sequence[str],
    classes: Sequence[str],
    labels: NDArray[np.integer],
    log_probabilities: NDArray[np.floating],
    rule: str,
) -> Predictions:
    """The [N, F, C] log-probabilities of F answers per clip as N predictions, by a rule of `AGGREGATIONS`."""
    if rule not in AGGREGATIONS:
        raise unknown("aggregation rule", rule, list(AGGREGATIONS))
    return Predictions.from_scores(ids, classes, labels, AGGREGATIONS[rule](log_probabilities))


def clips_of_seconds(seconds: Predictions, rule: str) -> Predictions:
    """1-s predictions (ids `<id>_<k>`, as of `per_second` or a DCASE file) as one prediction per clip, by `rule`.

    Clips come in the order of their first second. Raises `UserError` if clips have different numbers of
    seconds.
    """
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(seconds.ids):
        rows.setdefault(name.rpartition("_")[0], []).append(row)
    if len({len(members) for members in rows.values()}) > 1:
        shortest, longest = (choose(rows, key=lambda clip: len(rows[clip])) for choose in (min, max))
        raise UserError(
            f"clip {shortest!r} has {len(rows[shortest])} seconds, clip {longest!r} {len(rows[longest])}; "
            "every clip needs as many"
        )
    members = np.array(list(rows.values()))
    with np.errstate(divide="ignore"):
        log_probabilities = np.log(seconds.probabilities[members])
    return per_clip(list(rows), seconds.classes, seconds.labels[members[:, 0]], log_probabilities, rule)


def _finite(log_probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """Probability 0 as the smallest positive number, so that it can be added up."""
    finite: NDArray[np.float64] = np.maximum(
        np.asarray(log_probabilities, dtype=np.float64), np.log(np.finfo(np.float64).tiny)
    )
    return finite
