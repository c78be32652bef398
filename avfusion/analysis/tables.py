"""A comparison as tables: what MLflow keeps and the page shows."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from avfusion.analysis.contenders import Contender
from avfusion.analysis.intervals import Estimate
from avfusion.analysis.pairs import Comparison
from avfusion.scoring.calibration import (
    brier_score,
    expected_calibration_error,
    fit_temperature,
    split_log_loss,
    with_temperature,
)
from avfusion.scoring.metrics import log_loss


def scores_table(comparison: Comparison) -> pd.DataFrame:
    """One row per variant and score: variant, score, value, seeds, seed_std, and the ends of both intervals."""
    return pd.DataFrame(
        [
            {
                "variant": entry.contender,
                "score": entry.score,
                "value": entry.estimate.value,
                "seeds": entry.n_seeds,
                "seed_std": entry.seed_spread,
                **_ends(entry.estimate),
            }
            for entry in comparison.scores
        ]
    )


def pairs_table(comparison: Comparison) -> pd.DataFrame:
    """One row per pair and score: first, second, score, difference, both intervals, p_value, p_holm, verdict."""
    return pd.DataFrame(
        [
            {
                "first": entry.first,
                "second": entry.second,
                "score": entry.score,
                "difference": entry.estimate.value,
                **_ends(entry.estimate),
                "p_value": entry.estimate.p_value,
                "p_holm": entry.holm,
                "verdict": entry.verdict.value,
            }
            for entry in comparison.differences
        ]
    )


def mcnemar_table(comparison: Comparison) -> pd.DataFrame:
    """One row per pair: first, second, only_first_right, only_second_right (clips), p_value, p_holm."""
    return pd.DataFrame(
        [
            {
                "first": entry.first,
                "second": entry.second,
                "only_first_right": entry.only_first,
                "only_second_right": entry.only_second,
                "p_value": entry.p_value,
                "p_holm": entry.holm,
            }
            for entry in comparison.agreements
        ]
    )


def calibration_table(contenders: Sequence[Contender]) -> pd.DataFrame:
    """One row per variant, means over its seeds.

    On the test clips: ece, brier, log_loss and its parts calibration and refinement. Where validation answers are
    known: the temperature fitted on them, val_log_loss and val_log_loss_scaled (before, after), and on the test clips
    log_loss_scaled and ece_scaled; else NaN.
    """
    rows = []
    for contender in contenders:
        seeds = [_calibration(contender, seed) for seed in range(len(contender.seeds))]
        rows.append({"variant": contender.name, **pd.DataFrame(seeds).mean().to_dict()})
    return pd.DataFrame(rows)


def _calibration(contender: Contender, seed: int) -> dict[str, float]:
    test = contender.seeds[seed]
    parts = split_log_loss(test)
    row = {
        "ece": expected_calibration_error(test),
        "brier": brier_score(test),
        "log_loss": log_loss(test),
        "calibration": parts.calibration,
        "refinement": parts.refinement,
    }
    names = ("temperature", "val_log_loss", "val_log_loss_scaled", "log_loss_scaled", "ece_scaled")
    if not contender.validation:
        return {**row, **dict.fromkeys(names, float(np.nan))}
    validation = contender.validation[seed]
    temperature = fit_temperature(validation)
    scaled = with_temperature(test, temperature)
    values = (
        temperature,
        log_loss(validation),
        log_loss(with_temperature(validation, temperature)),
        log_loss(scaled),
        expected_calibration_error(scaled),
    )
    return {**row, **dict(zip(names, values, strict=True))}


def _ends(found: Estimate) -> dict[str, float]:
    return {
        "bootstrap_low": found.bootstrap.low,
        "bootstrap_high": found.bootstrap.high,
        "jackknife_low": found.jackknife.low,
        "jackknife_high": found.jackknife.high,
    }
