"""How often does a whole page of `compare` call any pair, where all variants are equally good?

    python -m benchmarks.comparison.pages          about five minutes

Pages of two and of five variants with all four scores, at the layouts of TAU's and of the demo's test clips; answers
are simulated as in `benchmarks.comparison.intervals`. Holm's correction over all pairs and scores, as `compare` makes
it, stands beside the correction over the pairs of each score alone.
"""

import argparse
from itertools import chain, combinations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from avfusion.analysis.intervals import class_weights, draw_locations, estimate
from avfusion.analysis.pairs import holm
from avfusion.analysis.resampling import Locations
from benchmarks.comparison.intervals import ACCURACIES, SCORES, SHARPNESS, VARIANCES
from benchmarks.comparison.processes import LAYOUTS
from benchmarks.side_by_side import machine, print_table


def simulate(locations: Locations, n_variants: int, generator: np.random.Generator) -> dict[str, NDArray[np.float64]]:
    """Accuracy and log loss [V, N] of each clip, of variants with the same true scores."""
    spread = {name: np.sqrt(variance) for name, variance in VARIANCES.items()}
    n_clips, places = len(locations.labels), locations.members
    shared = norm.ppf(ACCURACIES)[locations.labels] + spread["clip"] * generator.normal(size=n_clips)
    shared += spread["location"] * generator.normal(size=len(locations))[places]
    own = spread["model_location"] * generator.normal(size=(n_variants, len(locations)))[:, places]
    scores = shared + own + spread["model_clip"] * generator.normal(size=(n_variants, n_clips))
    return {"accuracy": (scores > 0).astype(float), "log_loss": np.logaddexp(0, -SHARPNESS * scores)}


def called(locations: Locations, n_variants: int, pages: int, draws: int) -> tuple[float, float]:
    """Of a hundred pages how many call a pair: corrected over all pairs and scores, and over the pairs of a score."""
    generator, over_all, over_pairs = np.random.default_rng(0), 0, 0
    for number in range(pages):
        values, drawn = simulate(locations, n_variants, generator), draw_locations(locations, draws, number)
        p_values = [
            [
                estimate(first - second, locations, weights, drawn).p_value
                for first, second in combinations(values[score.removeprefix("class_")], 2)
            ]
            for score in SCORES
            for weights in [class_weights(locations, equal=score.startswith("class_"))]
        ]
        over_all += min(holm([*chain.from_iterable(p_values)])) < 0.05
        over_pairs += min(min(holm(of_score)) for of_score in p_values) < 0.05
    return 100 * over_all / pages, 100 * over_pairs / pages


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pages", type=int, default=600)
    parser.add_argument("--draws", type=int, default=499)
    given = parser.parse_args()
    rows = []
    for name in ("tau", "demo"):
        for n_variants in (2, 5):
            rates = called(LAYOUTS[name](), n_variants, given.pages, given.draws)
            rows.append((name, str(n_variants), *(f"{rate:.1f}" for rate in rates)))
    title = f"pages of a hundred that call any pair; {given.pages} pages; {machine()}"
    print_table(title, ("layout", "variants", "over all pairs and scores", "over the pairs of each score"), rows)


if __name__ == "__main__":
    main()
