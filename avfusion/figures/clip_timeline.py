"""A clip second by second: class probabilities, and what each modality adds to the winning one."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from avfusion.errors import UserError
from avfusion.figures.style import (
    AUDIO_COLOUR,
    LINE_COLOURS,
    MUTED_COLOUR,
    NEITHER_COLOUR,
    PAGE_WIDTH,
    SMALL_SIZE,
    TEXT_SIZE,
    VIDEO_COLOUR,
    new_panels,
    open_frame,
    shown,
)

MOST_CLASSES = 7
"""Classes that get a colour of their own; the others are one grey area."""
_MODALITIES = {"audio": ("sound", AUDIO_COLOUR, "-"), "video": ("picture", VIDEO_COLOUR, "--")}
# Black stays for the lines; the rest of the palette for areas.
_AREAS = tuple(colour for colour in LINE_COLOURS if colour not in ("#000000", "#767676"))
_AREA_COLOURS = (*_AREAS, "#F0E442")


def clip_timeline(
    seconds: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    classes: tuple[str, ...],
    shares: dict[str, NDArray[np.float64]],
    title: str,
    *,
    note: str | None = None,
) -> Figure:
    """Probabilities [S, C] as stacked areas over `seconds` [S] (where each begins), and the shares below.

    `shares` has, per modality, [S]: the change of the winning class's probability when the modality is replaced by its
    training mean; a modality that is not a number throughout is left out.
    """
    if probabilities.shape != (len(seconds), len(classes)) or not len(seconds):
        raise UserError(
            f"timeline: probabilities of shape {probabilities.shape} for {len(seconds)} seconds, {len(classes)} classes"
        )
    figure, (above, below) = new_panels(PAGE_WIDTH, 3.9, title, note, rows=2)
    edges = np.append(seconds, seconds[-1] + 1)
    _draw_areas(above, edges, probabilities, classes)
    _draw_shares(below, edges, shares)
    below.set_xlabel("second of the clip", fontsize=TEXT_SIZE)
    below.set_xlim(edges[0], edges[-1])
    below.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    for axes in (above, below):
        open_frame(axes)
        axes.legend(
            loc="upper left", bbox_to_anchor=(1.01, 1.0), fontsize=SMALL_SIZE, frameon=False, borderaxespad=0,
            reverse=axes is above,  # in the order of the areas, from the top
        )  # fmt: skip
    return figure


def _draw_areas(
    axes: Axes, edges: NDArray[np.int64], probabilities: NDArray[np.float64], classes: tuple[str, ...]
) -> None:
    largest = np.argsort(-probabilities.mean(0), kind="stable")[:MOST_CLASSES]
    rest = np.delete(probabilities, largest, axis=1).sum(1)
    bands = [probabilities[:, index] for index in largest]
    labels = [shown(classes[index]) for index in largest]
    colours = list(_AREA_COLOURS[: len(bands)])
    if len(classes) > len(bands):
        bands.append(rest)
        labels.append(f"{len(classes) - len(largest)} others")
        colours.append(NEITHER_COLOUR)
    held = [np.append(band, band[-1]) for band in bands]
    axes.stackplot(
        edges, held, labels=labels, colors=colours, step="post", linewidth=0.4, edgecolor="white"
    )  # white lines between areas, so that colour alone need not tell them apart
    axes.set_ylim(0, 1)
    axes.set_ylabel("probability", fontsize=TEXT_SIZE)


def _draw_shares(axes: Axes, edges: NDArray[np.int64], shares: dict[str, NDArray[np.float64]]) -> None:
    axes.axhline(0, color=MUTED_COLOUR, linewidth=0.6)
    for modality, share in shares.items():
        name, colour, line = _MODALITIES[modality]
        if np.isfinite(share).any():
            axes.step(
                edges,
                np.append(share, share[-1]),
                where="post",
                color=colour,
                linestyle=line,
                linewidth=1.3,
                label=name,
            )
    known = np.concatenate([[0.0], *(share[np.isfinite(share)] for share in shares.values())])
    margin = 0.06 * max(float(np.ptp(known)), 0.05)
    axes.set_ylim(known.min() - margin, known.max() + margin)
    axes.set_ylabel("share: change of the\nwinner's probability", fontsize=TEXT_SIZE)
