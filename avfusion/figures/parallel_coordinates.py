"""All hyperparameters of a study's trials at once."""

import numpy as np
import pandas as pd
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

from avfusion.figures.hyperparameter_axis import COLOURS, Placed, Scales, check_trials, place
from avfusion.figures.style import PAGE_WIDTH, SECOND_COLOUR, SMALL_SIZE, new_axes


def parallel_coordinates(
    trials: pd.DataFrame,
    scales: Scales,
    title: str,
    *,
    metric: str,
    larger_is_better: bool = False,
    note: str | None = None,
) -> Figure:
    """One line per completed trial through its hyperparameters, darker where it is better; the best stands out.

    `trials`: columns value (of `metric`) and the hyperparameters in `scales`, which are the axes from left to right.
    """
    check_trials(trials, ["value", *scales], "parallel coordinates")
    values = trials["value"].to_numpy(dtype=np.float64)
    ranks = np.argsort(np.argsort(values if larger_is_better else -values)).astype(np.float64)  # greatest is best
    axes_of = [place(trials, name, scale) for name, scale in scales.items()]
    heights = np.stack([_height(placed, placed.positions) for placed in axes_of], axis=1)  # [trials, axes]
    lines = np.stack([np.broadcast_to(np.arange(len(scales)), heights.shape), heights], axis=2)
    figure, axes = new_axes(PAGE_WIDTH, 2.8, title, note)
    order = np.argsort(ranks)
    axes.add_collection(
        LineCollection(list(lines[order]), array=ranks[order], cmap=f"{COLOURS}_r", linewidths=0.8, alpha=0.7)
    )
    best = int(ranks.argmax())
    axes.plot(
        lines[best, :, 0], lines[best, :, 1], color=SECOND_COLOUR, linewidth=2,
        label=f"best: {values[best]:.3f} {metric}",
    )  # fmt: skip
    for number, placed in enumerate(axes_of):
        axes.axvline(number, color="#202020", linewidth=0.6, zorder=3)
        for position, text in placed.labels.items():
            height = float(_height(placed, np.array([position]))[0])
            axes.annotate(text, (number, height), xytext=(3, 0), textcoords="offset points", fontsize=SMALL_SIZE)
    axes.set_xticks(range(len(scales)), list(scales), fontsize=SMALL_SIZE)
    axes.set_yticks([])
    axes.set_xlim(-0.2, len(scales) - 0.5)
    axes.set_ylim(-0.06, 1.08)
    axes.spines[:].set_visible(False)
    figure.legend(loc="outside lower center", fontsize=SMALL_SIZE, frameon=False)
    return figure


def _height(placed: Placed, positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Positions as heights in [0, 1]; the middle where all are the same."""
    low, high = placed.positions.min(), placed.positions.max()
    return (positions - low) / (high - low) if high > low else np.full(len(positions), 0.5)
