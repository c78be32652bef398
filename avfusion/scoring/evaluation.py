"""Scoring predictions: all metrics, per-class tables, confusion, and the two protocols of this task.

The 10-s protocol scores one answer per clip. The 1-s protocol of DCASE 2021 task 1B scores ten answers per
clip, one for each second, at the frames `int(i * T / 10)` of a clip of T frames.
"""

import inspect
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import logsumexp

from avfusion.errors import UserError, unknown
from avfusion.scoring import metrics
from avfusion.scoring.predictions import Predictions

SECONDS = 10
"""Answers per clip of the 1-s protocol."""

METRICS: dict[str, Callable[[Predictions], float]] = {
    name: function
    for name, function in inspect.getmembers(metrics, inspect.isfunction)
    if function.__module__ == metrics.__name__ and not name.startswith("_")
}
"""Every public function of `avfusion.scoring.metrics`, by name."""


def evaluate(predictions: Predictions) -> dict[str, float]:
    """Every metric of these predictions, by name."""
    return {name: metric(predictions) for name, metric in METRICS.items()}


def confusion(predictions: Predictions) -> NDArray[np.int64]:
    """[C, C] numbers of clips: rows are the true class, columns the decided one."""
    n_classes = len(predictions.classes)
    cells = np.bincount(predictions.labels * n_classes + predictions.decisions, minlength=n_classes**2)
    return cells.reshape(n_classes, n_classes).astype(np.int64)


def row_normalised(counts: NDArray[np.integer]) -> NDArray[np.float64]:
    """Shares of each row of a confusion matrix [C, C]; the row of a class without clips is all 0."""
    totals = counts.sum(axis=1, keepdims=True)
    shares: NDArray[np.float64] = counts / np.maximum(totals, 1)
    return shares


def per_class(predictions: Predictions) -> pd.DataFrame:
    """Precision, recall, F1 (all in [0, 1]) and support (clips), one row per class in class order.

    A quotient 0 / 0 is 0: the precision of a class that is never decided, the recall of one without clips.
    """
    counts = confusion(predictions)
    right, support, decided = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    return pd.DataFrame(
        {
            "precision": right / np.maximum(decided, 1),
            "recall": right / np.maximum(support, 1),
            "f1": 2 * right / np.maximum(support + decided, 1),
            "support": support,
        },
        index=pd.Index(predictions.classes, name="class"),
    )


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
