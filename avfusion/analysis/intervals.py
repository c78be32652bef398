"""Means over clips with 95 % intervals, when only locations are independent.

The mean is a weighted average over the classes of the mean of each class's clips: with the share of the clips it is
the plain mean, with equal weights the class average. The weights are held fixed, since a test list is drawn by class.

Error: one location left out at a time, within its stratum (stratified delete-one jackknife; Wolter, Introduction to
Variance Estimation, 2007, section 4.5), and where there are seeds the variance of the mean over each side's beside it.
Interval and p-value: Student's t with the degrees of freedom of Satterthwaite (1946), or fewer, where the symmetric
studentised bootstrap needs a wider interval (Hall, On symmetric bootstrap confidence intervals, 1988): locations are
drawn with replacement within each stratum, each replicate's deviation is divided by its linearised standard error, and
95 % of these ratios must lie inside. It is what differences need that are skewed, or hang on one location.
benchmarks/README.md shows how often this errs, beside other methods.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import stdtr, stdtrit

from avfusion.analysis.resampling import Locations

CONFIDENCE = 0.95
DRAWS = 2000
"""Bootstrap replicates."""
LEAST_DEGREES = 0.5
"""Degrees of freedom below which nothing is said: the interval reaches over a hundred standard errors."""
ROUNDING = 1e-12
"""Differences and errors up to this, times the largest value where that is above 1, are those of adding floats."""


@dataclass(frozen=True)
class Interval:
    """The ends of a 95 % interval; infinite where nothing can be said."""

    low: float
    high: float

    def holds(self, value: float) -> bool:
        """Whether `value` lies in it."""
        return self.low <= value <= self.high

    def within(self, low: float, high: float) -> "Interval":
        """The part of it in the range of possible values; nothing known stays nothing known."""
        return self if np.isinf(self.low) else Interval(max(self.low, low), min(self.high, high))


NOTHING = Interval(-np.inf, np.inf)


@dataclass(frozen=True)
class Estimate:
    """A mean, its interval, and how surprising it is if the true value is 0."""

    value: float
    error: float
    """Standard error, by jackknife and, given seeds, with their part; infinite for a single location."""
    degrees: float
    """Degrees of freedom of Student's t for `interval` and `p_value`."""
    interval: Interval
    p_value: float
    """Two-sided."""

    def within(self, low: float, high: float) -> "Estimate":
        """The same with the interval cut to the range of possible values."""
        return replace(self, interval=self.interval.within(low, high))


@dataclass(frozen=True, eq=False)
class SeedErrors:
    """What training with other seeds would change, of K sides that were each trained with several."""

    variances: NDArray[np.float64]
    """[K] variance of each side's mean over its seeds."""
    degrees: NDArray[np.float64]
    """[K] degrees of freedom of each, seeds less one."""


def class_weights(locations: Locations, *, equal: bool) -> NDArray[np.float64]:
    """[C] weights that sum to 1: each class's share of the clips, or `equal` for all classes that have clips."""
    clips = locations.sizes.sum(axis=0)
    weights: NDArray[np.float64] = (clips > 0).astype(np.float64) if equal else clips
    weights = weights / weights.sum()
    return weights


def draw_locations(locations: Locations, draws: int, seed: int) -> NDArray[np.float64]:
    """[R, G] how often each location is drawn in each of `draws` bootstrap replicates."""
    generator = np.random.default_rng(seed)
    drawn = np.empty((draws, len(locations)))
    for stratum, count in enumerate(locations.locations_per_stratum):
        drawn[:, locations.strata == stratum] = generator.multinomial(count, np.full(count, 1 / count), size=draws)
    return drawn


def estimate(
    values: NDArray[np.floating],
    locations: Locations,
    weights: NDArray[np.float64],
    drawn: NDArray[np.float64] | None = None,
    seeds: SeedErrors | None = None,
) -> Estimate:
    """The mean of [N] `values` with the class weights [C], its interval and its p-value.

    `drawn` [R, G] is of `draw_locations`; without it there is no bootstrap, and the interval is Student's. Of a single
    location nothing can be said but the mean, nor where most replicates have no error: where classes have one location.
    """
    sums = locations.sums(values)
    value = float(_means(locations.sizes.sum(axis=0)[None], sums.sum(axis=0)[None], weights)[0])
    if len(locations) < 2:
        return Estimate(value, np.inf, 1.0, NOTHING, 1.0)
    parts = _jackknife_variances(sums, locations, weights)
    parts_degrees = locations.locations_per_stratum.astype(np.float64) - 1
    if seeds is not None:
        parts, parts_degrees = np.append(parts, seeds.variances), np.append(parts_degrees, seeds.degrees)
    error, degrees = float(np.sqrt(parts.sum())), _satterthwaite(parts, parts_degrees)
    if error <= ROUNDING * max(1.0, float(np.abs(values).max())):
        return _without_spread(value, degrees, len(locations))
    if drawn is not None:
        ratios = np.abs(bootstrap_statistics(value, sums, locations, weights, drawn, seeds))
        known = ratios[~np.isnan(ratios)]
        if len(known) < len(ratios) / 2:
            return Estimate(value, error, 0.0, NOTHING, 1.0)
        degrees = _at_most(degrees, float(np.quantile(known, CONFIDENCE, method="inverted_cdf")))
    reach = error * float(stdtrit(degrees, (1 + CONFIDENCE) / 2)) if degrees else np.inf
    p_value = 2 * float(stdtr(degrees, -abs(value) / error)) if degrees else 1.0
    return Estimate(value, error, degrees, Interval(value - reach, value + reach), p_value)


