"""The table at the end of `train` and `main`: variants side by side, the best on test clips first."""

from collections.abc import Sequence

import pandas as pd

from avfusion.jobs.text_tables import text_table

SHORT = {"val_accuracy": "val_acc", "val_log_loss": "val_loss", "accuracy_fold_std": "fold_std"}
DROPPED = ("seconds", "macro_f1")
"""Columns that a narrow terminal can do without."""

BEST = "best_on_validation"


def in_order(rows: Sequence[dict[str, object]]) -> pd.DataFrame:
    """The `rows`, one for each variant, by accuracy, with the column `BEST`: true of the lowest validation log loss."""
    table = pd.DataFrame(rows).sort_values("accuracy", ascending=False, kind="stable", ignore_index=True)
    return table.assign(**{BEST: table.index == table["val_log_loss"].idxmin()})


def summary_lines(table: pd.DataFrame) -> list[str]:
    """The table of `in_order` as text, the best on validation with a star; narrow enough for a terminal if need be."""
    shown = table.drop(columns=BEST)
    shown.insert(0, "", ["*" if best else "" for best in table[BEST]])
    return text_table(shown, short=SHORT, dropped=DROPPED)


def trained_with(seeds: Sequence[int]) -> str:
    """`seed 0`, or `means over seeds 0, 1, 2`.

    >>> trained_with([0, 1])
    'means over seeds 0, 1'
    """
    return f"seed {seeds[0]}" if len(seeds) == 1 else f"means over seeds {', '.join(map(str, seeds))}"
