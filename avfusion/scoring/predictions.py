"""What a model said about a set of clips: the one value that metrics, figures and files pass around."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from avfusion.errors import UserError

ROW_SUM_TOLERANCE = 1e-6

SMALLEST_PROBABILITY = float(np.finfo(np.float64).eps)
"""Floor of a true-class probability inside a logarithm (as scikit-learn's `log_loss`), so that no loss is infinite."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """One model's answers for N clips (or N one-second pieces) over C classes.

    `decisions` is kept beside `probabilities` because files round: where two rounded probabilities tie,
    only the decision that was stored tells what the model chose. Accuracy follows the decisions, log
    loss the probabilities, as public scorers of this task do.

    Raises `UserError` at construction if shapes disagree, an id or a class repeats, a label or decision
    is not an index into `classes`, or a row of `probabilities` is not a distribution.
    """

    ids: tuple[str, ...]
    """[N] names, unique."""
    classes: tuple[str, ...]
    """[C] names, unique; their order is that of the columns."""
    labels: NDArray[np.int64]
    """[N] true class, an index into `classes`."""
    probabilities: NDArray[np.float64]
    """[N, C], each row within [0, 1] and summing to 1 within 1e-6."""
    decisions: NDArray[np.int64]
    """[N] decided class, an index into `classes`."""
    as_read: NDArray[np.float64] | None = None
    """[N, C] the probabilities as a file printed them, before any floor and renormalisation; None if not
    read from a file. Their rows may miss 1 by the rounding."""
    notes: tuple[str, ...] = ()
    """What a reader of the numbers should know, for instance the floor that was applied."""

    def __post_init__(self) -> None:
        n_clips, n_classes = len(self.ids), len(self.classes)
        if n_clips == 0:
            raise UserError("predictions: no clip given; at least one is needed")
        _check_unique("clip id", self.ids)
        _check_unique("class", self.classes)
        for name, indices in (("labels", self.labels), ("decisions", self.decisions)):
            _check_indices(name, indices, n_clips, n_classes)
        _check_distributions(self.ids, self.probabilities, n_classes)

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def from_scores(
        cls,
        ids: Sequence[str],
        classes: Sequence[str],
        labels: NDArray[np.integer],
        scores: NDArray[np.floating],
    ) -> "Predictions":
        """Softmax over class scores [N, C] (any real numbers); the decision is the largest score."""
        scores = np.asarray(scores, dtype=np.float64)
        if scores.shape != (len(ids), len(classes)) or not np.isfinite(scores).all():
            raise UserError(
                f"predictions: scores have shape {scores.shape} and must be finite, "
                f"of shape ({len(ids)}, {len(classes)})"
            )
        exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
        probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
        decisions = scores.argmax(axis=1)
        return cls(tuple(ids), tuple(classes), np.asarray(labels, np.int64), probabilities, decisions)

    @property
    def right(self) -> NDArray[np.bool_]:
        """[N] whether the decision is the true class."""
        right: NDArray[np.bool_] = self.decisions == self.labels
        return right

    @property
    def losses(self) -> NDArray[np.float64]:
        """[N] -ln p(true class) of each clip, in nats: what the clip adds to the log loss."""
        true_class = np.take_along_axis(self.probabilities, self.labels[:, None], axis=1)[:, 0]
        losses: NDArray[np.float64] = -np.log(np.maximum(true_class, SMALLEST_PROBABILITY))
        return losses

    def by_argmax(self) -> "Predictions":
        """The same probabilities, decided anew by the largest; where several tie, the first class."""
        return replace(self, decisions=self.probabilities.argmax(axis=1))

    def take(self, rows: NDArray[np.integer]) -> "Predictions":
        """The clips at these row numbers, in their order."""
        return replace(
            self,
            ids=tuple(self.ids[row] for row in rows),
            labels=self.labels[rows],
            probabilities=self.probabilities[rows],
            as_read=None if self.as_read is None else self.as_read[rows],
            decisions=self.decisions[rows],
        )

    def with_class_order(self, classes: tuple[str, ...]) -> "Predictions":
        """The same answers with the columns in the order of `classes`, which must be the same set."""
        if set(classes) != set(self.classes) or len(classes) != len(self.classes):
            differing = sorted(set(classes) ^ set(self.classes))
            raise UserError(
                f"the predictions are over different classes ({', '.join(differing)} in only one of them); "
                "give sets over the same classes"
            )
        columns = np.array([self.classes.index(name) for name in classes])
        new_index = np.argsort(columns)
        return replace(
            self,
            classes=classes,
            labels=new_index[self.labels],
            probabilities=self.probabilities[:, columns],
            as_read=None if self.as_read is None else self.as_read[:, columns],
            decisions=new_index[self.decisions],
        )


def _check_unique(kind: str, names: tuple[str, ...]) -> None:
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        raise UserError(
            f"predictions: {len(repeated)} {kind}(s) repeat, for instance {repeated[0]!r}; each must occur once"
        )


def _check_indices(name: str, indices: NDArray[np.int64], n_clips: int, n_classes: int) -> None:
    if indices.shape != (n_clips,) or not np.issubdtype(indices.dtype, np.integer):
        raise UserError(
            f"predictions: {name} are {indices.dtype} of shape {indices.shape}; expected integers of shape ({n_clips},)"
        )
    if indices.min() < 0 or indices.max() >= n_classes:
        raise UserError(
            f"predictions: {name} run from {indices.min()} to {indices.max()}; expected indices of {n_classes} classes"
        )


def _check_distributions(ids: tuple[str, ...], probabilities: NDArray[np.float64], n_classes: int) -> None:
    if probabilities.shape != (len(ids), n_classes):
        raise UserError(
            f"predictions: probabilities have shape {probabilities.shape}; expected ({len(ids)}, {n_classes})"
        )
    finite = np.isfinite(probabilities).all(axis=1)
    if not finite.all():
        row = int((~finite).argmax())
        raise UserError(f"predictions: clip {ids[row]!r} has a probability that is not finite")
    sums = probabilities.sum(axis=1)
    wrong = (np.abs(sums - 1) > ROW_SUM_TOLERANCE) | (probabilities.min(axis=1) < 0)
    if wrong.any():
        row = int(wrong.argmax())
        raise UserError(
            f"predictions: the probabilities of clip {ids[row]!r} sum to {sums[row]:.6g}, the smallest is "
            f"{probabilities[row].min():.3g}; expected values of at least 0 that sum to 1"
        )
