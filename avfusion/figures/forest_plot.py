"""Paired differences between variants with their intervals."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from avfusion.figures.style import (
    FIRST_COLOUR,
    MUTED_COLOUR,
    SECOND_COLOUR,
    SMALL_SIZE,
    TEXT_SIZE,
    check_columns,
    new_grid,
    shown,
)

COLUMNS = ("first", "second", "difference", "low", "high", "verdict")
LOOKS = {
    "better": (FIRST_COLOUR, "o", "first is better"),
    "worse": (SECOND_COLOUR, "s", "first is worse"),
    "cannot tell": (MUTED_COLOUR, "D", "cannot tell"),
}
"""Verdict -> colour, marker, words in the legend."""


def forest_plot(scores: dict[str, pd.DataFrame], title: str, *, note: str | None = None) -> Figure:
    """One panel per score, one row per pair: the difference, first minus second, as a dot on its interval.

    `scores` gives for the name of each score a table with the columns first, second (names of variants), difference,
    low, high (the interval) and verdict (better, worse, cannot tell); all have the same pairs in the same order.
    Infinite ends reach the edge of the panel.
    """
    for name, table in scores.items():
        check_columns(table, COLUMNS, f"forest plot: the table of {name} has")
    n_pairs = len(next(iter(scores.values())))
    figure, panels = new_grid(
        len(scores), title, note, columns=2, panel_height=0.75 + 0.21 * n_pairs, share_x=False, share_y=True
    )
    for axes, (name, table) in zip(panels, scores.items(), strict=True):
        _draw(axes, name, table)
    first = next(iter(scores.values()))
    labels = [f"{shown(a)} − {shown(b)}" for a, b in zip(first["first"], first["second"], strict=True)]
    panels[0].set_yticks(np.arange(n_pairs), labels, fontsize=SMALL_SIZE)
    panels[0].set_ylim(n_pairs - 0.5, -0.5)
    handles = [
        panels[0].plot([], [], color=colour, marker=marker, markersize=4.5, linewidth=1.3, label=words)[0]
        for colour, marker, words in LOOKS.values()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=SMALL_SIZE, frameon=False)
    return figure


def _draw(axes: Axes, name: str, table: pd.DataFrame) -> None:
    ends = table[["difference", "low", "high"]].to_numpy(dtype=np.float64)
    finite = ends[np.isfinite(ends)]
    reach = 1.08 * max(float(np.abs(finite).max()), 1e-6)
    axes.axvline(0, color="#202020", linewidth=0.8)
    for row, ((difference, low, high), verdict) in enumerate(zip(ends, table["verdict"], strict=True)):
        colour, marker, _ = LOOKS[str(verdict)]
        axes.hlines(row, max(low, -reach), min(high, reach), color=colour, linewidth=1.3)
        axes.plot(difference, row, linestyle="none", marker=marker, markersize=4.5, color=colour)
    axes.set_xlim(-reach, reach)
    axes.set_xlabel(f"difference in {name}", fontsize=TEXT_SIZE)
    axes.grid(axis="y", color="#E4E4E4", linewidth=0.6)
    axes.set_axisbelow(True)
