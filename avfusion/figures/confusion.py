"""A confusion matrix, or the difference of two, as a heatmap."""

from collections.abc import Sequence
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from avfusion.errors import UserError
from avfusion.figures.style import (
    AUDIO_COLOUR,
    COLUMN_WIDTH,
    PAGE_WIDTH,
    SMALL_SIZE,
    TEXT_SIZE,
    VIDEO_COLOUR,
    new_axes,
    shown,
)
from avfusion.scoring.metrics import row_normalised


def confusion_heatmap(
    counts: NDArray[np.integer], classes: Sequence[str], title: str, *, note: str | None = None
) -> Figure:
    """Each row of the confusion matrix as shares of the true class's clips, printed in the cells.

    `counts` [C, C] are numbers of clips, rows the true class. "0" is no clip, "0.00" fewer than one in 200; the
    row of a class without clips shows dashes.
    """
    shares = row_normalised(counts)
    figure, axes, bar = _new_matrix(shares, classes, title, note, cmap="Blues", vmin=0, vmax=1)
    bar.set_label("share of the true class", fontsize=SMALL_SIZE)
    empty = counts.sum(axis=1) == 0
    for row, column in np.ndindex(shares.shape):
        share = shares[row, column]
        text = "–" if empty[row] else "0" if counts[row, column] == 0 else f"{share:.2f}"
        _write_cell(axes, row, column, text, n_classes=len(classes), light=bool(share > 0.6))
    return figure


def confusion_difference(
    difference: NDArray[np.floating],
    classes: Sequence[str],
    title: str,
    *,
    first: str = "audio",
    second: str = "video",
    note: str | None = None,
) -> Figure:
    """`difference` [C, C]: row-normalised confusion of `first` minus that of `second`, in [-1, 1].

    Printed in the cells; orange where `first` gives the answer more often, blue where `second` does. On the
    diagonal that is the difference of the recalls.
    """
    colours = LinearSegmentedColormap.from_list("difference", [VIDEO_COLOUR, "white", AUDIO_COLOUR])
    limit = max(float(np.abs(difference).max()), 0.05)
    figure, axes, bar = _new_matrix(difference, classes, title, note, cmap=colours, vmin=-limit, vmax=limit)
    bar.ax.set_title(f"more\n{fill(first, 12)}", fontsize=SMALL_SIZE)
    bar.ax.set_xlabel(f"more\n{fill(second, 12)}", fontsize=SMALL_SIZE)
    for row, column in np.ndindex(difference.shape):
        value = difference[row, column]
        text = "0" if abs(value) < 0.005 else f"{value:+.2f}".replace("0.", ".", 1).replace("-", "−")
        _write_cell(axes, row, column, text, n_classes=len(classes), light=bool(value < -0.6 * limit))
    return figure


def _new_matrix(
    values: NDArray[np.floating], classes: Sequence[str], title: str, note: str | None, **colours: Any
) -> tuple[Figure, Axes, Colorbar]:
    """A picture of [C, C] `values`: truth down, decision across, class names on both axes, a colour bar.

    As wide as one column while numbers fit into the cells, at most a page. `colours` go to `imshow`. The cells
    fill their space, so that no length of the names leaves a gap; with usual names they are near square.
    """
    if values.shape != (len(classes), len(classes)):
        raise UserError(f"figure: the matrix has shape {values.shape} for {len(classes)} classes")
    width = min(max(COLUMN_WIDTH, 1.6 + 0.3 * len(classes)), PAGE_WIDTH)
    figure, axes = new_axes(width, width - 0.5 + (0.15 if note else 0.0), title, note)
    image = axes.imshow(values, aspect="auto", **colours)
    names = [shown(name) for name in classes]
    axes.set_yticks(range(len(names)), names, fontsize=SMALL_SIZE)
    axes.set_xticks(range(len(names)), names, fontsize=SMALL_SIZE, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_xlabel("predicted class", fontsize=TEXT_SIZE)
    axes.set_ylabel("true class", fontsize=TEXT_SIZE)
    bar = figure.colorbar(image, ax=axes, pad=0.02, aspect=25)
    bar.ax.tick_params(labelsize=SMALL_SIZE, length=2.5, width=0.6)
    bar.outline.set_linewidth(0.6)
    return figure, axes, bar


def _write_cell(axes: Axes, row: int, column: int, text: str, *, n_classes: int, light: bool) -> None:
    """The number of one cell of a matrix; `light` on a dark cell. Past 20 classes it shrinks with the cells."""
    size = SMALL_SIZE if n_classes <= 10 else min(SMALL_SIZE - 1.5, 110 / n_classes)
    colour = "white" if light else "#202020"
    axes.text(column, row, text, ha="center", va="center", fontsize=size, color=colour)
