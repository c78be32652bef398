"""Means over seeds and clips: the choice of seeds adds its own error to that of the locations.

S   seeds that a variant was trained with
N   clips; C classes
"""

import numpy as np
from numpy.typing import NDArray

from avfusion.analysis.intervals import Estimate, SeedError, estimate
from avfusion.analysis.resampling import Locations


def mean_over_seeds(
    values: NDArray[np.float64],
    locations: Locations,
    weights: NDArray[np.float64],
    drawn: NDArray[np.float64] | None = None,
) -> Estimate:
    """The mean of `values` [S, N] with the class weights [C]; `drawn` as in `estimate`."""
    error = _seed_error(seed_means(values, locations, weights))
    return estimate(values.mean(axis=0), locations, weights, drawn, error)


def difference_over_seeds(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    locations: Locations,
    weights: NDArray[np.float64],
    drawn: NDArray[np.float64] | None = None,
) -> Estimate:
    """The mean of `first` [S, N] minus that of `second` [S', N], clip by clip.

    The spread over seeds of a side with a single seed is not known, and not in the error.
    """
    error = _seed_error(*(seed_means(values, locations, weights) for values in (first, second)))
    return estimate(first.mean(axis=0) - second.mean(axis=0), locations, weights, drawn, error)


def seed_means(values: NDArray[np.float64], locations: Locations, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """[S] the mean of each seed, from its clips' values [S, N]."""
    clips = np.maximum(locations.sizes.sum(axis=0), 1)
    of_classes = np.stack([locations.sums(row).sum(axis=0) / clips for row in values])
    means: NDArray[np.float64] = of_classes @ weights
    return means


def _seed_error(*means: NDArray[np.float64]) -> SeedError | None:
    """The error that the choice of seeds leaves in a mean, or a difference of means, of the scores [S] of each side."""
    variances = np.array([np.var(scores, ddof=1) / len(scores) for scores in means if len(scores) > 1])
    if not len(variances) or not variances.any():
        return None
    degrees = np.array([len(scores) - 1 for scores in means if len(scores) > 1])
    return SeedError(float(variances.sum()), float(variances.sum() ** 2 / (variances**2 / degrees).sum()))
