"""How much of a study's variation each hyperparameter explains."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from avfusion.errors import UserError
from avfusion.figures.style import COLUMN_WIDTH, FIRST_COLOUR, SMALL_SIZE, TEXT_SIZE, new_axes, open_frame, shown


def hyperparameter_importances(shares: Mapping[str, float], title: str, *, note: str | None = None) -> Figure:
    """One bar per hyperparameter, the largest on top; `shares` are in [0, 1]."""
    if not shares:
        raise UserError("hyperparameter importances: none given")
    ranked = dict(sorted(shares.items(), key=lambda item: -item[1]))
    figure, axes = new_axes(COLUMN_WIDTH, 1.0 + 0.22 * len(ranked), title, note)
    rows = np.arange(len(ranked))
    axes.barh(rows, list(ranked.values()), height=0.6, color=FIRST_COLOUR)
    for row, share in zip(rows, ranked.values(), strict=True):
        axes.annotate(
            f"{share:.2f}", (share, row), xytext=(3, 0), textcoords="offset points", va="center", fontsize=SMALL_SIZE
        )
    axes.set_yticks(rows, [shown(name) for name in ranked], fontsize=SMALL_SIZE)
    axes.set_ylim(len(ranked) - 0.5, -0.5)
    axes.margins(x=0.15)
    axes.set_xlabel("share of the variation", fontsize=TEXT_SIZE)
    open_frame(axes)
    return figure
