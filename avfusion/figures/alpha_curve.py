"""Accuracy against alpha, the weight of the video in late fusion."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from avfusion.figures.style import (
    COLUMN_WIDTH,
    FIRST_COLOUR,
    MUTED_COLOUR,
    SECOND_COLOUR,
    TEXT_SIZE,
    add_legend,
    check_columns,
    new_axes,
    open_frame,
)

SPLITS = {"val": ("validation", SECOND_COLOUR, "s", "--"), "test": ("test", FIRST_COLOUR, "o", "-")}


def alpha_curve(
    records: pd.DataFrame, title: str, *, best_alpha: float | None = None, note: str | None = None
) -> Figure:
    """Validation and test accuracy against alpha, a band from the least to the greatest over the seeds.

    `records` has one row per alpha and seed: columns alpha (in [0, 1], weighs the video), seed,
    val_accuracy and test_accuracy (in [0, 1]). `best_alpha` is marked; without it, the alpha of the
    highest mean validation accuracy (of several, the smallest). The test never chooses.
    """
    check_columns(records, ("alpha", "seed", "val_accuracy", "test_accuracy"), "alpha curve: the records have")
    by_alpha = records.groupby("alpha", sort=True)
    mean = by_alpha[["val_accuracy", "test_accuracy"]].mean()
    least, greatest = (by_alpha[list(mean.columns)].agg(rule) for rule in ("min", "max"))
    if best_alpha is None:
        best_alpha = float(mean.index[int(mean["val_accuracy"].to_numpy().argmax())])
    figure, axes = new_axes(COLUMN_WIDTH, 2.6, title, note)
    n_seeds = records["seed"].nunique()
    for split, (name, colour, marker, line) in SPLITS.items():
        column = f"{split}_accuracy"
        if n_seeds > 1:
            axes.fill_between(mean.index, least[column], greatest[column], color=colour, alpha=0.18, linewidth=0)
        label = f"{name}, mean of {n_seeds} seeds" if n_seeds > 1 else name
        axes.plot(
            mean.index, mean[column], color=colour, linewidth=1.3, linestyle=line, marker=marker, markersize=3,
            label=label,
        )  # fmt: skip
    axes.axvline(
        best_alpha,
        color=MUTED_COLOUR,
        linewidth=0.8,
        linestyle=":",
        label=f"alpha chosen on validation: {best_alpha:g}",
    )
    axes.set_xlabel("alpha (0: sound alone, 1: picture alone)", fontsize=TEXT_SIZE)
    axes.set_ylabel("accuracy", fontsize=TEXT_SIZE)
    low, high = float(np.min(least.to_numpy())), float(np.max(greatest.to_numpy()))
    axes.set_ylim(low - 0.1 * max(high - low, 0.02), high + 0.1 * max(high - low, 0.02))
    open_frame(axes)
    add_legend(figure, columns=1)
    return figure
