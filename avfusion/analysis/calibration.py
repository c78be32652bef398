"""How well calibrated variants are, and what a temperature fitted on validation would change, as a table."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from avfusion.analysis.variant_answers import VariantAnswers
from avfusion.scoring.calibration import (
    brier_score,
    expected_calibration_error,
    fit_temperature,
    split_log_loss,
    with_temperature,
)
from avfusion.scoring.metrics import log_loss
from avfusion.scoring.predictions import Predictions


def calibration_table(variants: Sequence[VariantAnswers]) -> pd.DataFrame:
    """One row per variant, means over its seeds.

    On the test clips: ece, brier, log_loss and its parts calibration and refinement. Where validation answers are
    known: the temperature fitted on them, val_log_loss and val_log_loss_scaled (before, after), and on the test clips
    log_loss_scaled and ece_scaled; else NaN.
    """
    rows = []
    for variant in variants:
        validation = variant.validation or (None,) * len(variant.seeds)
        seeds = [_calibration(*sets) for sets in zip(variant.seeds, validation, strict=True)]
        rows.append({"variant": variant.name, **pd.DataFrame(seeds).mean().to_dict()})
    return pd.DataFrame(rows)


def _calibration(test: Predictions, validation: Predictions | None) -> dict[str, float]:
    parts = split_log_loss(test)
    row = {
        "ece": expected_calibration_error(test),
        "brier": brier_score(test),
        "log_loss": log_loss(test),
        "calibration": parts.calibration,
        "refinement": parts.refinement,
    }
    names = ("temperature", "val_log_loss", "val_log_loss_scaled", "log_loss_scaled", "ece_scaled")
    if validation is None:
        return {**row, **dict.fromkeys(names, float(np.nan))}
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
