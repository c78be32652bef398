"""The value of a study's trials against each hyperparameter by itself."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from avfusion.figures.hyperparameter_axis import COLOURS, Scales, check_trials, label_axis, new_grid, place
from avfusion.figures.style import PAGE_WIDTH, TEXT_SIZE, open_frame

COLUMNS = 4


def hyperparameter_slices(
    trials: pd.DataFrame, scales: Scales, title: str, *, metric: str, note: str | None = None
) -> Figure:
    """One panel per hyperparameter in `scales`, a dot per completed trial, later trials lighter.

    `trials`: columns trial, value (of `metric`) and the hyperparameters.
    """
    check_trials(trials, ["trial", "value", *scales], "hyperparameter slices")
    columns = min(COLUMNS, len(scales))
    rows = -(-len(scales) // columns)
    figure, panels = new_grid(PAGE_WIDTH, 0.5 + 1.5 * rows, title, note, rows, columns)
    jitter = np.random.default_rng(0).uniform(-0.15, 0.15, len(trials))
    for panel, (name, scale) in zip(panels, scales.items(), strict=False):
        placed = place(trials, name, scale)
        across = placed.positions + (jitter if scale == "choice" else 0.0)
        panel.scatter(across, trials["value"], c=trials["trial"], cmap=COLOURS, s=9, linewidths=0)
        label_axis(panel, placed, scale)
        open_frame(panel)
    for panel in panels[len(scales) :]:
        panel.remove()
    for row in range(rows):
        panels[row * columns].set_ylabel(metric, fontsize=TEXT_SIZE)
    return figure
