"""Scores of variants as their inputs get worse."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from avfusion.figures.style import LINE_COLOURS, MARKERS, SMALL_SIZE, TEXT_SIZE, check_columns, new_grid, shown

COLUMNS = ("variant", "shift", "severity", "invariant")


def robustness_curve(
    table: pd.DataFrame,
    titles: dict[str, tuple[str, str]],
    title: str,
    *,
    score: str = "accuracy",
    note: str | None = None,
) -> Figure:
    """One panel per shift, one curve per variant: the score against the severity.

    `table` has one row per variant, shift and severity, with columns variant, shift, severity, invariant (the variant
    cannot feel the shift: a thin dotted line, "invariant" in the legend of the panel) and the score. `titles` gives for
    each shift, in the order of the panels, its title and what the severity counts.
    """
    check_columns(table, (*COLUMNS, score), "robustness curve: the table has")
    figure, panels = new_grid(len(titles), title, note, columns=3, panel_height=2.0, share_x=False)
    variants = list(dict.fromkeys(table["variant"]))
    for position, (axes, (shift, (name, unit))) in enumerate(zip(panels, titles.items(), strict=True)):
        _draw(axes, table[table["shift"] == shift], variants, score)
        axes.set_title(name, fontsize=TEXT_SIZE)
        axes.set_xlabel(unit, fontsize=TEXT_SIZE)
        if position % 3 == 0:
            axes.set_ylabel(score.replace("_", " "), fontsize=TEXT_SIZE)
    handles = [panels[0].plot([], [], **_look(index), label=shown(name))[0] for index, name in enumerate(variants)]
    handles.append(panels[0].plot([], [], color="#202020", linewidth=0.8, linestyle=":", label="invariant")[0])
    figure.legend(handles=handles, loc="outside lower center", ncols=5, fontsize=SMALL_SIZE, frameon=False)
    return figure


def _draw(axes: Axes, table: pd.DataFrame, variants: list[str], score: str) -> None:
    for index, name in enumerate(variants):
        curve = table[table["variant"] == name].sort_values("severity")
        look = _look(index)
        if curve["invariant"].any():
            look |= {"linestyle": ":", "linewidth": 0.8, "marker": "none"}
        axes.plot(curve["severity"], curve[score], **look)


def _look(index: int) -> dict[str, Any]:
    return {
        "color": LINE_COLOURS[index % len(LINE_COLOURS)],
        "marker": MARKERS[index % len(MARKERS)],
        "markersize": 3,
        "linewidth": 1.2,
    }
