"""Pairs of variants on the same clips: difference, intervals, p-values, verdict."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations

import numpy as np
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from avfusion.analysis.contenders import HIGHER_IS_BETTER, HIGHEST, SCORES, Contender
from avfusion.analysis.intervals import CONFIDENCE, DRAWS, Estimate, class_weights, draw_locations
from avfusion.analysis.over_seeds import difference_over_seeds, mean_over_seeds, seed_means
from avfusion.analysis.resampling import Locations
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


@dataclass(frozen=True)
class Score:
    """One score of one variant."""

    contender: str
    score: str
    estimate: Estimate
    seed_spread: float
    """Standard deviation over the seeds; NaN for one seed."""
    n_seeds: int


@dataclass(frozen=True)
class Difference:
    """A score of `first` minus that of `second`."""

    first: str
    second: str
    score: str
    estimate: Estimate
    holm: float
    """The p-value with Holm's correction over all pairs of this score."""
    verdict: Verdict


@dataclass(frozen=True)
class Agreement:
    """McNemar's test of a pair; it takes clips for independent, which they are not: see `Difference`."""

    first: str
    second: str
    only_first: int
    """Clips that only the first gets right."""
    only_second: int
    p_value: float
    holm: float


@dataclass(frozen=True)
class Comparison:
    """Everything that is said of a set of variants."""

    scores: tuple[Score, ...]
    differences: tuple[Difference, ...]
    agreements: tuple[Agreement, ...]

    def of(self, score: str) -> list[Difference]:
        """The differences in one score, pair after pair."""
        return [entry for entry in self.differences if entry.score == score]


def compare(contenders: Sequence[Contender], locations: Locations, draws: int = DRAWS) -> Comparison:
    """All scores of all `contenders` and all differences of their pairs; the clips must be those of `locations`.

    Where a variant has several seeds, values are means over them, and the error of that mean, from the spread over the
    seeds, is added to the error that comes from the locations.
    """
    drawn = draw_locations(locations, draws, derive_seed("compare", draws, len(locations)))
    scores, differences = [], []
    for score in SCORES:
        weights = class_weights(locations, equal=score.startswith("class_"))
        by_name = {entry.name: entry.values(score) for entry in contenders}
        for name, values in by_name.items():
            found = mean_over_seeds(values, locations, weights, drawn).within(0.0, HIGHEST[score])
            spread = float(np.std(seed_means(values, locations, weights), ddof=1)) if len(values) > 1 else float("nan")
            scores.append(Score(name, score, found, spread, len(values)))
        pairs = list(combinations(by_name, 2))
        found_pairs = [
            difference_over_seeds(by_name[first], by_name[second], locations, weights, drawn).within(
                -HIGHEST[score], HIGHEST[score]
            )
            for first, second in pairs
        ]
        corrected = holm([found.p_value for found in found_pairs])
        differences += [
            Difference(first, second, score, found, p_value, verdict(found.value, p_value, HIGHER_IS_BETTER[score]))
            for (first, second), found, p_value in zip(pairs, found_pairs, corrected, strict=True)
        ]
    return Comparison(tuple(scores), tuple(differences), tuple(_agreements(contenders)))


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


def _agreements(contenders: Sequence[Contender]) -> list[Agreement]:
    """McNemar of every pair, on the answers of the first seed of each."""
    found = []
    for first, second in combinations(contenders, 2):
        ours, theirs = first.seeds[0].right, second.seeds[0].right
        only_first, only_second = int((ours & ~theirs).sum()), int((~ours & theirs).sum())
        found.append((first.name, second.name, only_first, only_second, mcnemar_p_value(only_first, only_second)))
    return [Agreement(*entry, p_value) for entry, p_value in zip(found, holm([e[-1] for e in found]), strict=True)]
