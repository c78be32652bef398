"""Per class, who is right: both modalities, one of them, or neither."""

import pandas as pd
from matplotlib.figure import Figure

from avfusion.figures.style import (
    AUDIO_COLOUR,
    BOTH_COLOUR,
    COLUMN_WIDTH,
    NEITHER_COLOUR,
    SMALL_SIZE,
    TEXT_SIZE,
    VIDEO_COLOUR,
    add_legend,
    check_columns,
    new_axes,
    open_frame,
    shown,
)

CELLS = {
    "both": ("both right", BOTH_COLOUR, "white"),
    "only_audio": ("only audio right", AUDIO_COLOUR, "black"),
    "only_video": ("only video right", VIDEO_COLOUR, "white"),
    "neither": ("neither right", NEITHER_COLOUR, "black"),
}
"""Column of the table: text of the legend, colour of the bar, colour of the number in it."""

SMALLEST_NUMBERED = 0.06
"""Shares below this get no number: it would not fit into the bar."""


def conflict_cells(cells: pd.DataFrame, title: str, *, note: str | None = None) -> Figure:
    """One bar per class, split into the four cells, the class with most conflict on top.

    `cells` has one row per class, in the order in which they shall stand from top to bottom (as
    `avfusion.analysis.conflict.cell_table` gives them), with clip counts in columns both, only_audio, only_video and
    neither. A class without clips has an empty bar.
    """
    check_columns(cells, CELLS, "conflict cells: the table has")
    counts = cells[list(CELLS)]
    totals = counts.sum(axis=1)
    shares = counts.div(totals.clip(lower=1), axis=0)
    figure, axes = new_axes(COLUMN_WIDTH + 1.0, 1.2 + 0.21 * len(cells), title, note)
    left = pd.Series(0.0, index=cells.index)
    for column, (name, colour, ink) in CELLS.items():
        share = shares[column]
        axes.barh(
            range(len(cells)), share, left=left, color=colour, height=0.78, edgecolor="white", linewidth=0.6, label=name
        )
        for row, (start, length) in enumerate(zip(left, share, strict=True)):
            if length >= SMALLEST_NUMBERED:
                axes.text(
                    start + length / 2, row, f"{100 * length:.0f}", ha="center", va="center",
                    fontsize=SMALL_SIZE - 0.5, color=ink,
                )  # fmt: skip
        left = left + share
    axes.set_yticks(range(len(cells)), [shown(str(name)) for name in cells.index], fontsize=SMALL_SIZE)
    axes.set_ylim(len(cells) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25", "50", "75", "100"])
    axes.set_xlabel("clips of the class, %", fontsize=TEXT_SIZE)
    open_frame(axes)
    add_legend(figure)
    return figure
