"""Intervals and verdicts against closed forms, brute force and simulation; the figures."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import stats

from avfusion.analysis.intervals import (
    NOTHING,
    Estimate,
    Interval,
    SeedErrors,
    bootstrap_statistics,
    class_weights,
    draw_locations,
    estimate,
)
from avfusion.analysis.locations import locations_of_names
from avfusion.analysis.over_seeds import difference_over_seeds, mean_over_seeds
from avfusion.analysis.pairs import Verdict, holm, mcnemar_p_value, mcnemar_table, pair_table, score_table, verdict
from avfusion.analysis.resampling import Locations
from avfusion.analysis.variant_answers import SCORES, VariantAnswers
from avfusion.errors import UserError
from avfusion.figures import forest_plot, reliability_diagram, robustness_curve
from avfusion.scoring.metrics import evaluate
from avfusion.scoring.predictions import Predictions

CLASSES = ("airport", "bus", "park")


def answers(seed: int, n_locations: int = 12, clips: int = 3, names: str = "TAU", skill: float = 1.0) -> Predictions:
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(n_locations) % len(CLASSES), clips)
    scores = generator.normal(size=(len(labels), len(CLASSES))) + skill * np.eye(len(CLASSES))[labels]
    ids = [
        f"{CLASSES[label]}-{'lyon' if place % 2 else 'milan'}-{place}-{number}" if names == "TAU" else f"clip {number}"
        for number, (label, place) in enumerate(zip(labels, np.repeat(np.arange(n_locations), clips), strict=True))
    ]
    return Predictions.from_scores(ids, CLASSES, labels, scores)


def uneven() -> tuple[Locations, NDArray[np.float64]]:
    """Locations of different sizes, one of which has clips of two classes, and a value for each clip."""
    generator = np.random.default_rng(4)
    places = np.repeat(np.arange(9), [2, 5, 3, 4, 1, 6, 2, 3, 4])
    labels = np.repeat([0, 0, 0, 1, 1, 1, 2, 2, 2], [2, 5, 3, 4, 1, 6, 2, 3, 4])
    labels[places == 5] = [1, 1, 1, 1, 2, 2]
    values = generator.normal(size=len(places)) + 0.5 * generator.normal(size=9)[places] + labels
    return Locations.of([f"place {place}" for place in places], labels.astype(np.int64), 3), values


def draws(locations: Locations, n: int = 200) -> NDArray[np.float64]:
    return draw_locations(locations, n, 0)


def test_independent_clips_of_one_class_give_students_interval_and_p_value() -> None:
    values = np.random.default_rng(0).normal(0.3, 1, size=40)
    locations = Locations.of([str(number) for number in range(40)], np.zeros(40, np.int64), 1)
    found = estimate(values, locations, class_weights(locations, equal=False))
    reference = stats.ttest_1samp(values, 0)
    interval = reference.confidence_interval(0.95)
    assert found.p_value == pytest.approx(reference.pvalue)
    assert (found.interval.low, found.interval.high) == pytest.approx((interval.low, interval.high))
    assert found.degrees == pytest.approx(39)
    drawn = estimate(values, locations, class_weights(locations, equal=False), draws(locations, 4000))
    assert (drawn.interval.low, drawn.interval.high) == pytest.approx((interval.low, interval.high), abs=0.02)


def test_strata_add_up_and_leave_differences_between_classes_out() -> None:
    values = np.concatenate([np.random.default_rng(1).normal(size=10), 100 + np.random.default_rng(2).normal(size=30)])
    labels = np.repeat([0, 1], [10, 30])
    locations = Locations.of([str(number) for number in range(40)], labels.astype(np.int64), 2)
    variances = [values[labels == label].var(ddof=1) / (labels == label).sum() for label in (0, 1)]
    for equal, shares in ((False, (0.25, 0.75)), (True, (0.5, 0.5))):
        found = estimate(values, locations, class_weights(locations, equal=equal))
        parts = np.square(shares) * variances
        assert found.error == pytest.approx(np.sqrt(parts.sum()))
        assert found.degrees == pytest.approx(parts.sum() ** 2 / (parts**2 / [9, 29]).sum())


def alone() -> tuple[Locations, NDArray[np.float64]]:
    """One location a class, of sizes for which sums of weights round: with a location its class is lost."""
    sizes = [27, 35, 8, 30, 37, 2, 15, 25, 5, 20, 25, 30, 37]
    labels = np.repeat(np.arange(len(sizes)), sizes)
    values = np.random.default_rng(5).normal(size=len(labels)) + labels
    return Locations.of([f"place {label}" for label in labels], labels, len(sizes)), values


@pytest.mark.parametrize("equal", [False, True])
@pytest.mark.parametrize("layout", [uneven, alone])
def test_the_jackknife_is_that_of_leaving_out_one_location_at_a_time(
    layout: Callable[[], tuple[Locations, NDArray[np.float64]]], equal: bool
) -> None:
    locations, values = layout()
    weights = class_weights(locations, equal=equal)
    variance = 0.0
    for stratum in range(locations.n_strata):
        members = np.flatnonzero(locations.strata == stratum)
        means = []
        for left_out in members:
            # The others of the stratum count for the missing one, clip by clip.
            clip_weights = np.where(locations.members == left_out, 0.0, 1.0)
            clip_weights[np.isin(locations.members, members)] *= len(members) / (len(members) - 1)
            left = [label for label in range(locations.n_classes) if clip_weights[locations.labels == label].any()]
            by_class = [
                np.average(values[locations.labels == label], weights=clip_weights[locations.labels == label])
                for label in left
            ]
            means.append(float(np.average(by_class, weights=weights[left])))
        variance += (len(members) - 1) / len(members) * float(np.square(np.array(means) - np.mean(means)).sum())
    found = estimate(values, locations, weights, draws(locations))
    assert found.error == pytest.approx(np.sqrt(variance))


def test_a_bootstrap_replicate_is_the_mean_over_the_drawn_locations() -> None:
    locations, _ = uneven()
    drawn = draws(locations)
    assert drawn.shape == (200, len(locations))
    np.testing.assert_array_equal(locations.in_strata(drawn), np.tile(locations.locations_per_stratum, (200, 1)))
    assert 0.9 < drawn.mean() < 1.1 and drawn.max() > 1
    np.testing.assert_array_equal(drawn, draws(locations))


def test_classes_with_one_location_are_drawn_together() -> None:
    labels = np.array([0, 0, 1, 2, 2, 2], np.int64)
    locations = Locations.of(["a", "b", "c", "d", "e", "e"], labels, 3)
    assert locations.strata.tolist() == [0, 0, 0, 1, 1]
    alone = Locations.of(["a", "b", "c", "d"], np.array([0, 0, 1, 2], np.int64), 3)
    assert alone.strata.tolist() == [0, 0, 1, 1]


def test_of_one_location_nothing_can_be_said() -> None:
    locations = Locations.of(["a"] * 5, np.zeros(5, np.int64), 1)
    found = estimate(np.ones(5), locations, class_weights(locations, equal=True), draws(locations))
    assert (found.value, found.p_value, found.interval) == (1.0, 1.0, NOTHING)
    assert found.within(0.0, 1.0).interval == NOTHING


def test_equal_answers_differ_by_exactly_nothing() -> None:
    locations, _ = uneven()
    found = estimate(np.zeros(30), locations, class_weights(locations, equal=True), draws(locations))
    assert (found.value, found.error, found.p_value) == (0.0, 0.0, 1.0)
    assert found.interval == Interval(0.0, 0.0)


def test_seeds_widen_the_error() -> None:
    locations, values = uneven()
    weights = class_weights(locations, equal=False)
    one = estimate(values, locations, weights, draws(locations))
    several = estimate(values, locations, weights, draws(locations), SeedErrors(np.array([0.09]), np.array([2.0])))
    assert several.error == pytest.approx(np.sqrt(one.error**2 + 0.09))
    assert several.degrees < one.degrees
    assert several.p_value > one.p_value
    assert several.interval.high - several.interval.low > one.interval.high - one.interval.low


def test_seeds_alone_give_welchs_error_and_degrees() -> None:
    locations, _ = uneven()
    weights = class_weights(locations, equal=False)
    ours, theirs = np.array([0.71, 0.74, 0.69]), np.array([0.62, 0.66, 0.61, 0.70])
    first, second = (np.repeat(means[:, None], len(locations.members), axis=1) for means in (ours, theirs))
    found = difference_over_seeds(first, second, locations, weights)
    welch = stats.ttest_ind(ours, theirs, equal_var=False)
    interval = welch.confidence_interval(0.95)
    assert (found.value, found.p_value) == pytest.approx((ours.mean() - theirs.mean(), welch.pvalue))
    assert (found.interval.low, found.interval.high) == pytest.approx((interval.low, interval.high))
    assert found.degrees == pytest.approx(welch.df)
    one = mean_over_seeds(first, locations, weights)
    assert (one.error, one.degrees) == pytest.approx((stats.sem(ours), 2))


@pytest.mark.parametrize("equal", [False, True])
def test_seeds_that_answer_alike_change_nothing(equal: bool) -> None:
    locations, values = uneven()
    weights, drawn = class_weights(locations, equal=equal), draws(locations)
    alone = estimate(values, locations, weights, drawn)
    nothing = np.zeros((5, len(values)))
    assert mean_over_seeds(np.tile(values, (4, 1)), locations, weights, drawn) == alone
    assert difference_over_seeds(np.tile(values, (2, 1)), nothing, locations, weights, drawn) == alone
    assert difference_over_seeds(values[None], nothing[:1], locations, weights, drawn) == alone


def test_of_locations_crossed_with_seeds_the_parts_and_degrees_are_those_of_the_closed_form() -> None:
    generator = np.random.default_rng(6)
    places, ours, theirs = generator.normal(size=12), generator.normal(size=3), generator.normal(size=5)
    locations = Locations.of([str(number) for number in range(12)], np.zeros(12, np.int64), 1)
    sides = places + ours[:, None], np.zeros(12) + theirs[:, None]  # locations differ, and seeds; nothing else
    found = difference_over_seeds(*sides, locations, class_weights(locations, equal=True))
    parts = np.array([places.var(ddof=1) / 12, ours.var(ddof=1) / 3, theirs.var(ddof=1) / 5])
    assert found.value == pytest.approx(places.mean() + ours.mean() - theirs.mean())
    assert found.error == pytest.approx(np.sqrt(parts.sum()))
    assert found.degrees == pytest.approx(parts.sum() ** 2 / (parts**2 / [11, 2, 4]).sum())
    assert found.p_value == pytest.approx(2 * stats.t.sf(abs(found.value) / found.error, found.degrees))


def test_the_bootstrap_of_seeds_alone_is_students_t() -> None:
    locations, _ = uneven()
    weights, sums = class_weights(locations, equal=False), locations.sums(np.full(30, 0.7))
    seeds = SeedErrors(np.array([0.2]), np.array([2.0]))
    ratios = np.abs(bootstrap_statistics(0.7, sums, locations, weights, draws(locations, 20000), seeds))
    assert np.quantile(ratios, [0.5, 0.9, 0.95]) == pytest.approx(stats.t.ppf([0.75, 0.95, 0.975], 2), rel=0.05)


def test_the_interval_is_students_or_reaches_as_far_as_the_symmetric_bootstrap() -> None:
    generator = np.random.default_rng(8)
    locations = Locations.of([str(number) for number in range(12)], np.zeros(12, np.int64), 1)
    weights, drawn = np.ones(1), draws(locations, 2000)
    skewed, even = np.where(np.arange(12) < 1, -3.0, 0.3) + 0.1 * generator.normal(size=12), np.linspace(-1, 1, 12) ** 3
    for values, wider in ((skewed, True), (even + 0.3, False)):
        plain, found = estimate(values, locations, weights), estimate(values, locations, weights, drawn)
        ratios = np.abs(bootstrap_statistics(found.value, locations.sums(values), locations, weights, drawn))
        reach = np.quantile(ratios, 0.95, method="inverted_cdf")
        assert (reach > stats.t.ppf(0.975, 11)) == wider
        assert (found.interval.high - found.value) / found.error == pytest.approx(max(reach, stats.t.ppf(0.975, 11)))
        assert (found.p_value > plain.p_value) == (found.degrees < plain.degrees) == wider
        assert found.p_value == pytest.approx(2 * stats.t.sf(abs(found.value) / found.error, found.degrees))


def test_where_each_class_has_one_location_nothing_is_said() -> None:
    locations, values = alone()
    found = estimate(values, locations, class_weights(locations, equal=True), draws(locations))
    assert (found.interval, found.p_value) == (NOTHING, 1.0) and np.isfinite(found.error)
    two = Locations.of(["a", "b", "c", "d"], np.array([0, 0, 1, 1], np.int64), 2)
    found = estimate(np.array([0.1, 0.2, 0.3, 0.4]), two, np.full(2, 0.5), draws(two))
    assert np.isfinite(found.interval.low) and found.interval.low < 0.25 < found.interval.high


@pytest.mark.parametrize(("n_locations", "p_value"), [(2, 0.5), (5, 0.0625), (6, 0.03125), (12, 2.0**-11)])
def test_where_all_locations_agree_the_p_value_is_that_of_their_signs(n_locations: int, p_value: float) -> None:
    locations = Locations.of([str(number) for number in range(n_locations)], np.zeros(n_locations, np.int64), 1)
    found = estimate(np.full(n_locations, 0.1), locations, np.ones(1), draws(locations))
    assert found.value == pytest.approx(0.1) and found.error == 0.0
    assert found.p_value == pytest.approx(p_value)
    told = p_value < 0.05
    assert found.interval.holds(0.0) != told


def test_what_is_only_rounding_is_no_difference() -> None:
    locations, values = uneven()
    found = difference_over_seeds(values[None] * 0.1 * 3, values[None] * 0.3, locations, np.full(3, 1 / 3))
    assert (found.value, found.error, found.p_value) == (0.0, 0.0, 1.0)
    first = np.stack([values, values / 3, values / 7])
    found = difference_over_seeds(first, first[[2, 0, 1]], locations, np.full(3, 1 / 3))
    assert found.value == pytest.approx(0.0) and found.p_value == pytest.approx(1.0)


def test_of_one_location_several_seeds_tell_nothing_either() -> None:
    locations = Locations.of(["a"] * 5, np.zeros(5, np.int64), 1)
    sides = np.full((3, 5), 0.9) + np.array([[0.0], [0.1], [0.2]]), np.zeros((2, 5))
    found = difference_over_seeds(*sides, locations, np.ones(1), draws(locations))
    assert (found.p_value, found.interval) == (1.0, NOTHING)


def test_seeds_and_locations_add_up() -> None:
    locations, values = uneven()
    weights = class_weights(locations, equal=True)
    shifts = np.array([-0.1, 0.0, 0.2])
    of_locations = estimate(values, locations, weights)
    found = mean_over_seeds(values + shifts[:, None], locations, weights)
    assert found.value == pytest.approx(of_locations.value + shifts.mean())
    assert found.error**2 == pytest.approx(of_locations.error**2 + np.var(shifts, ddof=1) / 3)
    once = difference_over_seeds(values + shifts[:, None], np.zeros((1, len(values))), locations, weights)
    assert once.error == pytest.approx(found.error)  # what is not known is not added
    assert mean_over_seeds(values[None], locations, weights).error == pytest.approx(of_locations.error)


def test_scores_are_those_of_the_metrics_and_seeds_are_averaged() -> None:
    first, second = answers(0), answers(1)
    found = locations_of_names(first.ids)
    assert found is not None
    locations = Locations.of(found.in_order(first.ids), first.labels, 3)
    variants = [VariantAnswers("a", "", (first, second)), VariantAnswers("b", "", (second,))]
    scores = score_table(variants, locations, draws=50).set_index(["variant", "score"])
    pairs = {row["score"]: row for row in pair_table(variants, locations, draws=50).to_dict("records")}
    metrics = [evaluate(first), evaluate(second)]
    assert len(scores) == 2 * len(SCORES) and len(pairs) == len(SCORES)
    for score in SCORES:
        both = [values[score] for values in metrics]
        assert scores.loc[("a", score), "value"] == pytest.approx(np.mean(both))
        assert scores.loc[("a", score), "seed_std"] == pytest.approx(np.std(both, ddof=1))
        assert scores["seed_std"].isna()["b", score]
        assert pairs[score]["difference"] == pytest.approx(np.mean(both) - both[1])
    # One pair, and four scores that may each become a verdict.
    assert [row["p_holm"] for row in pairs.values()] == holm([row["p_value"] for row in pairs.values()])
    assert {row["seeds"] for row in pairs.values()} == {1}
    (agreement,) = mcnemar_table(variants).to_dict("records")
    assert agreement["only_first_right"] == (first.right & ~second.right).sum()
    assert agreement["only_second_right"] == (~first.right & second.right).sum()


def test_a_great_difference_is_told_in_the_right_direction() -> None:
    good, bad = answers(2, n_locations=24, skill=6.0), answers(3, n_locations=24, skill=0.0)
    locations = Locations.of([clip.rpartition("-")[0] for clip in good.ids], good.labels, 3)
    for order, expected in (((good, bad), Verdict.BETTER), ((bad, good), Verdict.WORSE)):
        variants = [VariantAnswers(str(number), "", (made,)) for number, made in enumerate(order)]
        assert set(pair_table(variants, locations, draws=20)["verdict"]) == {expected}


def test_verdicts_need_the_corrected_p_value() -> None:
    assert verdict(0.1, 0.049, higher_is_better=True) is Verdict.BETTER
    assert verdict(0.1, 0.049, higher_is_better=False) is Verdict.WORSE
    assert verdict(-0.1, 0.051, higher_is_better=True) is Verdict.OPEN
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


def test_mcnemar_is_the_binomial_test_for_few_clips_and_chi_square_for_many() -> None:
    assert mcnemar_p_value(3, 9) == pytest.approx(stats.binomtest(3, 12).pvalue)
    assert mcnemar_p_value(40, 60) == pytest.approx(stats.chi2.sf((20 - 1) ** 2 / 100, 1))


def simulated(comparisons: int, gain: float, seed: int, draws: int = 0) -> tuple[list[Estimate], list[float]]:
    """Estimates of a true difference in accuracy, and McNemar's p-values, where clips of one location are alike.

    At 60 locations of three classes, six clips each, two models are right where normal scores are above 0: half of a
    score's variance belongs to the location, and `gain` is what the second model's mean has more. The long simulation,
    at the layout of TAU's test clips, is `benchmarks/comparison/intervals.py`.
    """
    generator = np.random.default_rng(seed)
    members = np.repeat(np.arange(60), 6)
    locations = Locations.of([f"place {place}" for place in members], members % 3, 3)
    weights = class_weights(locations, equal=False)
    estimates, p_values = [], []
    for number in range(comparisons):
        shared, *own = np.sqrt(0.25) * generator.normal(size=(3, 60))[:, members]
        first, second = (place + shared + np.sqrt(0.5) * generator.normal(size=360) for place in own)
        values = (second + gain > 0).astype(float) - (first > 0)
        drawn = draw_locations(locations, draws, number) if draws else None
        estimates.append(estimate(values, locations, weights, drawn))
        p_values.append(mcnemar_p_value(int((values < 0).sum()), int((values > 0).sum())))
    return estimates, p_values


def test_without_a_difference_about_five_verdicts_in_a_hundred_are_wrong() -> None:
    estimates, p_values = simulated(600, gain=0.0, seed=11)
    assert 0.03 <= np.mean([entry.p_value < 0.05 for entry in estimates]) <= 0.07
    assert np.mean([p_value < 0.05 for p_value in p_values]) > 0.1  # McNemar's test takes clips for independent


def test_a_known_difference_is_covered_about_95_times_in_a_hundred() -> None:
    estimates, _ = simulated(600, gain=0.3, seed=12)
    true = stats.norm.cdf(0.3) - 0.5
    assert 0.93 <= np.mean([entry.interval.holds(true) for entry in estimates]) <= 0.97
    assert np.mean([entry.p_value < 0.05 for entry in estimates]) > 0.5  # and mostly found
    estimates, _ = simulated(400, gain=0.3, seed=13, draws=199)
    assert 0.93 <= np.mean([entry.interval.holds(true) for entry in estimates]) <= 0.97


def test_figures_show_every_pair_variant_and_shift() -> None:
    pairs = pd.DataFrame(
        {
            "first": ["a", "a"],
            "second": ["b", "c"],
            "difference": [0.1, -0.2],
            "low": [0.05, -np.inf],
            "high": [0.2, 0.1],
            "verdict": ["better", "cannot tell"],
        }
    )
    forest = forest_plot({"accuracy": pairs, "log loss": pairs}, "title", note="synthetic scenes")
    assert [text.get_text() for text in forest.axes[0].get_yticklabels()] == ["a − b", "a − c"]
    assert "synthetic scenes" in [text.get_text() for text in forest.texts]
    with pytest.raises(UserError, match="the table of accuracy has no column verdict"):
        forest_plot({"accuracy": pairs.drop(columns="verdict")}, "title")
    bins = pd.DataFrame({"low": [0.0, 0.5], "high": [0.5, 1.0], "clips": [0, 9], "confidence": [np.nan, 0.7]})
    diagram = reliability_diagram({name: bins.assign(accuracy=0.6) for name in "abcdef"}, "title")
    assert [axes.get_title() for axes in diagram.axes] == list("abcdef")
    curves = pd.DataFrame(
        [(v, "no_audio", s, v == "b", 0.5) for v in "ab" for s in (0.0, 1.0)],
        columns=["variant", "shift", "severity", "invariant", "accuracy"],
    )
    figure = robustness_curve(curves, {"no_audio": ("audio missing", "share")}, "title")
    styles = [line.get_linestyle() for line in figure.axes[0].lines if len(line.get_xdata()) == 2]  # type: ignore[arg-type]
    assert styles == ["-", ":"]
    for drawn in (forest, diagram, figure):
        drawn.canvas.draw()
