"""Is this variant really better than that one? Every score, every pair and McNemar's test, as tables.

Where a variant has several seeds, values are means over them, and the error of that mean, from the spread over the
seeds, is added to the error that comes from the locations.

Two sets of answers over twelve clips, recorded at four locations of each class:

>>> import numpy as np
>>> from avfusion.analysis.resampling import Locations
>>> from avfusion.analysis.variant_answers import VariantAnswers
>>> from avfusion.scoring.predictions import Predictions
>>> truth = np.repeat([0, 1, 2], 4)
>>> clips = [f"clip {number}" for number in range(12)]
>>> def answers(scores):
...     return Predictions.from_scores(clips, ["bus", "park", "tram"], truth, scores)
>>> sure = VariantAnswers("sure", "a file", (answers(3.0 * np.eye(3)[truth]),))
>>> guessing = VariantAnswers("guessing", "a file", (answers(np.random.default_rng(0).normal(size=(12, 3))),))
>>> locations = Locations.of(clips, truth, 3)  # each clip was recorded somewhere else
>>> pairs = pair_table([sure, guessing], locations)
>>> pairs.loc[pairs["score"] == "accuracy", ["first", "second", "difference", "p_holm", "verdict"]].round(3)
  first    second  difference  p_holm verdict
0  sure  guessing       0.583   0.005  better
"""

from collections.abc import Sequence
from enum import StrEnum
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from avfusion.analysis.intervals import CONFIDENCE, DRAWS, Estimate, class_weights, draw_locations
from avfusion.analysis.over_seeds import difference_over_seeds, mean_over_seeds, seed_means
from avfusion.analysis.resampling import Locations
from avfusion.analysis.variant_answers import HIGHER_IS_BETTER, HIGHEST, SCORES, VariantAnswers
from avfusion.system.seeds import derive_seed

LEVEL = 1 - CONFIDENCE
"""Chance, over the whole family of pairs, of calling any difference that is none."""
SMALL = 25
"""Clips on which two models differ in being right up to which McNemar's test is exact."""


class Verdict(StrEnum):
    """What the clips say of the first of a pair, against the second."""

    BETTER = "better"
    WORSE = "worse"
    OPEN = "cannot tell"


def score_table(variants: Sequence[VariantAnswers], locations: Locations, draws: int = DRAWS) -> pd.DataFrame:
    """One row per score and variant: variant, score, value, seeds, seed_std, and the ends of both 95 % intervals.

    The clips must be those of `locations`; the bootstrap takes `draws` replicates. seed_std is the standard deviation
    over the seeds, NaN for one seed. The ends are bootstrap_low, bootstrap_high, jackknife_low and jackknife_high.
    """
    drawn, rows = _drawn(locations, draws), []
    for score in SCORES:
        weights = _weights(locations, score)
        for variant in variants:
            values = variant.values(score)
            found = mean_over_seeds(values, locations, weights, drawn).within(0.0, HIGHEST[score])
            spread = float(np.std(seed_means(values, locations, weights), ddof=1)) if len(values) > 1 else float("nan")
            known = {"value": found.value, "seeds": len(values), "seed_std": spread}
            rows.append({"variant": variant.name, "score": score, **known, **_ends(found)})
    return pd.DataFrame(rows)


def pair_table(variants: Sequence[VariantAnswers], locations: Locations, draws: int = DRAWS) -> pd.DataFrame:
    """One row per score and pair: first, second, score, difference, both intervals, p_value, p_holm, verdict.

    The difference is that of `first` minus that of `second`, clip by clip. p_value is two-sided, of the jackknife;
    p_holm has Holm's correction over all pairs of a score. Intervals and arguments are those of `score_table`.
    """
    drawn, rows = _drawn(locations, draws), []
    for score in SCORES:
        weights, highest = _weights(locations, score), HIGHEST[score]
        values = {variant.name: variant.values(score) for variant in variants}
        pairs = list(combinations(values, 2))
        found = [
            difference_over_seeds(values[first], values[second], locations, weights, drawn).within(-highest, highest)
            for first, second in pairs
        ]
        corrected = holm([estimate.p_value for estimate in found])
        for (first, second), estimate, p_holm in zip(pairs, found, corrected, strict=True):
            row = {"first": first, "second": second, "score": score, "difference": estimate.value, **_ends(estimate)}
            said = verdict(estimate.value, p_holm, HIGHER_IS_BETTER[score]).value
            rows.append({**row, "p_value": estimate.p_value, "p_holm": p_holm, "verdict": said})
    return pd.DataFrame(rows)


def mcnemar_table(variants: Sequence[VariantAnswers]) -> pd.DataFrame:
    """McNemar's test of every pair, on the answers of the first seed of each.

    One row per pair: first, second, only_first_right, only_second_right (clips), p_value, p_holm. The test takes clips
    for independent, which those of one location are not: verdicts are those of `pair_table`.
    """
    rows = []
    for first, second in combinations(variants, 2):
        ours, theirs = first.answers.right, second.answers.right
        only_first, only_second = int((ours & ~theirs).sum()), int((~ours & theirs).sum())
        counts = {"only_first_right": only_first, "only_second_right": only_second}
        p_value = mcnemar_p_value(only_first, only_second)
        rows.append({"first": first.name, "second": second.name, **counts, "p_value": p_value})
    table = pd.DataFrame(rows)
    return table.assign(p_holm=holm(table["p_value"].tolist()))


def verdict(difference: float, p_value: float, higher_is_better: bool) -> Verdict:
    """Better or worse where the corrected `p_value` is below 5 %, else that these clips cannot tell."""
    if not p_value < LEVEL:
        return Verdict.OPEN
    return Verdict.BETTER if (difference > 0) == higher_is_better else Verdict.WORSE


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values of a family of tests, corrected so that any false alarm has 5 % (Holm, 1979)."""
    return [float(value) for value in multipletests(p_values, method="holm")[1]]


def mcnemar_p_value(only_first: int, only_second: int) -> float:
    """Of McNemar's test: exact where few clips differ, else chi-square with continuity correction."""
    exact = only_first + only_second <= SMALL
    return float(mcnemar([[0, only_first], [only_second, 0]], exact=exact, correction=True).pvalue)


def _drawn(locations: Locations, draws: int) -> NDArray[np.float64]:
    """[R, G] the bootstrap replicates, the same for every score and pair."""
    return draw_locations(locations, draws, derive_seed("compare", draws, len(locations)))


def _weights(locations: Locations, score: str) -> NDArray[np.float64]:
    return class_weights(locations, equal=score.startswith("class_"))


def _ends(found: Estimate) -> dict[str, float]:
    return {
        "bootstrap_low": found.bootstrap.low,
        "bootstrap_high": found.bootstrap.high,
        "jackknife_low": found.jackknife.low,
        "jackknife_high": found.jackknife.high,
    }
