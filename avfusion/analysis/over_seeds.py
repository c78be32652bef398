"""Means over seeds and clips: the choice of seeds adds its own error to that of the locations.

S   seeds that a variant was trained with
N   clips; C classes
"""

import numpy as np
from numpy.typing import NDArray

from avfusion.analysis.intervals import Estimate, SeedErrors, estimate
from avfusion.analysis.resampling import Locations


def mean_over_seeds(
    values: NDArray[np.float64],
    locations: Locations,
    weights: NDArray[np.float64],
    drawn: NDArray[np.float64] | None = None,
) -> Estimate:
    """The mean of `values` [S, N] with the class weights [C]; `drawn` as in `estimate`."""
    errors = _seed_errors(seed_means(values, locations, weights))
    return estimate(values.mean(axis=0), locations, weights, drawn, errors)


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
    errors = _seed_errors(*(seed_means(values, locations, weights) for values in (first, second)))
    return estimate(first.mean(axis=0) - second.mean(axis=0), locations, weights, drawn, errors)


def seed_means(values: NDArray[np.float64], locations: Locations, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """[S] the mean of each seed, from its clips' values [S, N]."""
    clips = np.maximum(locations.sizes.sum(axis=0), 1)
    of_classes = np.stack([locations.sums(row).sum(axis=0) / clips for row in values])
    means: NDArray[np.float64] = of_classes @ weights
    return means


def _seed_errors(*means: NDArray[np.float64]) -> SeedErrors | None:
    """The error that the choice of seeds leaves in a mean, or a difference of means, of the scores [S] of each side.

    None where no side has several seeds, or all of a side's seeds score alike.
    """
    several = [scores for scores in means if len(scores) > 1]
    variances = np.array([np.var(scores, ddof=1) / len(scores) for scores in several])
    if not variances.any():
        return None
    return SeedErrors(variances, np.array([len(scores) - 1.0 for scores in several]))
