"""What a variant says of clips beside its answers, class by class."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from avfusion.figures.style import (
    AUDIO_COLOUR,
    BOTH_COLOUR,
    COLUMN_WIDTH,
    SMALL_SIZE,
    TEXT_SIZE,
    VIDEO_COLOUR,
    add_legend,
    check_columns,
    new_axes,
    open_frame,
    shown,
)

COLUMNS = ("diagnostic", "class", "mean", "low", "high")
LOOKS = {"audio": (AUDIO_COLOUR, "o"), "video": (VIDEO_COLOUR, "s")}
"""Colour and marker of a diagnostic whose name ends in this."""


def diagnostics_by_class(
    table: pd.DataFrame, words: Mapping[str, str], title: str, *, note: str | None = None
) -> Figure:
    """One row per class, a dot for each diagnostic: its mean over the clips, and a line over the middle half of them.

    `table` has a row for each diagnostic and class, with columns diagnostic, class, mean, low and high, all in [0, 1];
    `words` says what each diagnostic is. One whose name ends in audio or video has the colour of that modality.
    """
    check_columns(table, COLUMNS, "diagnostics by class: the table has")
    classes = list(dict.fromkeys(table["class"]))
    figure, axes = new_axes(COLUMN_WIDTH, 1.2 + 0.22 * len(classes) + 0.15 * len(words), title, note)
    for position, (name, meaning) in enumerate(words.items()):
        of_it = table[table["diagnostic"] == name].set_index("class").reindex(classes)
        rows = [row + 0.16 * (position - (len(words) - 1) / 2) for row in range(len(classes))]
        colour, marker = LOOKS.get(name.rpartition("_")[2], (BOTH_COLOUR, "D"))
        axes.hlines(rows, of_it["low"], of_it["high"], color=colour, linewidth=1.0)
        axes.plot(of_it["mean"], rows, color=colour, marker=marker, markersize=4, linestyle="none", label=meaning)
    axes.set_yticks(range(len(classes)), [shown(str(name)) for name in classes], fontsize=SMALL_SIZE)
    axes.set_ylim(len(classes) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    axes.grid(axis="both", color="#E4E4E4", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel("mean, and the middle half", fontsize=TEXT_SIZE)
    open_frame(axes)
    add_legend(figure, columns=1)
    return figure
