"""Are the intervals and verdicts of `compare` right? 2,000 simulated comparisons at the cluster layout of TAU's test.

    python -m benchmarks.comparison.intervals            three scenarios, about three minutes

Two models answer the 3,645 test clips of fold 1, at 126 locations of 10 classes. Each answer hangs on a normal score

    z = mean of class and model + location (shared) + location (of the model) + clip (shared) + clip (of the model)

of variance 1. It is right where z > 0, so that the true accuracy of a class is exactly Phi(mean); its loss is
ln(1 + exp(-SHARPNESS z)), whose true mean is a Gauss-Hermite integral. The variances are set so that
the differences are as much alike within a location as those of real models of this task are (an intraclass correlation
of about 0.1 to 0.25) and one of the two alone is right about 14 % of the clips.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from avfusion.analysis.intervals import Estimate, class_weights, draw_locations, estimate
from avfusion.analysis.pairs import mcnemar_p_value
from avfusion.analysis.resampling import Locations

LAYOUT = Path(__file__).with_name("tau_test_locations.json")
"""Class -> clips of each location of the test list of TAU Urban Audio-Visual Scenes 2021, development set, fold 1."""

VARIANCES = {"location": 0.30, "model_location": 0.10, "clip": 0.46, "model_clip": 0.14}
"""Of the four random parts of a score; they sum to 1."""
SHARPNESS = 3.0
ACCURACIES = (0.75, 0.85, 0.78, 0.84, 0.92, 0.73, 0.79, 0.72, 0.88, 0.74)
"""Of each class, for the first model."""
SCORES = ("accuracy", "class_accuracy", "log_loss", "class_log_loss")


@dataclass(frozen=True)
class Scenario:
    """By how much the second model's class means are moved; a sequence of one value per class."""

    name: str
    moves: tuple[float, ...]


SCENARIOS = (
    Scenario("no difference", (0.0,) * 10),
    Scenario("second better in every class", (0.15,) * 10),
    Scenario(
        "second better in half of the classes, worse in others", (0.4, -0.1, 0.4, -0.1, 0.4, -0.1, 0.4, 0, 0.4, 0)
    ),
)


def tau_locations() -> Locations:
    """The layout of TAU's test clips."""
    sizes = json.loads(LAYOUT.read_text(encoding="utf-8"))
    names = [
        f"{scene}-{number}" for scene, counts in sizes.items() for number, n in enumerate(counts) for _ in range(n)
    ]
    labels = [index for index, counts in enumerate(sizes.values()) for _ in range(sum(counts))]
    assert (len(set(names)), len(labels), len(sizes)) == (126, 3645, 10)
    return Locations.of(names, np.array(labels, np.int64), len(sizes))


def simulate(
    locations: Locations, scenario: Scenario, generator: np.random.Generator
) -> dict[str, NDArray[np.float64]]:
    """Second minus first model, clip by clip: accuracy and log loss [N]."""
    spread = {name: np.sqrt(variance) for name, variance in VARIANCES.items()}
    n_clips, places = len(locations.labels), locations.members
    shared = spread["location"] * generator.normal(size=len(locations))[places]
    shared = shared + spread["clip"] * generator.normal(size=n_clips)
    scores = []
    for moves in ((0.0,) * locations.n_classes, scenario.moves):
        means = norm.ppf(ACCURACIES) + np.array(moves)
        own = spread["model_location"] * generator.normal(size=len(locations))[places]
        scores.append(means[locations.labels] + shared + own + spread["model_clip"] * generator.normal(size=n_clips))
    first, second = scores
    return {
        "accuracy": (second > 0).astype(float) - (first > 0),
        "log_loss": np.logaddexp(0, -SHARPNESS * second) - np.logaddexp(0, -SHARPNESS * first),
    }


def truths(locations: Locations, scenario: Scenario) -> dict[str, float]:
    """The true difference of each score."""
    points, masses = np.polynomial.hermite_e.hermegauss(100)
    first = norm.ppf(ACCURACIES)
    second = first + np.array(scenario.moves)

    def losses(means: NDArray[np.float64]) -> NDArray[np.float64]:
        expected: NDArray[np.float64] = np.logaddexp(0, -SHARPNESS * (means[:, None] + points)) @ masses / masses.sum()
        return expected

    differences = {"accuracy": norm.cdf(second) - norm.cdf(first), "log_loss": losses(second) - losses(first)}
    return {
        name: float(class_weights(locations, equal=name.startswith("class")) @ differences[name.removeprefix("class_")])
        for name in SCORES
    }


@dataclass(frozen=True)
class Rates:
    """Shares of the comparisons of one scenario and score."""

    covered: float
    verdicts: float
    """Comparisons with the verdict better or worse."""


def run(
    scenario: Scenario, *, comparisons: int, draws: int, seed: int, scores: Sequence[str] = SCORES
) -> dict[str, Rates]:
    """The rates of `scores` over that many simulated comparisons; without `draws` those of Student's t."""
    locations, generator = tau_locations(), np.random.default_rng(seed)
    true = truths(locations, scenario)
    found: dict[str, list[Estimate]] = {name: [] for name in scores}
    for number in range(comparisons):
        values = simulate(locations, scenario, generator)
        drawn = draw_locations(locations, draws, seed + number) if draws else None
        for name in scores:
            weights = class_weights(locations, equal=name.startswith("class"))
            found[name].append(estimate(values[name.removeprefix("class_")], locations, weights, drawn))
    return {
        name: Rates(
            float(np.mean([entry.interval.holds(true[name]) for entry in entries])),
            float(np.mean([entry.p_value < 0.05 for entry in entries])),
        )
        for name, entries in found.items()
    }


def mcnemar_alarms(comparisons: int, seed: int) -> float:
    """How often McNemar's test, which takes clips for independent, tells two models apart that are equally good."""
    locations, generator = tau_locations(), np.random.default_rng(seed)
    values = [simulate(locations, SCENARIOS[0], generator)["accuracy"] for _ in range(comparisons)]
    return float(np.mean([mcnemar_p_value(int((each < 0).sum()), int((each > 0).sum())) < 0.05 for each in values]))


def main() -> None:
    """Print the rates of all scenarios; an error if an interval holds less or a verdict errs more than it promises."""
    parser = argparse.ArgumentParser(description="Simulated comparisons at TAU's cluster layout.")
    parser.add_argument("--comparisons", type=int, default=2000)
    parser.add_argument("--draws", type=int, default=999)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    assert tau_locations().locations_per_stratum.tolist() == [8, 15, 16, 14, 11, 12, 9, 14, 12, 15]
    alarms = mcnemar_alarms(given.comparisons, given.seed)
    print(f"no difference, McNemar's test: {alarms:.4f} verdicts")
    assert alarms > 0.2, "McNemar's test errs less than it should where clips of a location are alike"
    for scenario in SCENARIOS:
        true = truths(tau_locations(), scenario)
        print(f"{scenario.name}: {given.comparisons} comparisons")
        for name, rates in run(scenario, comparisons=given.comparisons, draws=given.draws, seed=given.seed).items():
            print(f"  {name:15} true {true[name]:+.4f}  covered {rates.covered:.4f}  verdicts {rates.verdicts:.4f}")
            assert 0.93 <= rates.covered <= 0.98, "an interval does not hold what it promises"
            assert any(scenario.moves) or 0.02 <= rates.verdicts <= 0.07, "verdicts err more than they promise"


if __name__ == "__main__":
    main()
