"""Loss, and where wanted accuracy, of a training run against the epoch."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from avfusion.errors import UserError
from avfusion.figures.style import (
    COLUMN_WIDTH,
    FIRST_COLOUR,
    MUTED_COLOUR,
    SECOND_COLOUR,
    TEXT_SIZE,
    add_legend,
    check_columns,
    new_panels,
    open_frame,
)

PARTS = {"train": ("training", FIRST_COLOUR, "o"), "val": ("validation", SECOND_COLOUR, "s")}


def loss_curves(
    records: pd.DataFrame,
    best_epoch: int,
    title: str,
    *,
    show_accuracy: bool = False,
    note: str | None = None,
) -> Figure:
    """Training and validation loss by epoch, the chosen epoch marked; accuracy in a panel below if wanted.

    `records`, one row per epoch, has columns epoch, train_loss, val_loss and, for `show_accuracy`,
    train_accuracy, val_accuracy.
    """
    quantities = ["loss", "accuracy"] if show_accuracy else ["loss"]
    needed = ["epoch", *(f"{part}_{quantity}" for quantity in quantities for part in PARTS)]
    check_columns(records, needed, "loss curves: the records have")
    if best_epoch not in records["epoch"].to_numpy():
        raise UserError(f"loss curves: the chosen epoch {best_epoch} is not among the records")
    height = 3.9 if show_accuracy else 2.5
    figure, panels = new_panels(COLUMN_WIDTH, height, title, note, rows=len(quantities))
    for axes, quantity in zip(panels, quantities, strict=True):
        _draw(axes, records, quantity, best_epoch)
    add_legend(figure, columns=3)
    panels[-1].set_xlabel("epoch", fontsize=TEXT_SIZE)
    return figure


def _draw(axes: Axes, records: pd.DataFrame, quantity: str, best_epoch: int) -> None:
    chosen = records["epoch"] == best_epoch
    axes.axvline(best_epoch, color=MUTED_COLOUR, linewidth=0.8, linestyle=":", label=f"chosen epoch, {best_epoch}")
    for part, (name, colour, marker) in PARTS.items():
        values = records[f"{part}_{quantity}"]
        # A single epoch is a point, which a line alone would not show.
        axes.plot(
            records["epoch"], values, color=colour, linewidth=1.3, label=name,
            linestyle="-" if part == "train" else "--", marker=marker if len(records) == 1 else None, markersize=3,
        )  # fmt: skip
        if part == "val":
            axes.plot(records.loc[chosen, "epoch"], values[chosen], marker="D", markersize=4.5, color=colour)
    axes.set_ylabel("cross-entropy loss" if quantity == "loss" else quantity, fontsize=TEXT_SIZE)
    first, last = records["epoch"].min(), records["epoch"].max()
    margin = max(0.5, 0.03 * (last - first))
    axes.set_xlim(first - margin, last + margin)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    open_frame(axes)
