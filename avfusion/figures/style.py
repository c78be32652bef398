"""The shared look: paper sizes, colours that colour-blind readers tell apart, panels, titles, class names."""

import math
import textwrap
import warnings
from collections.abc import Iterable
from typing import Any

import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Text
from matplotlib.transforms import blended_transform_factory

from avfusion.errors import UserError

COLUMN_WIDTH = 3.5
"""Inches of one column of a two-column paper."""
PAGE_WIDTH = 7.2
"""Inches of both columns."""
DOTS_PER_INCH = 200

TITLE_SIZE, TEXT_SIZE, SMALL_SIZE = 9.0, 8.0, 7.0
"""Points."""
TITLE_INCHES, NOTE_INCHES = 0.3, 0.2
"""Heights of the two lines above a grid of panels."""

# Okabe and Ito, "Color Universal Design" (2008). A modality keeps its colour through all figures.
AUDIO_COLOUR, VIDEO_COLOUR = "#E69F00", "#0072B2"
BOTH_COLOUR, NEITHER_COLOUR = "#009E73", "#D0D0D0"
FIRST_COLOUR, SECOND_COLOUR = "#0072B2", "#D55E00"
MUTED_COLOUR = "#767676"
# For many lines the same palette, and markers, so that they differ twice.
LINE_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#767676")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*", "p", "h")


def series_colour(number: int) -> str:
    """One of twenty colours, for what has a number: ten full ones, then the same ones pale (Tableau's palette)."""
    tone, pale = number % 10, number // 10 % 2
    return to_hex(colormaps["tab20"](2 * tone + pale))


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


def check_columns(table: pd.DataFrame, needed: Iterable[str], whose: str) -> None:
    """Raise `UserError`, which begins with `whose`, as "loss curves: the records have", where a column is missing."""
    if missing := [column for column in needed if column not in table.columns]:
        found = ", ".join(map(str, table.columns))
        raise UserError(f"{whose} no column {', '.join(missing)}; found {found}")


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


def _wrapped(text: str, width: float, size: float) -> str:
    # Bold DejaVu Sans runs about 0.62 of its size wide per character.
    line = max(int(width * 72 / (size * 0.62)) - 2, 10)
    return textwrap.fill(text, line, max_lines=MOST_LINES, placeholder=" …")
