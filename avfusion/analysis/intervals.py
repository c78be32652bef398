"""Means over clips with 95 % intervals, when only locations are independent.

The mean is a weighted average over the classes of the mean of each class's clips: with the share of the clips it is
the plain mean, with equal weights the class average. The weights are held fixed, since a test list is drawn by class.

Jackknife: one location left out at a time, within its stratum (stratified delete-one jackknife; Wolter, Introduction
to Variance Estimation, 2007, section 4.5), and Student's t with the degrees of freedom of Satterthwaite (1946).
Bootstrap: locations drawn with replacement within each stratum, each replicate's deviation divided by its linearised
standard error, and the quantiles of that ratio times the jackknife's standard error laid around the mean (bootstrap-t;
Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 12.5). A percentile interval would be too narrow
with about twelve locations a class. benchmarks/comparison.py shows that both intervals hold what they promise.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from avfusion.analysis.resampling import Locations

CONFIDENCE = 0.95
DRAWS = 2000
"""Bootstrap replicates."""


@dataclass(frozen=True)
class Interval:
    """The ends of a 95 % interval; infinite where nothing can be said."""

    low: float
    high: float

    def holds(self, value: float) -> bool:
        """Whether `value` lies in it."""
        return self.low <= value <= self.high

    def within(self, low: float, high: float) -> "Interval":
        """The part of it in the range of possible values."""
        return Interval(max(self.low, low), min(self.high, high))


@dataclass(frozen=True)
class Estimate:
    """A mean, its intervals, and how surprising it is if the true value is 0."""

    value: float
    error: float
    """Standard error, by jackknife and, given seeds, with their part; infinite for a single location."""
    degrees: float
    """Degrees of freedom of `error`."""
    jackknife: Interval
    bootstrap: Interval
    p_value: float
    """Two-sided, of the jackknife t statistic."""

    def within(self, low: float, high: float) -> "Estimate":
        """The same with both intervals cut to the range of possible values."""
        return replace(self, jackknife=self.jackknife.within(low, high), bootstrap=self.bootstrap.within(low, high))


@dataclass(frozen=True)
class SeedError:
    """What training with other seeds would change: the variance of a mean over seeds, with degrees of freedom."""

    variance: float = 0.0
    degrees: float = 1.0


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
    seeds: SeedError | None = None,
) -> Estimate:
    """The mean of [N] `values` with the class weights [C], its intervals and its p-value.

    `drawn` [R, G] is of `draw_locations`; without it there is no bootstrap, and its interval is infinite. Of a single
    location nothing can be said but the mean.
    """
    sums = locations.sums(values)
    value = float(_means(locations.sizes.sum(axis=0)[None], sums.sum(axis=0)[None], weights)[0])
    if len(locations) < 2:
        nothing = Interval(-np.inf, np.inf)
        return Estimate(value, np.inf, 1.0, nothing, nothing, 1.0)
    parts = _jackknife_variances(sums, locations, weights)
    parts_degrees = locations.locations_per_stratum.astype(np.float64) - 1
    if seeds is not None:
        parts, parts_degrees = np.append(parts, seeds.variance), np.append(parts_degrees, seeds.degrees)
    error, degrees = float(np.sqrt(parts.sum())), _satterthwaite(parts, parts_degrees)
    reach = error * float(student.ppf((1 + CONFIDENCE) / 2, degrees))
    surprise = abs(value) / error if error > 0 else (np.inf if value else 0.0)
    p_value = float(2 * student.sf(surprise, degrees))
    low, high = -np.inf, np.inf
    if drawn is not None:
        low, high = _bootstrap_quantiles(value, sums, locations, weights, drawn)
    bootstrap = Interval(value - high * error, value - low * error) if error > 0 else Interval(value, value)
    return Estimate(value, error, degrees, Interval(value - reach, value + reach), bootstrap, p_value)


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


def _bootstrap_quantiles(
    value: float,
    sums: NDArray[np.float64],
    locations: Locations,
    weights: NDArray[np.float64],
    drawn: NDArray[np.float64],
) -> tuple[float, float]:
    """The quantiles of (mean of a replicate - mean) / its standard error."""
    differences = _means(drawn @ locations.sizes, drawn @ sums, weights) - value
    errors = _linearised_errors(drawn, sums, locations, weights)
    rounding = 1e-12 * max(1.0, float(np.abs(sums).max()))
    with np.errstate(divide="ignore", invalid="ignore"):
        statistics = np.where(np.abs(differences) <= rounding, 0.0, differences / errors)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(statistics, [tail, 1 - tail], method="inverted_cdf")
    return float(low), float(high)


def _satterthwaite(parts: NDArray[np.float64], degrees: NDArray[np.float64]) -> float:
    """Degrees of freedom of a sum of independent variances."""
    known = parts > 0
    if not known.any():
        return float(max(degrees.sum(), 1.0))
    return float(parts.sum() ** 2 / (parts[known] ** 2 / degrees[known]).sum())
