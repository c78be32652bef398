"""The alpha sweep of late fusion: how much should the picture weigh?"""

from collections.abc import Sequence

import pandas as pd

from avfusion.training.cross_validation import CrossValidation, Scored
from avfusion.training.experiment import Result
from avfusion.training.split_features import SplitFeatures

STUDY_ALPHAS = tuple(round(0.10 + 0.05 * step, 2) for step in range(17))
"""0.10, 0.15, ... 0.90: the study's values."""

VALIDATION_COLUMNS = ["alpha", "seed", "val_accuracy", "val_log_loss"]


def sweep_table(results: Sequence[Scored]) -> pd.DataFrame:
    """One row per alpha and seed: alpha, seed, and accuracy and log loss on validation and test."""
    return pd.DataFrame(
        [
            {
                "alpha": result.params["alpha"],
                "seed": result.seed,
                **{
                    f"{split}_{name}": result.metrics[f"{split}/{name}"]
                    for split in ("val", "test")
                    for name in ("accuracy", "log_loss")
                },
            }
            for result in results
        ]
    )


def validation_table(results: Sequence[Result]) -> pd.DataFrame:
    """Which validation clips each training got right (1) or not (0).

    One row per clip, in the order of the answers, and one column per training, in the order of `sweep_table`'s rows.
    """
    return pd.DataFrame(
        {
            f"alpha {result.trained.params['alpha']:g} seed {result.trained.seed}": result.trained.validation.right
            for result in results
        }
    ).astype(int)


def choose_alpha(validation: pd.DataFrame) -> float:
    """The alpha with the highest validation accuracy, mean over seeds; of equals the one with the lower log loss.

    `validation` has exactly the columns `VALIDATION_COLUMNS`: a choice must not see the test split. Raises `ValueError`
    if it has others.

    >>> rows = [(0.3, 0, 0.70, 0.9), (0.3, 1, 0.74, 0.8), (0.5, 0, 0.72, 0.8), (0.5, 1, 0.72, 0.7)]
    >>> choose_alpha(pd.DataFrame(rows, columns=VALIDATION_COLUMNS))
    0.5
    """
    if list(validation.columns) != VALIDATION_COLUMNS:
        raise ValueError(f"alpha is chosen from {VALIDATION_COLUMNS} alone; got {list(validation.columns)}")
    means = validation.groupby("alpha")[["val_accuracy", "val_log_loss"]].mean()
    ranked = means.assign(worse=-means["val_accuracy"].round(12)).sort_values(["worse", "val_log_loss"])
    return float(ranked.index[0])


def chosen_by_validation(results: Sequence[Scored], best: float, data: SplitFeatures) -> list[Scored]:
    """The answers of a sweep, one set for each seed: those of the alpha `best`, which validation chose.

    Over folds each fold takes the alpha that its own validation chooses: `best` was chosen by validation clips that
    other folds test. The choice is by accuracy, as in `choose_alpha`.
    """
    folded: dict[int, list[CrossValidation]] = {}
    for result in results:
        if isinstance(result, CrossValidation):
            folded.setdefault(result.seed, []).append(result)
    if not folded:
        return [result for result in results if result.params["alpha"] == best]
    return [CrossValidation.chosen(of_seed, _best_alpha, data) for of_seed in folded.values()]


def _best_alpha(results: Sequence[Result]) -> Result:
    """The result with the alpha that `choose_alpha` takes from `results`, one for each alpha."""
    alpha = choose_alpha(sweep_table(results)[VALIDATION_COLUMNS])
    return next(result for result in results if result.params["alpha"] == alpha)
