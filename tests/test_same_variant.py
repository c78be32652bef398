"""A variant against itself: with several seeds a side at most 7 verdicts in a hundred, with one seed many.

The long simulations are in benchmarks/comparison/.
"""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from avfusion.analysis.intervals import class_weights, draw_locations
from avfusion.analysis.over_seeds import difference_over_seeds
from avfusion.analysis.resampling import Locations
from avfusion.analysis.variant_answers import VariantAnswers
from avfusion.fusion import variants
from avfusion.training.experiment import resolve_params, score_test, train
from avfusion.training.split_features import SplitFeatures
from tests.stores import make_store

SIDES = [(3, 3), (5, 5), (3, 5)]


def told_apart(
    first: NDArray[np.float64], second: NDArray[np.float64], locations: Locations, drawn: NDArray[np.float64]
) -> bool:
    weights = class_weights(locations, equal=False)
    return difference_over_seeds(first, second, locations, weights, drawn).p_value < 0.05


def simulated(n_networks: int, spread: float, generator: np.random.Generator) -> NDArray[np.float64]:
    """[S, N] which clips S networks of one variant get right, at 40 locations of 6 clips.

    Seeds differ as a whole (by `spread`), at each location and at each clip.
    """
    places = np.repeat(np.arange(40), 6)
    shared = 0.5 * generator.normal(size=40)[places] + 0.7 * generator.normal(size=240)
    seeds = spread * generator.normal(size=(n_networks, 1))
    own = 0.2 * generator.normal(size=(n_networks, 40))[:, places] + 0.4 * generator.normal(size=(n_networks, 240))
    right: NDArray[np.float64] = (0.5 + shared + seeds + own > 0).astype(float)
    return right


def false_verdicts(sides: tuple[int, int], spread: float, comparisons: int = 250) -> float:
    generator = np.random.default_rng(5)
    locations = Locations.of([str(place) for place in np.repeat(np.arange(40), 6)], np.repeat(np.arange(4), 60), 4)
    told = 0
    for number in range(comparisons):
        right = simulated(sum(sides), spread, generator)
        told += told_apart(right[: sides[0]], right[sides[0] :], locations, draw_locations(locations, 199, number))
    return told / comparisons


@pytest.mark.parametrize("spread", [0.0, 0.15])
@pytest.mark.parametrize("sides", SIDES)
def test_simulated_networks_of_one_variant_are_seldom_told_apart(sides: tuple[int, int], spread: float) -> None:
    assert false_verdicts(sides, spread) <= 0.07


def test_single_simulated_networks_of_one_variant_often_are() -> None:
    assert false_verdicts((1, 1), 0.15) > 0.2


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> tuple[VariantAnswers, Locations]:
    """Twenty trained networks of one variant, and the locations of their test clips."""
    store = make_store(tmp_path_factory.mktemp("networks") / "store", locations=24, clips=4, separation=0.5, seed=7)
    data, variant = SplitFeatures(store), variants()["early"]
    (params,) = resolve_params([variant], {"epochs": "2", "batch_size": "32", "learning_rate": "0.003", "hidden": "32"})
    device = torch.device("cpu")
    seeds = tuple(score_test(data, train(data, variant, params, seed, device)).test for seed in range(20))
    places = dict(zip(store.clips["id"], store.clips["location"], strict=True))
    locations = Locations.of([places[clip] for clip in seeds[0].ids], seeds[0].labels, len(data.classes))
    return VariantAnswers("early", "trained here", seeds), locations


def drawn_apart(answers: VariantAnswers, locations: Locations, sides: tuple[int, int], comparisons: int = 150) -> float:
    """Share of comparisons that tell two sides apart, each drawn anew from the networks of one variant."""
    generator, values, told = np.random.default_rng(6), answers.values("log_loss"), 0
    for number in range(comparisons):
        order = generator.permutation(len(values))
        first, second = values[order[: sides[0]]], values[order[sides[0] : sum(sides)]]
        told += told_apart(first, second, locations, draw_locations(locations, 199, number))
    return told / comparisons


def test_trained_networks_of_one_variant_are_told_apart_less_often_with_seeds(
    networks: tuple[VariantAnswers, Locations],
) -> None:
    """Twenty networks, trained here, are too few for a rate; benchmarks/comparison/networks.py has it."""
    rates = {sides: drawn_apart(*networks, sides) for sides in SIDES}
    assert 2 * max(rates.values()) < drawn_apart(*networks, (1, 1)), rates
