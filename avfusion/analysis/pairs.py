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
0  sure  guessing       0.583   0.012  better
"""

from collections.abc import Sequence
from enum import StrEnum
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from avfusion.analysis.intervals import CONFIDENCE, DRAWS, class_weights, draw_locations
from avfusion.analysis.over_seeds import difference_over_seeds, mean_over_seeds, seed_means
from avfusion.analysis.resampling import Locations
from avfusion.analysis.variant_answers import HIGHER_IS_BETTER, HIGHEST, SCORES, VariantAnswers
from avfusion.system.seeds import derive_seed

LEVEL = 1 - CONFIDENCE
"""Chance, over the whole family of pairs, of calling any difference that is none."""
MOST_DRAWN = 1000
"""Locations up to which there is a bootstrap, which takes minutes with more; without it the interval is Student's."""
SMALL = 25
"""Clips on which two models differ in being right up to which McNemar's test is exact."""


class Verdict(StrEnum):
    """What the clips say of the first of a pair, against the second."""

    BETTER = "better"
    WORSE = "worse"
    OPEN = "cannot tell"


def score_table(variants: Sequence[VariantAnswers], locations: Locations, draws: int = DRAWS) -> pd.DataFrame:
    """One row per score and variant: variant, score, value, seeds, seed_std, and low and high of its 95 % interval.

    The clips must be those of `locations`; the bootstrap takes `draws` replicates. seed_std is the standard deviation
    over the seeds, NaN for one seed.
    """
    drawn, rows = replicates(locations, draws), []
    for score in SCORES:
        weights = _weights(locations, score)
        for variant in variants:
            values = variant.values(score)
            found = mean_over_seeds(values, locations, weights, drawn).within(0.0, HIGHEST[score])
            spread = float(np.std(seed_means(values, locations, weights), ddof=1)) if len(values) > 1 else float("nan")
            known = {"value": found.value, "seeds": len(values), "seed_std": spread}
            ends = {"low": found.interval.low, "high": found.interval.high}
            rows.append({"variant": variant.name, "score": score, **known, **ends})
    return pd.DataFrame(rows)


def pair_table(
    variants: Sequence[VariantAnswers],
    locations: Locations,
    draws: int = DRAWS,
    pairs: Sequence[tuple[str, str]] | None = None,
) -> pd.DataFrame:
    """One row per score and pair: first, second, score, difference, low, high, p_value, p_holm, verdict, seeds.

    Pairs are all that there are, or those that `pairs` names. The difference is that of `first` minus that of `second`,
    clip by clip. p_holm has Holm's correction over all rows,
    for each of them may become a verdict; the interval and p_value are those of the row alone. seeds is the smaller
    number of seeds of the two. Arguments are those of `score_table`.
    """
    drawn, rows = replicates(locations, draws), []
    for score in SCORES:
        weights, highest = _weights(locations, score), HIGHEST[score]
        values = {variant.name: variant.values(score) for variant in variants}
        for first, second in pairs or combinations(values, 2):
            both = values[first], values[second]
            found = difference_over_seeds(*both, locations, weights, drawn).within(-highest, highest)
            ends = (found.interval.low, found.interval.high)
            rows.append((first, second, score, found.value, *ends, found.p_value, min(map(len, both))))
    columns = ["first", "second", "score", "difference", "low", "high", "p_value", "seeds"]
    table = pd.DataFrame(rows, columns=columns)
    table["p_holm"] = holm(table["p_value"].tolist())
    told = zip(table["difference"], table["p_holm"], table["score"].map(HIGHER_IS_BETTER), strict=True)
    return table.assign(verdict=[verdict(*each).value for each in told])


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
    return [float(value) for value in multipletests(p_values, method="holm")[1]] if p_values else []


def mcnemar_p_value(only_first: int, only_second: int) -> float:
    """Of McNemar's test: exact where few clips differ, else chi-square with continuity correction."""
    exact = only_first + only_second <= SMALL
    return float(mcnemar([[0, only_first], [only_second, 0]], exact=exact, correction=True).pvalue)


def replicates(locations: Locations, draws: int = DRAWS) -> NDArray[np.float64] | None:
    """[R, G] the bootstrap's sets of weights on the locations, the same for whatever is compared there.

    None for more than `MOST_DRAWN` locations, where Student's t needs no help and the bootstrap would take minutes.
    """
    if len(locations) > MOST_DRAWN:
        return None
    return draw_locations(locations, draws, derive_seed("compare", draws, len(locations)))


def _weights(locations: Locations, score: str) -> NDArray[np.float64]:
    return class_weights(locations, equal=score.startswith("class_"))
