"""Which interval errs least? False verdicts of several methods where two models are equally good, in many ways.

    python -m benchmarks.comparison.processes                     every layout and process, a quarter of an hour
    python -m benchmarks.comparison.processes --layouts tau,demo --comparisons 200

Layouts are test lists: how many clips were recorded at each location of each class. Processes are ways in which two
models of equal true scores differ; answers are simulated as in `benchmarks.comparison.intervals`. Every verdict is
false: the table gives how many of a hundred comparisons get one, and how long the interval is beside the jackknife's.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import norm
from scipy.stats import t as student

from avfusion.analysis import intervals
from avfusion.analysis.intervals import class_weights, draw_locations, estimate
from avfusion.analysis.resampling import Locations
from benchmarks.comparison.intervals import ACCURACIES, SHARPNESS, VARIANCES, tau_locations
from benchmarks.side_by_side import machine, print_table

Values = NDArray[np.float64]
SCORES = ("accuracy", "log_loss")
COLLAPSES = 0.06
"""Share of the locations at which the second model collapses in the process `skewed`."""
DEPTH = {"accuracy": 3.0, "log_loss": 1.0}
"""By how much its scores fall there; what it gains elsewhere makes the two equal in that score."""


def layout(sizes: Sequence[Sequence[int]]) -> Locations:
    """The locations of a test list: of each class the clips of each location."""
    names = [
        f"{scene}-{n}" for scene, counts in enumerate(sizes) for n, count in enumerate(counts) for _ in range(count)
    ]
    labels = [scene for scene, counts in enumerate(sizes) for count in counts for _ in range(count)]
    return Locations.of(names, np.array(labels, np.int64), len(sizes))


LAYOUTS: dict[str, Callable[[], Locations]] = {
    "tau": tau_locations,
    "demo": lambda: layout([[3] * 8] * 10),
    "4 a class": lambda: layout([[10] * 4] * 10),
    "3 a class": lambda: layout([[10] * 3] * 10),
    "2 a class": lambda: layout([[10] * 2] * 10),
    "half alone": lambda: layout([[10]] * 5 + [[10] * 6] * 5),
    "one huge": lambda: layout([[200] + [5] * 7] + [[10] * 8] * 9),
    "all huge": lambda: layout([[200] + [5] * 7] * 10),
}
"""half alone: five classes of ten have a single location. huge: 200 of 235 clips were recorded at one location."""


@dataclass(frozen=True)
class Process:
    """How two equally good models differ: variances of the parts of a score (see `intervals`)."""

    model_location: float
    model_clip: float
    tail: float = np.inf
    """Degrees of freedom of the part of model and location; infinite for normal."""
    collapses: bool = False


PROCESSES = {
    "exchangeable": Process(VARIANCES["model_location"], VARIANCES["model_clip"]),
    "near-identical": Process(0.002, 0.008),
    "heavy-tailed": Process(VARIANCES["model_location"], VARIANCES["model_clip"], tail=2.5),
    "skewed": Process(0.002, 0.008, collapses=True),
    "skewed and varied": Process(VARIANCES["model_location"], VARIANCES["model_clip"], collapses=True),
}


def simulate(locations: Locations, process: Process, generator: np.random.Generator) -> dict[str, Values]:
    """Second minus first model, clip by clip: accuracy and log loss [N]; the true mean of both is 0."""
    n_clips, places = len(locations.labels), locations.members
    means = norm.ppf(ACCURACIES)[locations.labels]
    clip = 1 - VARIANCES["location"] - process.model_location - process.model_clip
    shared = np.sqrt(VARIANCES["location"]) * generator.normal(size=len(locations))[places]
    shared = means + shared + np.sqrt(clip) * generator.normal(size=n_clips)
    tails = [np.sqrt(process.model_location) * _tail(process.tail, len(locations), generator) for _ in range(2)]
    first, second = (
        shared + tail[places] + np.sqrt(process.model_clip) * generator.normal(size=n_clips) for tail in tails
    )
    fallen = (generator.random(len(locations)) < COLLAPSES)[places]
    moved = {
        score: second + (np.where(fallen, -DEPTH[score], GAINS[score][locations.labels]) if process.collapses else 0)
        for score in SCORES
    }
    return {
        "accuracy": (moved["accuracy"] > 0).astype(float) - (first > 0),
        "log_loss": _loss(moved["log_loss"]) - _loss(first),
    }


def _tail(degrees: float, size: int, generator: np.random.Generator) -> Values:
    drawn: Values = generator.normal(size=size)
    return drawn if np.isinf(degrees) else generator.standard_t(degrees, size) / np.sqrt(degrees / (degrees - 2))


def _loss(scores: Values) -> Values:
    losses: Values = np.logaddexp(0, -SHARPNESS * scores)
    return losses


def _gains() -> dict[str, Values]:
    """By how much the second model's score must rise, by class, to make up for its collapses."""
    points, masses = np.polynomial.hermite_e.hermegauss(100)
    masses = masses / masses.sum()
    expected = {"accuracy": norm.cdf, "log_loss": lambda mean: float(_loss(mean + points) @ masses)}

    def gain(score: str, mean: float) -> float:
        value = expected[score]
        fallen = COLLAPSES * value(mean - DEPTH[score])
        return float(brentq(lambda rise: fallen + (1 - COLLAPSES) * value(mean + rise) - value(mean), 0, 8))

    return {score: np.array([gain(score, mean) for mean in norm.ppf(ACCURACIES)]) for score in SCORES}


