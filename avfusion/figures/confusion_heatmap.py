"""A confusion matrix as a heatmap."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from avfusion.figures.style import SMALL_SIZE, new_matrix, write_cell
from avfusion.scoring.metrics import row_normalised


def confusion_heatmap(
    counts: NDArray[np.integer], classes: Sequence[str], title: str, *, note: str | None = None
) -> Figure:
    """Each row of the confusion matrix as shares of the true class's clips, printed in the cells.

    `counts` [C, C] are numbers of clips, rows the true class. "0" is no clip, "0.00" fewer than one in 200; the
    row of a class without clips shows dashes.
    """
    shares = row_normalised(counts)
    figure, axes, bar = new_matrix(shares, classes, title, note, cmap="Blues", vmin=0, vmax=1)
    bar.set_label("share of the true class", fontsize=SMALL_SIZE)
    empty = counts.sum(axis=1) == 0
    for row, column in np.ndindex(shares.shape):
        share = shares[row, column]
        text = "–" if empty[row] else "0" if counts[row, column] == 0 else f"{share:.2f}"
        write_cell(axes, row, column, text, n_classes=len(classes), light=bool(share > 0.6))
    return figure
