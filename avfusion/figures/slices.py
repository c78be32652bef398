"""The trials of a tuning study against each hyperparameter."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from avfusion.figures.style import FIRST_COLOUR, TEXT_SIZE, new_grid
from avfusion.figures.trials import Scales, check_trials, label_axis, on_axis, ring_best

COLUMNS = 5
"""Panels side by side, at most."""


def hyperparameter_slices(
    trials: pd.DataFrame,
    scales: Scales,
    title: str,
    *,
    metric: str,
    larger_is_better: bool = False,
    note: str | None = None,
) -> Figure:
    """One panel per hyperparameter in `scales`: a dot per completed trial, a ring around the best.

    Optuna's figure has all panels in one row, which is too wide for a page where there are many hyperparameters.

    `trials`: columns value (of `metric`) and the hyperparameters.
    """
    check_trials(trials, ["value", *scales], "hyperparameter slices")
    values = trials["value"].to_numpy(dtype=np.float64)
    figure, panels = new_grid(len(scales), title, note, columns=COLUMNS, panel_height=1.5, share_x=False)
    for number, (axes, (name, scale)) in enumerate(zip(panels, scales.items(), strict=True)):
        placed = on_axis(trials, name, scale)
        axes.plot(placed.positions, values, "o", color=FIRST_COLOUR, markersize=2.5)
        ring_best(axes, placed.positions, values, values, larger_is_better)
        axes.margins(0.12)
        label_axis(axes, placed, scale)
        if number % COLUMNS == 0:
            axes.set_ylabel(metric, fontsize=TEXT_SIZE)
    return figure