GAINS = _gains()


def methods(
    values: Values, locations: Locations, weights: Values, drawn: Values, signs: Values
) -> dict[str, tuple[bool, float]]:
    """Of each method whether it tells the models apart, and how long its interval is beside the jackknife's.

    `drawn` [R, G] is of `draw_locations`, `signs` [R, G] are 1 or -1.
    """
    found, sums = estimate(values, locations, weights), locations.sums(values)
    if found.error == 0:
        return {}
    statistic, reach = found.value / found.error, float(student.ppf(0.975, found.degrees))
    replicates = intervals.bootstrap_statistics(found.value, sums, locations, weights, drawn)
    replicates = replicates[~np.isnan(replicates)] if np.isnan(replicates).mean() <= 0.5 else np.full(1, np.inf)
    low, high = np.quantile(replicates, [0.025, 0.975], method="inverted_cdf")
    symmetric = float(np.quantile(np.abs(replicates), 0.95, method="inverted_cdf"))
    ends = {
        "jackknife": (-reach, reach),
        "bootstrap": (low, high),
        "symmetric bootstrap": (-symmetric, symmetric),
        "sign flips": (lambda flipped: (-flipped, flipped))(_flipped(sums, locations, weights, signs)),
    }
    told = {name: (not low <= statistic <= high, (high - low) / (2 * reach)) for name, (low, high) in ends.items()}
    kept = estimate(values, locations, weights, drawn).interval
    told["kept"] = (not kept.holds(0.0), (kept.high - kept.low) / (2 * reach * found.error))
    skewness = _skewness(sums, locations, weights)
    moved = statistic + skewness * statistic**2 / 3 + skewness**2 * statistic**3 / 27 + skewness / 6
    return {**told, "skewness": (abs(moved) > reach, float("nan"))}


def _influences(sums: Values, locations: Locations, weights: Values) -> Values:
    """[G] what each location adds to the mean, less the mean of its stratum."""
    slopes, ratios = intervals._slopes(locations.sizes.sum(axis=0)[None], sums.sum(axis=0)[None], weights)
    raw = (slopes @ sums.T - (slopes * ratios) @ locations.sizes.T)[0]
    centred: Values = raw - (locations.in_strata(raw) / locations.locations_per_stratum)[locations.strata]
    return centred


def _skewness(sums: Values, locations: Locations, weights: Values) -> float:
    """Of the mean, for the transformation of Johnson (1978) and Hall (1992)."""
    counts, influences = locations.locations_per_stratum, _influences(sums, locations, weights)
    third = np.where(counts > 2, counts**2 / np.maximum((counts - 1) * (counts - 2), 1), 1)
    variance = locations.in_strata(influences**2) @ (counts / np.maximum(counts - 1, 1))
    return float(locations.in_strata(influences**3) @ third / variance**1.5)


def _flipped(sums: Values, locations: Locations, weights: Values, signs: Values) -> float:
    """The quantile of |t| where each location's deviation has a random sign (the wild cluster bootstrap)."""
    counts = locations.locations_per_stratum
    flipped = signs * _influences(sums, locations, weights)
    squares = locations.in_strata(flipped**2) - locations.in_strata(flipped) ** 2 / counts
    errors = np.sqrt(np.maximum(squares, 0) @ (counts / np.maximum(counts - 1, 1)))
    with np.errstate(divide="ignore", invalid="ignore"):
        statistics = np.abs(flipped.sum(axis=1)) / errors
    return float(np.quantile(np.nan_to_num(statistics, posinf=np.inf), 0.95, method="inverted_cdf"))


def false_verdicts(locations: Locations, process: Process, comparisons: int, draws: int) -> dict[str, dict[str, str]]:
    """Score -> method -> false verdicts of a hundred, and the median length beside the jackknife's."""
    generator = np.random.default_rng(0)
    weights = class_weights(locations, equal=False)
    told: dict[str, list[dict[str, tuple[bool, float]]]] = {score: [] for score in SCORES}
    for number in range(comparisons):
        drawn = draw_locations(locations, draws, number)
        signs = np.random.default_rng(number).choice([-1.0, 1.0], size=drawn.shape)
        for score, values in simulate(locations, process, generator).items():
            told[score].append(methods(values, locations, weights, drawn, signs))
    found = {}
    for score, each in told.items():
        names = next(made for made in each if made)
        rates = {name: 100 * np.mean([made[name][0] if made else False for made in each]) for name in names}
        lengths = {name: np.median([made[name][1] for made in each if made]) for name in names}
        found[score] = {name: f"{rates[name]:.1f} ({lengths[name]:.2f})" for name in names}
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--layouts", default=",".join(LAYOUTS))
    parser.add_argument("--processes", default=",".join(PROCESSES))
    parser.add_argument("--comparisons", type=int, default=500)
    parser.add_argument("--draws", type=int, default=999)
    given = parser.parse_args()
    rows: list[tuple[str, ...]] = []
    head: tuple[str, ...] = ()
    for name in given.layouts.split(","):
        for process in given.processes.split(","):
            found = false_verdicts(LAYOUTS[name](), PROCESSES[process], given.comparisons, given.draws)
            for score, cells in found.items():
                head = ("layout", "process", "score", *cells)
                rows.append((name, process, score.replace("_", " "), *cells.values()))
    title = f"false verdicts of 100, and length beside the jackknife's; {given.comparisons} comparisons; {machine()}"
    print_table(title, head, rows)


if __name__ == "__main__":
    main()