def _without_spread(value: float, degrees: float, n_locations: int) -> Estimate:
    """Of locations that all say the same there is no variance to go by, only how many they are: the test of signs."""
    if abs(value) <= ROUNDING:
        return Estimate(0.0, 0.0, degrees, Interval(0.0, 0.0), 1.0)
    p_value = 2.0 ** (1 - n_locations)
    return Estimate(value, 0.0, degrees, Interval(value, value) if p_value < 1 - CONFIDENCE else NOTHING, p_value)


def _at_most(degrees: float, reach: float) -> float:
    """The degrees of freedom at which the 95 % interval of Student's t reaches `reach` standard errors.

    `degrees` if their interval reaches as far; 0 if no interval does.
    """

    def lacking(log_degrees: float) -> float:
        return float(stdtrit(np.exp(log_degrees), (1 + CONFIDENCE) / 2)) - reach

    lowest, highest = np.log(LEAST_DEGREES), np.log(degrees)
    if lacking(highest) >= 0:
        return degrees
    return float(np.exp(brentq(lacking, lowest, highest))) if lacking(lowest) > 0 else 0.0


def _means(clips: NDArray[np.float64], sums: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """[R] the mean of each replicate, from its clips [R, C] and their sums [R, C] of each class."""
    slopes, ratios = _slopes(clips, sums, weights)
    means: NDArray[np.float64] = (slopes * clips * ratios).sum(axis=1)
    return means


def _slopes(
    clips: NDArray[np.float64], sums: NDArray[np.float64], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """[R, C] weight of one clip of each class, and [R, C] the mean of each class; a lost class leaves the average."""
    present = clips > 0
    shares = weights * present
    shares /= np.maximum(shares.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    safe = np.where(present, clips, 1.0)
    return shares / safe, sums / safe


def _jackknife_variances(
    sums: NDArray[np.float64], locations: Locations, weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """[H] each stratum's part of the variance."""
    counts = locations.locations_per_stratum.astype(np.float64)
    means = _means(locations.without_each(locations.sizes), locations.without_each(sums), weights)
    deviations = means - (locations.in_strata(means) / counts)[locations.strata]
    variances: NDArray[np.float64] = (counts - 1) / counts * locations.in_strata(deviations**2)
    return variances


def _linearised_errors(
    replicates: NDArray[np.float64], sums: NDArray[np.float64], locations: Locations, weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """[R] standard error of the mean of each replicate, from the influence of each of its locations."""
    slopes, ratios = _slopes(replicates @ locations.sizes, replicates @ sums, weights)
    influences = slopes @ sums.T - (slopes * ratios) @ locations.sizes.T  # [R, G]
    counts = locations.locations_per_stratum.astype(np.float64)
    weighted = replicates * influences
    squares = locations.in_strata(weighted * influences) - locations.in_strata(weighted) ** 2 / counts
    variances = np.maximum(squares, 0.0) @ (counts / np.maximum(counts - 1, 1))
    errors: NDArray[np.float64] = np.sqrt(variances)
    return errors


def bootstrap_statistics(
    value: float,
    sums: NDArray[np.float64],
    locations: Locations,
    weights: NDArray[np.float64],
    drawn: NDArray[np.float64],
    seeds: SeedErrors | None = None,
) -> NDArray[np.float64]:
    """[R] (mean of a replicate - `value`) / its standard error, for the `sums` [G, C] of values at the locations.

    NaN for a replicate without any error, as one that drew the same location over and over.
    Seeds are too few to be drawn with replacement: a replicate's means over seeds are normal with the variances of
    `seeds`, and its variances are those times chi-square by degrees of freedom.
    """
    differences = _means(drawn @ locations.sizes, drawn @ sums, weights) - value
    errors = _linearised_errors(drawn, sums, locations, weights)
    if seeds is not None:
        generator, size = np.random.default_rng(len(drawn)), (len(drawn), len(seeds.variances))
        differences = differences + generator.normal(size=size) @ np.sqrt(seeds.variances)
        errors = np.sqrt(errors**2 + generator.chisquare(seeds.degrees, size) @ (seeds.variances / seeds.degrees))
    errors = np.where(errors > ROUNDING * max(1.0, float(np.abs(sums).max())), errors, np.nan)
    statistics: NDArray[np.float64] = differences / errors
    return statistics


def _satterthwaite(parts: NDArray[np.float64], degrees: NDArray[np.float64]) -> float:
    """Degrees of freedom of a sum of independent variances."""
    known = parts > 0
    if not known.any():
        return float(max(degrees.sum(), 1.0))
    return float(parts.sum() ** 2 / (parts[known] ** 2 / degrees[known]).sum())
