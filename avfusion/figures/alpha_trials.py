"""Validation accuracy of a study's trials against alpha, the weight of the video."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

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


def alpha_trials(trials: pd.DataFrame, title: str, *, best_alpha: float, note: str | None = None) -> Figure:
    """A dot per completed trial, the highest of each tenth of alpha joined, `best_alpha` marked.

    `trials`: columns alpha (in [0, 1]) and val_accuracy (in [0, 1]). Trials differ in more than alpha, so the upper
    edge says most.
    """
    check_trials(trials, ["alpha", "val_accuracy"], "accuracy against alpha")
    figure, axes = new_axes(COLUMN_WIDTH, 2.6, title, note)
    alpha, accuracy = (trials[name].to_numpy(dtype=np.float64) for name in ("alpha", "val_accuracy"))
    axes.plot(alpha, accuracy, "o", color=FIRST_COLOUR, markersize=3, label="trial")
    tenths = np.minimum((alpha * 10).astype(int), 9)
    highest = [max(np.flatnonzero(tenths == tenth), key=lambda i: accuracy[i]) for tenth in np.unique(tenths)]
    axes.plot(alpha[highest], accuracy[highest], color=SECOND_COLOUR, linewidth=1.2, label="best of each tenth")
    axes.axvline(best_alpha, color=MUTED_COLOUR, linewidth=0.8, linestyle=":", label=f"best trial: {best_alpha:.3g}")
    axes.set_xlabel("alpha (0: sound alone, 1: picture alone)", fontsize=TEXT_SIZE)
    axes.set_ylabel("validation accuracy", fontsize=TEXT_SIZE)
    open_frame(axes)
    add_legend(figure)
    return figure
