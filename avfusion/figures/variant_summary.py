"""The accuracy of several variants side by side."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from avfusion.figures.style import (
    COLUMN_WIDTH,
    FIRST_COLOUR,
    MUTED_COLOUR,
    SMALL_SIZE,
    TEXT_SIZE,
    check_columns,
    new_axes,
    open_frame,
    shown,
)


def variant_summary(
    table: pd.DataFrame,
    title: str,
    *,
    label: str = "test accuracy",
    chance: float | None = None,
    note: str | None = None,
) -> Figure:
    """One dot per variant, top to bottom in the order of the rows, its accuracy printed beside it.

    `table` is indexed by variant with column accuracy (in [0, 1]) and, if there are error bars, columns low
    and high (ends of the interval, in [0, 1]; NaN where a variant has none). `chance` is drawn as a line.
    """
    check_columns(table, ["accuracy"], "variant summary: the table has")
    accuracy = table["accuracy"].to_numpy(dtype=np.float64)
    low, high = (
        table[end].to_numpy(dtype=np.float64) if end in table.columns else np.full(len(table), np.nan)
        for end in ("low", "high")
    )
    figure, axes = new_axes(COLUMN_WIDTH, 1.0 + 0.22 * len(table), title, note)
    rows = np.arange(len(table))
    if chance is not None:
        axes.axvline(chance, color=MUTED_COLOUR, linewidth=0.8, linestyle=":")
        axes.annotate(
            "chance", (chance, 0), xycoords=("data", "axes fraction"), fontsize=SMALL_SIZE, color=MUTED_COLOUR,
            xytext=(2, 2), textcoords="offset points", va="bottom",
        )  # fmt: skip
    axes.hlines(rows, low, high, color=FIRST_COLOUR, linewidth=1.3)
    axes.plot(accuracy, rows, linestyle="none", marker="o", markersize=4.5, color=FIRST_COLOUR)
    for row, (value, end) in enumerate(zip(accuracy, np.fmax(high, accuracy), strict=True)):
        axes.annotate(
            f"{value:.3f}", (end, row), xytext=(5, 0), textcoords="offset points", va="center", fontsize=SMALL_SIZE
        )
    axes.set_yticks(rows, [shown(str(name)) for name in table.index], fontsize=SMALL_SIZE)
    axes.set_ylim(len(table) - 0.5, -0.5)
    axes.margins(x=0.12)
    axes.grid(axis="y", color="#E4E4E4", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel(label, fontsize=TEXT_SIZE)
    open_frame(axes)
    return figure
