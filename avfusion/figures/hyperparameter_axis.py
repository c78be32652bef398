"""Axes for hyperparameters: numbers, numbers on a log scale, and choices, which stand at equal distances."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator
from numpy.typing import NDArray

from avfusion.errors import UserError
from avfusion.figures.style import MUTED_COLOUR, SMALL_SIZE, TEXT_SIZE, new_axes

COLOURS = "cividis"
"""Dark to light alike for all eyes (Nuñez et al., PLOS ONE 2018)."""

LINEAR, LOG, CHOICE = "linear", "log", "choice"
Scales = Mapping[str, str]
"""Searched hyperparameters, each `linear`, `log` or `choice`."""


@dataclass(frozen=True)
class Placed:
    """One hyperparameter of some trials on a linear axis; `log` values as their decimal logarithm."""

    name: str
    positions: NDArray[np.float64]
    labels: dict[float, str]
    """Text by position: every choice, or the least and the greatest number."""


def place(trials: pd.DataFrame, name: str, scale: str) -> Placed:
    """Column `name` of `trials` on the axis that `scale` asks for."""
    column = trials[name]
    if scale == CHOICE:
        numeric = all(isinstance(value, int | float) for value in column)
        choices = sorted(set(column), key=float if numeric else str)
        order = {choice: float(position) for position, choice in enumerate(choices)}
        positions = np.array([order[value] for value in column])
        return Placed(name, positions, {position: str(choice) for choice, position in order.items()})
    values = column.to_numpy(dtype=np.float64)
    positions = np.log10(values) if scale == LOG else values
    ends = (int(values.argmin()), int(values.argmax()))
    return Placed(name, positions, {float(positions[end]): f"{values[end]:.3g}" for end in ends})


def label_axis(axes: Axes, placed: Placed, scale: str, which: str = "x") -> None:
    """Ticks and name of `placed` on one axis of `axes`."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    if scale == CHOICE:
        axis.set_ticks(list(placed.labels), list(placed.labels.values()))
        axis.set_minor_locator(NullLocator())
    elif scale == LOG:
        axis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 5, 10]))
        axis.set_major_formatter(lambda power, _: f"{10**power:.1g}")
    axis.set_label_text(placed.name, fontsize=TEXT_SIZE)
    axes.tick_params(labelsize=SMALL_SIZE, length=2.5, width=0.6)


def new_grid(
    width: float, height: float, title: str, note: str | None, rows: int, columns: int
) -> tuple[Figure, list[Axes]]:
    """`rows` x `columns` panels that share their y axis only, row by row; the note stands below them."""
    figure, axes = new_axes(width, height, title)
    axes.remove()
    panels = list(figure.subplots(rows, columns, sharey=True, squeeze=False).flat)
    if note:
        figure.supxlabel(note, fontsize=SMALL_SIZE, color=MUTED_COLOUR)
    return figure, panels


def check_trials(trials: pd.DataFrame, columns: Sequence[str], figure: str) -> None:
    """Raise `UserError` if there is no trial to draw or a column is missing."""
    if missing := [column for column in columns if column not in trials.columns]:
        raise UserError(f"{figure}: the trials have no column {', '.join(missing)}")
    if trials.empty:
        raise UserError(f"{figure}: no trial was completed")
