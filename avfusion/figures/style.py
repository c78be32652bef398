"""The shared look: paper sizes, colours that colour-blind readers tell apart, titles, class names."""

import textwrap
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colorbar import Colorbar
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Text
from matplotlib.transforms import blended_transform_factory
from numpy.typing import NDArray

from avfusion.errors import UserError

COLUMN_WIDTH = 3.5
"""Inches of one column of a two-column paper."""
PAGE_WIDTH = 7.2
"""Inches of both columns."""
DOTS_PER_INCH = 200

TITLE_SIZE, TEXT_SIZE, SMALL_SIZE = 9.0, 8.0, 7.0
"""Points."""

# Okabe and Ito, "Color Universal Design" (2008). A modality keeps its colour through all figures.
AUDIO_COLOUR, VIDEO_COLOUR = "#E69F00", "#0072B2"
BOTH_COLOUR, NEITHER_COLOUR = "#009E73", "#D0D0D0"
FIRST_COLOUR, SECOND_COLOUR = "#0072B2", "#D55E00"
MUTED_COLOUR = "#767676"

LONGEST_NAME = 24
"""Characters of a class name that an axis shows."""
MOST_LINES = 3
"""Of a title or a note."""


class PlainFigure(Figure):
    """A figure that shows every text as it is, where matplotlib takes what stands between two `$` for a formula."""

    def draw(self, renderer: RendererBase) -> None:
        """Draw it; a character that the font lacks is a box, of which matplotlib would warn once each."""
        for text in self.findobj(Text):
            text.set_parse_math(False)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"Glyph \d+", UserWarning)
            super().draw(renderer)


def new_figure(width: float, height: float, layout: ConstrainedLayoutEngine | None = None) -> Figure:
    """An empty figure of so many inches."""
    figure = PlainFigure(figsize=(width, height), dpi=DOTS_PER_INCH, layout=layout or "constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def new_panels(
    width: float, height: float, title: str, note: str | None = None, *, rows: int = 1
) -> tuple[Figure, list[Axes]]:
    """`rows` empty panels that share their x axis, under a title and, in grey, a note ("synthetic scenes").

    Width and height are inches of the whole figure.
    """
    figure = new_figure(width, height)
    panels = list(figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0])
    figure.suptitle(_wrapped(title, width, TITLE_SIZE), fontsize=TITLE_SIZE, fontweight="bold")
    if note:
        line = panels[0].set_title(_wrapped(note, width, SMALL_SIZE), fontsize=SMALL_SIZE, color=MUTED_COLOUR)
        # Centred on the figure, under the title, though its height follows the panel.
        across_figure = blended_transform_factory(figure.transFigure, panels[0].transAxes)
        line.set_transform(across_figure + panels[0].titleOffsetTrans)
    for axes in panels:
        axes.tick_params(labelsize=SMALL_SIZE, length=2.5, width=0.6)
        axes.spines[:].set_linewidth(0.6)
    return figure, panels


def new_axes(width: float, height: float, title: str, note: str | None = None) -> tuple[Figure, Axes]:
    """As `new_panels`, with one panel."""
    figure, (axes,) = new_panels(width, height, title, note)
    return figure, axes


def add_legend(figure: Figure, *, columns: int = 2) -> None:
    """One legend for all panels, below them, where no curve can run through it."""
    panel = figure.axes[0]
    figure.legend(
        *panel.get_legend_handles_labels(), loc="outside lower center", ncols=columns, fontsize=SMALL_SIZE,
        frameon=False,
    )  # fmt: skip


def open_frame(axes: Axes) -> None:
    """Leave only the left and the lower line of the frame, for curves and bars."""
    axes.spines[["top", "right"]].set_visible(False)


def shown(name: str) -> str:
    """A class name as an axis or a legend shows it: of a long one, beginning and end."""
    if name.startswith("_"):
        name = f" {name}"  # matplotlib keeps what begins with _ out of legends
    if len(name) <= LONGEST_NAME:
        return name
    half = (LONGEST_NAME - 1) // 2
    return f"{name[: LONGEST_NAME - 1 - half]}…{name[-half:]}"


def new_matrix(
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


def write_cell(axes: Axes, row: int, column: int, text: str, *, n_classes: int, light: bool) -> None:
    """The number of one cell of a matrix; `light` on a dark cell. Past 20 classes it shrinks with the cells."""
    size = SMALL_SIZE if n_classes <= 10 else min(SMALL_SIZE - 1.5, 110 / n_classes)
    colour = "white" if light else "#202020"
    axes.text(column, row, text, ha="center", va="center", fontsize=size, color=colour)


def _wrapped(text: str, width: float, size: float) -> str:
    # Bold DejaVu Sans runs about 0.62 of its size wide per character.
    line = max(int(width * 72 / (size * 0.62)) - 2, 10)
    return textwrap.fill(text, line, max_lines=MOST_LINES, placeholder=" …")
