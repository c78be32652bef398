"""How much each member counts in an ensemble."""

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

COLUMNS = ("member", "weight", "val_log_loss")


def ensemble_weights(table: pd.DataFrame, title: str, *, note: str | None = None) -> Figure:
    """One bar per member, top to bottom in the order of the rows: its weight, and beside it its log loss alone.

    `table` has columns member, weight (at least 0; 0 for one that was dropped) and val_log_loss (nats).
    """
    check_columns(table, COLUMNS, "ensemble weights: the table has")
    figure, axes = new_axes(COLUMN_WIDTH, 1.0 + 0.22 * len(table), title, note)
    rows = range(len(table))
    axes.barh(rows, table["weight"], height=0.6, color=FIRST_COLOUR)
    for row, (weight, loss) in enumerate(zip(table["weight"], table["val_log_loss"], strict=True)):
        said = f"{weight:.2f}, alone {loss:.3f}" if weight > 0 else f"dropped, alone {loss:.3f}"
        axes.annotate(
            said, (weight, row), xytext=(4, 0), textcoords="offset points", va="center", fontsize=SMALL_SIZE,
            color="black" if weight > 0 else MUTED_COLOUR,
        )  # fmt: skip
    axes.set_yticks(rows, [shown(str(name)) for name in table["member"]], fontsize=SMALL_SIZE)
    axes.set_ylim(len(table) - 0.5, -0.5)
    axes.set_xlim(0, 2.2 * max(float(table["weight"].max()), 1e-9))  # room for what stands beside the longest bar
    axes.set_xlabel("weight; validation loss alone", fontsize=TEXT_SIZE)
    open_frame(axes)
    return figure
