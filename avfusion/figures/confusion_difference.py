"""The difference of two confusion matrices as a heatmap."""

from collections.abc import Sequence
from textwrap import fill

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from avfusion.figures.style import AUDIO_COLOUR, SMALL_SIZE, VIDEO_COLOUR, new_matrix, write_cell


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
    figure, axes, bar = new_matrix(difference, classes, title, note, cmap=colours, vmin=-limit, vmax=limit)
    bar.ax.set_title(f"more\n{fill(first, 12)}", fontsize=SMALL_SIZE)
    bar.ax.set_xlabel(f"more\n{fill(second, 12)}", fontsize=SMALL_SIZE)
    for row, column in np.ndindex(difference.shape):
        value = difference[row, column]
        text = "0" if abs(value) < 0.005 else f"{value:+.2f}".replace("0.", ".", 1).replace("-", "−")
        write_cell(axes, row, column, text, n_classes=len(classes), light=bool(value < -0.6 * limit))
    return figure
