"""The metrics: every public function of this file takes `Predictions` and gives one number.

`avfusion.scoring.evaluation` finds them by looking here, so a new metric is one new function.

A class without any clip in the set has no recall and no log loss. Class averages are therefore taken over
the classes that have clips; an average over all C classes would need an invented number for the others.
"""

import numpy as np
from numpy.typing import NDArray

from avfusion.scoring.predictions import Predictions

SMALLEST_PROBABILITY = float(np.finfo(np.float64).eps)
"""Floor of a true-class probability inside a logarithm (as scikit-learn), so that no loss is infinite."""


def accuracy(predictions: Predictions) -> float:
    """Share of clips whose decision is the true class, in [0, 1]."""
    return float(predictions.right.mean())


def log_loss(predictions: Predictions) -> float:
    """Mean of -ln p(true class) over the clips, in nats."""
    return float(_clip_losses(predictions).mean())


def macro_f1(predictions: Predictions) -> float:
    """F1 averaged over the classes that have clips, in [0, 1]; F1 = 2 TP / (2 TP + FP + FN)."""
    n_classes = len(predictions.classes)
    support = np.bincount(predictions.labels, minlength=n_classes)
    decided = np.bincount(predictions.decisions, minlength=n_classes)
    right = np.bincount(predictions.labels[predictions.right], minlength=n_classes)
    present = support > 0
    return float((2 * right[present] / (support + decided)[present]).mean())


def class_accuracy(predictions: Predictions) -> float:
    """Accuracy of each class that has clips, averaged over these classes (balanced accuracy), in [0, 1]."""
    return _mean_over_classes(predictions, predictions.right.astype(np.float64))


def class_log_loss(predictions: Predictions) -> float:
    """Log loss of each class that has clips, averaged over these classes, in nats.

    The figure by which DCASE 2021 task 1B ranks.
    """
    return _mean_over_classes(predictions, _clip_losses(predictions))


def _clip_losses(predictions: Predictions) -> NDArray[np.float64]:
    """[N] -ln p(true class)."""
    true_class = np.take_along_axis(predictions.probabilities, predictions.labels[:, None], axis=1)[:, 0]
    losses: NDArray[np.float64] = -np.log(np.maximum(true_class, SMALLEST_PROBABILITY))
    return losses


def _mean_over_classes(predictions: Predictions, values: NDArray[np.float64]) -> float:
    n_classes = len(predictions.classes)
    support = np.bincount(predictions.labels, minlength=n_classes)
    sums = np.bincount(predictions.labels, weights=values, minlength=n_classes)
    present = support > 0
    return float((sums[present] / support[present]).mean())
