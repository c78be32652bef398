"""Every number and table that one set of answers gives; nothing here compares two sets.

The numbers (`METRICS`) are computed by each process that trains, thousands of times in a study or under shifted inputs,
and are therefore written out here: on 300 to 3,645 clips scikit-learn's functions of the same meaning give the same
float64 and take 50 to 170 times as long, after half a second to import them. The tables (`confusion`, `per_class`),
which a run has once, are scikit-learn's.

A class without any clip in the set has no recall and no log loss. Class averages are therefore taken over the classes
that have clips; an average over all C classes would need an invented number for the others.

>>> from avfusion.scoring.predictions import Predictions
>>> import numpy as np
>>> scores = np.log([[0.8, 0.2], [0.6, 0.4], [0.3, 0.7], [0.9, 0.1]])
>>> answers = Predictions.from_scores(["a", "b", "c", "d"], ["bus", "park"], np.array([0, 0, 1, 1]), scores)
>>> accuracy(answers)
0.75
>>> {name: round(value, 3) for name, value in evaluate(answers).items()}
{'accuracy': 0.75, 'class_accuracy': 0.75, 'class_log_loss': 0.848, 'log_loss': 0.848, 'macro_f1': 0.733}
>>> per_class(answers)["recall"].to_dict()
{'bus': 1.0, 'park': 0.5}
>>> confusion(answers).tolist()
[[2, 0], [1, 1]]
"""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from avfusion.scoring.predictions import Predictions


def accuracy(predictions: Predictions) -> float:
    """Share of clips whose decision is the true class, in [0, 1]."""
    return float(predictions.right.mean())


def class_accuracy(predictions: Predictions) -> float:
    """Accuracy of each class that has clips, averaged over these classes (balanced accuracy), in [0, 1]."""
    return _mean_over_classes(predictions, predictions.right.astype(np.float64))


def class_log_loss(predictions: Predictions) -> float:
    """Log loss of each class that has clips, averaged over these classes, in nats (at least 0).

    The figure by which DCASE 2021 task 1B ranks. scikit-learn has no such mean.
    """
    return _mean_over_classes(predictions, predictions.losses)


def log_loss(predictions: Predictions) -> float:
    """Mean of -ln p(true class) over the clips, in nats (at least 0); see `Predictions.losses`."""
    return float(predictions.losses.mean())


def macro_f1(predictions: Predictions) -> float:
    """F1 averaged over the classes that have clips, in [0, 1]; F1 = 2 TP / (2 TP + FP + FN)."""
    n_classes = len(predictions.classes)
    support = np.bincount(predictions.labels, minlength=n_classes)
    decided = np.bincount(predictions.decisions, minlength=n_classes)
    right = np.bincount(predictions.labels[predictions.right], minlength=n_classes)
    present = support > 0
    return float((2 * right[present] / (support + decided)[present]).mean())


METRICS: dict[str, Callable[[Predictions], float]] = {
    function.__name__: function for function in (accuracy, class_accuracy, class_log_loss, log_loss, macro_f1)
}
"""The numbers that every run has, by name. A new one is a function of this file, and its name here."""


def evaluate(predictions: Predictions) -> dict[str, float]:
    """Every number of `METRICS` for these predictions, by name."""
    return {name: metric(predictions) for name, metric in METRICS.items()}


def evaluate_splits(answered: Mapping[str, Predictions | None]) -> dict[str, float]:
    """Every number of `METRICS` for each split that has answers, as `test/accuracy`; None stands for no answers."""
    return {
        f"{split}/{name}": value
        for split, predictions in answered.items()
        if predictions is not None
        for name, value in evaluate(predictions).items()
    }


def confusion(predictions: Predictions) -> NDArray[np.int64]:
    """[C, C] numbers of clips: rows are the true class, columns the decided one."""
    from sklearn.metrics import confusion_matrix  # takes half a second, which processes that train need not wait for

    labels = np.arange(len(predictions.classes))
    counts: NDArray[np.int64] = confusion_matrix(predictions.labels, predictions.decisions, labels=labels)
    return counts


def row_normalised(counts: NDArray[np.integer]) -> NDArray[np.float64]:
    """Shares of each row of a confusion matrix [C, C]; the row of a class without clips is all 0."""
    totals = counts.sum(axis=1, keepdims=True)
    shares: NDArray[np.float64] = counts / np.maximum(totals, 1)
    return shares


def per_class(predictions: Predictions) -> pd.DataFrame:
    """Precision, recall, F1 (all in [0, 1]) and support (clips), one row per class in class order.

    A quotient 0 / 0 is 0: the precision of a class that is never decided, the recall of one without clips.
    """
    from sklearn.metrics import precision_recall_fscore_support  # as in `confusion`

    labels = np.arange(len(predictions.classes))
    columns = precision_recall_fscore_support(predictions.labels, predictions.decisions, labels=labels, zero_division=0)
    index = pd.Index(predictions.classes, name="class")
    return pd.DataFrame(dict(zip(("precision", "recall", "f1", "support"), columns, strict=True)), index=index)


def _mean_over_classes(predictions: Predictions, values: NDArray[np.float64]) -> float:
    n_classes = len(predictions.classes)
    support = np.bincount(predictions.labels, minlength=n_classes)
    sums = np.bincount(predictions.labels, weights=values, minlength=n_classes)
    present = support > 0
    return float((sums[present] / support[present]).mean())
