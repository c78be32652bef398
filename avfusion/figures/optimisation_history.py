"""How the best value of a study came down (or up), trial by trial."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from avfusion.figures.hyperparameter_axis import check_trials
from avfusion.figures.style import (
    COLUMN_WIDTH,
    FIRST_COLOUR,
    MUTED_COLOUR,
    SECOND_COLOUR,
    TEXT_SIZE,
    add_legend,
    new_axes,
    open_frame,
)


def optimisation_history(
    trials: pd.DataFrame, title: str, *, metric: str, larger_is_better: bool = False, note: str | None = None
) -> Figure:
    """Each completed trial a dot, the best so far a line, the study's default settings a diamond.

    `trials`, by number: columns trial, value (of `metric`; NaN where pruned or failed: a tick at the foot) and
    default (bool).
    """
    complete = trials[trials["value"].notna()] if "value" in trials.columns else trials
    check_trials(complete, ["trial", "value", "default"], "optimisation history")
    figure, axes = new_axes(COLUMN_WIDTH, 2.6, title, note)
    values = complete["value"].to_numpy(dtype=np.float64)
    best = np.maximum.accumulate(values) if larger_is_better else np.minimum.accumulate(values)
    axes.plot(complete["trial"], values, "o", color=FIRST_COLOUR, markersize=3, label="trial")
    axes.step(complete["trial"], best, where="post", color=SECOND_COLOUR, linewidth=1.3, label="best so far")
    default = complete[complete["default"]]
    axes.plot(default["trial"], default["value"], "D", color=MUTED_COLOUR, markersize=5, label="default settings")
    if len(unfinished := trials[trials["value"].isna()]):
        foot = axes.get_xaxis_transform()
        axes.plot(
            unfinished["trial"], np.full(len(unfinished), 0.02), "|", color=MUTED_COLOUR, transform=foot,
            label="pruned or failed",
        )  # fmt: skip
    axes.set_xlabel("trial", fontsize=TEXT_SIZE)
    axes.set_ylabel(metric, fontsize=TEXT_SIZE)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    open_frame(axes)
    add_legend(figure)
    return figure
