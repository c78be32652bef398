"""Reliability diagrams: how often a model is right when it is so sure."""

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

PER_ROW = 5
RARE = 0.01
"""Bins with a smaller share of the clips are hollow and off the line: chance rules there."""

COLUMNS = ("low", "high", "clips", "confidence", "accuracy")


def reliability_diagram(tables: dict[str, pd.DataFrame], title: str, *, note: str | None = None) -> Figure:
    """One panel per variant: accuracy against confidence, bin by bin, and in grey the share of clips in each bin.

    `tables` are of `avfusion.scoring.calibration.reliability`, by name. A calibrated model lies on the
    diagonal; below it, it is too sure.
    """
    for name, table in tables.items():
        check_columns(table, COLUMNS, f"reliability diagram: the table of {name} has")
    figure, panels = new_grid(len(tables), title, note, columns=PER_ROW, panel_height=1.95)
    for position, (axes, (name, table)) in enumerate(zip(panels, tables.items(), strict=True)):
        _draw(axes, name, table)
        if position % PER_ROW == 0:
            axes.set_ylabel("accuracy", fontsize=TEXT_SIZE)
        axes.set_xlabel("confidence", fontsize=TEXT_SIZE)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=SMALL_SIZE, frameon=False)
    return figure


def _draw(axes: Axes, name: str, table: pd.DataFrame) -> None:
    known = table[table["clips"] > 0]
    widths = known["high"] - known["low"]
    axes.bar(
        known["low"], known["clips"] / known["clips"].sum(), widths, align="edge", color="#D8D8D8",
        label="share of the clips",
    )  # fmt: skip
    axes.plot([0, 1], [0, 1], color=MUTED_COLOUR, linewidth=0.8, linestyle=":", label="calibrated")
    axes.vlines(known["confidence"], known["confidence"], known["accuracy"], color=SECOND_COLOUR, linewidth=0.9)
    rare = known["clips"] < RARE * known["clips"].sum()
    axes.plot(
        known.loc[rare, "confidence"],
        known.loc[rare, "accuracy"],
        color=FIRST_COLOUR,
        linestyle="none",
        marker="o",
        markersize=2.8,
        markerfacecolor="white",
        markeredgewidth=0.6,
    )
    known = known[~rare]
    axes.plot(
        known["confidence"], known["accuracy"], color=FIRST_COLOUR, linewidth=1.2, marker="o", markersize=2.8,
        label="accuracy where so sure",
    )  # fmt: skip
    axes.set_title(shown(name), fontsize=TEXT_SIZE)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
