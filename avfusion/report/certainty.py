"""How sure a difference between two models is, when clips of one place are not independent."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

from avfusion.report.document import signed
from avfusion.report.material import Material, Model

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean and the interval that holds the true one with 95 % confidence."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        interval = f"{signed(self.low)} to {signed(self.high)}" if np.isfinite(self.low) else "interval not known"
        return f"{signed(self.value)} ({interval})"


def mean_over_clips(values: NDArray[np.floating], groups: NDArray[np.int64]) -> Estimate:
    """Mean of [N] values, its interval from the sums of deviations per group (cluster-robust variance).

    `groups` [N] are 0 .. G - 1; the interval is Student's with G - 1 degrees of freedom (Cameron and Miller,
    "A Practitioner's Guide to Cluster-Robust Inference", 2015, for the mean), scaled by G / (G - 1). Of one
    group nothing can be said: the interval is infinite.
    """
    mean = float(np.mean(values))
    sums = np.bincount(groups, weights=values - mean)
    if len(sums) < 2:
        return Estimate(mean, -np.inf, np.inf)
    error = np.sqrt(len(sums) / (len(sums) - 1) * np.sum(sums**2)) / len(values)
    reach = float(error * t.ppf((1 + CONFIDENCE) / 2, len(sums) - 1))
    return Estimate(mean, mean - reach, mean + reach)


def accuracy(model: Model, material: Material) -> Estimate:
    """The model's accuracy on the test clips, seeds averaged."""
    return mean_over_clips(model.right, material.groups)


def gain(first: Model, second: Model, material: Material) -> Estimate:
    """Accuracy of `first` minus that of `second`, clip by clip."""
    return mean_over_clips(first.right - second.right, material.groups)
