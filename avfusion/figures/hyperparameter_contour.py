"""The value of a study over two of its hyperparameters."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from avfusion.errors import UserError
from avfusion.figures.hyperparameter_axis import COLOURS, Scales, check_trials, label_axis, place
from avfusion.figures.style import COLUMN_WIDTH, SECOND_COLOUR, SMALL_SIZE, new_axes

LEVELS = 10


def hyperparameter_contour(
    trials: pd.DataFrame,
    scales: Scales,
    title: str,
    *,
    metric: str,
    larger_is_better: bool = False,
    note: str | None = None,
) -> Figure:
    """Completed trials in the plane of the two hyperparameters in `scales`, the value interpolated between them.

    `trials`: columns value (of `metric`) and the two hyperparameters; the best trial has a ring. Where the trials do
    not span the plane, there are dots only.
    """
    if len(scales) != 2:
        raise UserError(f"hyperparameter contour: expected two hyperparameters, not {len(scales)}")
    check_trials(trials, ["value", *scales], "hyperparameter contour")
    across, up = (place(trials, name, scale) for name, scale in scales.items())
    values = trials["value"].to_numpy(dtype=np.float64)
    # The tails, a trial that diverged nearly, would take all the colours.
    low, high = np.quantile(values, [0.0, 0.9] if not larger_is_better else [0.1, 1.0])
    colours = COLOURS if larger_is_better else f"{COLOURS}_r"
    figure, axes = new_axes(COLUMN_WIDTH, 3.0, title, note)
    shades = {"cmap": colours, "vmin": low, "vmax": max(high, low + 1e-9)}
    if _span_a_plane(across.positions, up.positions) and high > low:
        levels = np.linspace(low, high, LEVELS + 1)
        axes.tricontourf(across.positions, up.positions, values, levels=levels, extend="both", alpha=0.7, cmap=colours)
    dots = axes.scatter(
        across.positions, up.positions, c=values, s=14, edgecolors="white", linewidths=0.4, **shades
    )  # fmt: skip
    best = int(values.argmax() if larger_is_better else values.argmin())
    axes.plot(
        across.positions[best], up.positions[best], "o", color=SECOND_COLOUR, fillstyle="none", markersize=9,
        markeredgewidth=1.4,
    )  # fmt: skip
    axes.margins(0.06)
    for which, placed in (("x", across), ("y", up)):
        label_axis(axes, placed, scales[placed.name], which)
    bar = figure.colorbar(dots, ax=axes, pad=0.02, aspect=25, extend="both")
    bar.set_label(metric, fontsize=SMALL_SIZE)
    bar.ax.tick_params(labelsize=SMALL_SIZE, length=2.5, width=0.6)
    return figure


def _span_a_plane(across: NDArray[np.float64], up: NDArray[np.float64]) -> bool:
    """Whether at least three different points do not lie on one line."""
    points = np.unique(np.stack([across, up], axis=1), axis=0)
    scaled = (points - points.mean(0)) / np.maximum(points.std(0), 1e-12)
    return len(points) > 3 and int(np.linalg.matrix_rank(scaled, tol=1e-6)) == 2
