"""How often is a variant called better than itself? Real networks, trained with many seeds, on the demo's features.

    python -m entrypoints.extract --output /tmp/demo-features
    python -m benchmarks.comparison.networks --features /tmp/demo-features     about ten minutes

Each variant is trained with --networks seeds. Then two sides are drawn from its networks, none of them in both, with 1,
3 or 5 networks a side, and compared as `compare` would; every verdict is false, for both sides are the same variant.
"""

import argparse
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avfusion.analysis.intervals import class_weights, draw_locations
from avfusion.analysis.over_seeds import difference_over_seeds
from avfusion.analysis.resampling import Locations
from avfusion.analysis.variant_answers import VariantAnswers
from avfusion.features import FeatureStore
from avfusion.fusion import variants
from avfusion.system.device import choose_device
from avfusion.training.experiment import resolve_params
from avfusion.training.many import Trainer, Training
from avfusion.training.split_features import TEST, SplitFeatures
from avfusion.training.stored_results import StoredResults
from benchmarks.side_by_side import machine, print_table

TRAININGS: tuple[tuple[str, dict[str, str]], ...] = (
    ("late", {"learning_rate": "0.001"}),
    ("late", {}),
    ("early", {}),
    ("baseline", {}),
)
"""Variants and settings other than the study's."""
SIDES = ((1, 1), (3, 3), (5, 5), (3, 5))
"""Networks of the first and of the second side."""
SCORES = ("accuracy", "log_loss")


def networks(
    store: FeatureStore, name: str, params: dict[str, str], n: int, folder: Path, workers: int
) -> VariantAnswers:
    """One variant trained with `n` seeds; those already in `folder` are not trained again."""
    variant = variants()[name]
    (resolved,) = resolve_params([variant], params)
    folder.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(SplitFeatures(store), choose_device("cpu"), StoredResults(folder), workers)
    results = trainer.results([Training(variant, resolved, seed) for seed in range(n)])
    return VariantAnswers(name, "trained here", tuple(result.test for result in results))


def false_verdicts(
    values: NDArray[np.float64], locations: Locations, sides: tuple[int, int], pairs: int, draws: int
) -> tuple[float, float]:
    """Shares of `pairs` drawn comparisons that tell the sides apart, with the bootstrap, and by Student's t alone.

    `values` [M, N] are those of M networks of one variant.
    """
    generator, weights = np.random.default_rng(0), class_weights(locations, equal=False)
    told, students = 0, 0
    for number in range(pairs):
        order = generator.permutation(len(values))
        first, second = values[order[: sides[0]]], values[order[sides[0] : sum(sides)]]
        drawn = draw_locations(locations, draws, number)
        told += difference_over_seeds(first, second, locations, weights, drawn).p_value < 0.05
        students += difference_over_seeds(first, second, locations, weights).p_value < 0.05
    return told / pairs, students / pairs


def rows_of(name: str, answers: VariantAnswers, locations: Locations, pairs: int, draws: int) -> list[Sequence[str]]:
    """The rows of the table for one variant: a score, a number of networks a side, and the two shares."""
    rows: list[Sequence[str]] = []
    for score, sides in product(SCORES, SIDES):
        told, students = false_verdicts(answers.values(score), locations, sides, pairs, draws)
        spread = f"{np.std(answers.values(score).mean(axis=1), ddof=1):.4f}"
        rows.append((name, score, spread, f"{sides[0]} and {sides[1]}", f"{100 * told:.1f}", f"{100 * students:.1f}"))
    return rows


def main() -> None:
    """Train, draw, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--features", type=Path, required=True, help="feature store of the demo's scenes")
    parser.add_argument("--folder", type=Path, default=Path("runs/networks"), help="where trained networks are kept")
    parser.add_argument("--networks", type=int, default=40)
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=999)
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    store, rows = FeatureStore.open(given.features), []
    data = SplitFeatures(store)
    places = dict(zip(store.clips["id"], store.clips["location"], strict=True))
    for name, params in TRAININGS:
        answers = networks(store, name, params, given.networks, given.folder, given.workers)
        first = answers.answers
        locations = Locations.of([str(places[clip]) for clip in first.ids], first.labels, len(data.classes))
        shown = " ".join([name, *(f"{key}={value}" for key, value in params.items())])
        rows += rows_of(shown, answers, locations, given.pairs, given.draws)
    counts = f"{len(data.rows(TEST))} test clips, {given.networks} networks, {given.pairs} comparisons; {machine()}"
    print_table(
        counts, ("variant", "score", "spread over seeds", "networks a side", "called", "by Student's t alone"), rows
    )


if __name__ == "__main__":
    main()
