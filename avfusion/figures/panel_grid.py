"""Several small panels side by side, for figures that show one thing per variant or per score."""

import math
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from avfusion.figures.style import (
    MUTED_COLOUR,
    PAGE_WIDTH,
    SMALL_SIZE,
    TITLE_SIZE,
    new_figure,
    open_frame,
)

TITLE_INCHES, NOTE_INCHES = 0.3, 0.2

# Okabe and Ito, "Color Universal Design" (2008), and markers, so that lines differ twice.
LINE_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#767676")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*", "p", "h")


def new_grid(
    n_panels: int,
    title: str,
    note: str | None = None,
    *,
    columns: int,
    panel_height: float,
    share_x: bool = True,
    share_y: bool = True,
) -> tuple[Figure, list[Axes]]:
    """A page-wide figure of `n_panels` panels, `panel_height` inches each, in rows of at most `columns`."""
    columns = min(columns, n_panels)
    rows = math.ceil(n_panels / columns)
    head = TITLE_INCHES + (NOTE_INCHES if note else 0.0)
    height = rows * panel_height + head
    # Title and note lie above the space that is laid out, so that no panel's own title can meet them.
    layout = ConstrainedLayoutEngine(rect=(0, 0, 1, 1 - head / height))
    figure = new_figure(PAGE_WIDTH, height, layout)
    centred: dict[str, Any] = {"ha": "center", "va": "top"}
    figure.text(0.5, 1 - 0.08 / height, title, fontsize=TITLE_SIZE, fontweight="bold", **centred)
    if note:
        figure.text(0.5, 1 - TITLE_INCHES / height, note, fontsize=SMALL_SIZE, color=MUTED_COLOUR, **centred)
    panels = list(figure.subplots(rows, columns, sharex=share_x, sharey=share_y, squeeze=False).flat)
    for empty in panels[n_panels:]:
        empty.remove()
    for axes in panels[:n_panels]:
        axes.tick_params(labelsize=SMALL_SIZE, length=2.5, width=0.6, labelbottom=True)
        axes.spines[:].set_linewidth(0.6)
        open_frame(axes)
    return figure, panels[:n_panels]
