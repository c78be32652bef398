"""Do the probabilities of a model mean what they say? And scaling them by a temperature, so that they do.

>>> answers = Predictions.from_scores(["a", "b", "c"], ["bus", "park"], np.array([0, 0, 1]), np.log([[0.9, 0.1]] * 3))
>>> round(expected_calibration_error(answers), 3)  # it is 90 % sure, and right for 2 clips of 3
0.233
>>> round(fit_temperature(answers), 2)  # above 1: it is too sure
3.17
>>> with_temperature(answers, fit_temperature(answers)).probabilities[0].round(3).tolist()
[0.667, 0.333]
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from torch import Tensor

from avfusion.scoring.metrics import log_loss
from avfusion.scoring.predictions import SMALLEST_PROBABILITY, Predictions

MOST_WEIGHT = 20.0
"""Largest weight of `best_weights`."""
BINS = 15
"""Equal bins of confidence (Guo et al., On Calibration of Modern Neural Networks, ICML 2017)."""


def reliability(sets: Sequence[Predictions], bins: int = BINS) -> pd.DataFrame:
    """How often a model is right when it is so sure, over one or several sets of answers (seeds) together.

    One row per bin of confidence, the largest probability of a clip; bin k holds confidences in (k / bins,
    (k + 1) / bins]. Columns low, high, clips, confidence and accuracy (means over the clips, NaN without any). Right is
    right by the decision.
    """
    confidence = np.concatenate([predictions.probabilities.max(axis=1) for predictions in sets])
    right = np.concatenate([predictions.right for predictions in sets]).astype(np.float64)
    # Probabilities such as 0.6 are no exact fractions of 2: without the small step some would fall a bin too far.
    index = np.clip(np.ceil(confidence * bins - 1e-9).astype(int) - 1, 0, bins - 1)
    clips = np.bincount(index, minlength=bins)
    shares = np.where(clips > 0, clips, np.nan)
    return pd.DataFrame(
        {
            "low": np.arange(bins) / bins,
            "high": np.arange(1, bins + 1) / bins,
            "clips": clips,
            "confidence": np.bincount(index, confidence, bins) / shares,
            "accuracy": np.bincount(index, right, bins) / shares,
        }
    )


def expected_calibration_error(predictions: Predictions, bins: int = BINS) -> float:
    """Mean over the clips of |accuracy - confidence| of their bin, in [0, 1] (Naeini et al., AAAI 2015)."""
    table = reliability([predictions], bins)
    gaps = (table["accuracy"] - table["confidence"]).abs()
    return float((gaps * table["clips"]).sum() / len(predictions))


def brier_score(predictions: Predictions) -> float:
    """Mean over the clips of the squared distance from probabilities to truth, summed over classes, in [0, 2].

    Brier's own definition (Monthly Weather Review 78, 1950); some libraries halve it. scikit-learn's `brier_score_loss`
    takes several classes since its version 1.7 alone, gives the same float64, and takes 10 to 60 times as long.
    """
    truth = np.eye(len(predictions.classes))[predictions.labels]
    return float(((predictions.probabilities - truth) ** 2).sum(axis=1).mean())


@dataclass(frozen=True)
class Split:
    """A log loss in two parts (nats); their sum is the log loss."""

    calibration: float
    """What the best temperature would take off: at least 0."""
    refinement: float
    """What is left then: how well the model tells the classes apart."""


def split_log_loss(predictions: Predictions) -> Split:
    """Log loss = calibration + refinement, refinement being the loss at the temperature best for these very clips.

    Source: Berta, Holzmueller, Jordan and Bach, Rethinking Early Stopping: Refine, Then Calibrate (2025), section 5.
    One number is fitted, so it hardly overfits; miscalibration that no temperature mends counts as refinement.
    """
    whole = log_loss(predictions)
    refinement = log_loss(with_temperature(predictions, fit_temperature(predictions)))
    return Split(whole - refinement, refinement)


def best_temperature(scores: Tensor, labels: Tensor) -> float:
    """The t in [0.05, 20] with the lowest cross-entropy of class scores [N, C] / t, given true classes [N].

    Guo et al. (2017), temperature scaling. scikit-learn fits it only for a classifier that it can call.
    """

    def loss(log_temperature: float) -> float:
        return float(torch.nn.functional.cross_entropy(scores.double() / np.exp(log_temperature), labels))

    return float(np.exp(minimize_scalar(loss, bounds=(np.log(0.05), np.log(20.0)), method="bounded").x))


def softened_cross_entropy(scores: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of class scores [N, C] with true classes [N], as if one more clip could be of any class.

    Where all N clips are told right, the plain one falls for ever as scores grow; this one has a minimum, and is nearer
    to the plain one the more clips there are. After Platt, Probabilistic Outputs for Support Vector Machines (1999),
    section 2.2.
    """
    return torch.nn.functional.cross_entropy(scores, labels, label_smoothing=1 / (len(labels) + 1))


def best_weights(log_probabilities: Sequence[Tensor], labels: Tensor) -> list[float]:
    """The weights w in [0, 20] with the lowest `softened_cross_entropy` of sum of w * log_probabilities.

    One weight for each of several models' log-probabilities [N, C], given true classes [N]; probabilities are then
    proportional to the product of theirs to the powers w. The loss is convex in w, so that its minimum is found from
    anywhere. scikit-learn's logistic regression has a weight for each class and model, and can be below 0.
    """
    stacked = torch.stack([one.double().cpu() for one in log_probabilities])  # [models, N, C]
    classes = labels.cpu()

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        variable = torch.tensor(weights, requires_grad=True)
        value = softened_cross_entropy(torch.einsum("m,mnc->nc", variable, stacked), classes)
        (gradient,) = torch.autograd.grad(value, variable)
        return value.item(), gradient.numpy()

    start = np.full(len(stacked), 1.0 / len(stacked))
    with torch.enable_grad():
        found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0.0, MOST_WEIGHT)] * len(stacked))
    return [float(weight) for weight in found.x]


def fit_temperature(validation: Predictions) -> float:
    """The temperature in [0.05, 20] with the lowest log loss on these answers; 1 where none betters theirs.

    Guo et al. (2017). Fit it on validation answers and apply it to others with `with_temperature`.
    """
    scores = torch.from_numpy(log_probabilities(validation))
    found = best_temperature(scores, torch.from_numpy(validation.labels))
    better = log_loss(with_temperature(validation, found)) < log_loss(validation)
    return found if better else 1.0


def with_temperature(predictions: Predictions, temperature: float) -> Predictions:
    """Probabilities to the power of 1 / `temperature`, rows renormalised; decisions stay. 1 changes nothing."""
    if temperature == 1:
        return predictions
    scaled = log_probabilities(predictions) / temperature
    probabilities = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    note = f"probabilities scaled by temperature {temperature:.4g}"
    return replace(predictions, probabilities=probabilities, as_read=None, notes=(*predictions.notes, note))


def log_probabilities(predictions: Predictions) -> NDArray[np.float64]:
    """[N, C] logarithms of the probabilities, those below `SMALLEST_PROBABILITY` raised to it."""
    logarithms: NDArray[np.float64] = np.log(np.maximum(predictions.probabilities, SMALLEST_PROBABILITY))
    return logarithms
