"""The trials of a tuning study, in figures that say more than those of Optuna, of which one is left.

`trials` are tables as of `avfusion.tuning.results.trials_table`, one row per trial.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator
from numpy.typing import NDArray

from avfusion.errors import UserError
from avfusion.figures.style import (
    COLUMN_WIDTH,
    FIRST_COLOUR,
    MUTED_COLOUR,
    PAGE_WIDTH,
    SECOND_COLOUR,
    SMALL_SIZE,
    TEXT_SIZE,
    add_legend,
    check_columns,
    new_axes,
    open_frame,
)

COLOURS = "cividis"
"""Dark to light alike for all eyes (Nuñez et al., PLOS ONE 2018)."""

LINEAR, LOG, CHOICE = "linear", "log", "choice"
Scales = Mapping[str, str]
"""Searched hyperparameters, each `linear`, `log` or `choice`."""
LEVELS = 10


@dataclass(frozen=True)
class Placed:
    """One hyperparameter of some trials on a linear axis; `log` values as their decimal logarithm."""

    name: str
    positions: NDArray[np.float64]
    labels: dict[float, str]
    """Text by position: every choice, or the least and the greatest number."""


def on_axis(trials: pd.DataFrame, name: str, scale: str) -> Placed:
    """Column `name` of `trials` on the axis that `scale` asks for."""
    column = trials[name]
    if scale == CHOICE:
        numeric = all(isinstance(value, int | float) for value in column)
        choices = sorted(set(column), key=float if numeric else str)
        order = {choice: float(position) for position, choice in enumerate(choices)}
        positions = np.array([order[value] for value in column])
        return Placed(name, positions, {position: str(choice) for choice, position in order.items()})
    values = column.to_numpy(dtype=np.float64)
    positions = np.log10(values) if scale == LOG else values
    ends = (int(values.argmin()), int(values.argmax()))
    return Placed(name, positions, {float(positions[end]): f"{values[end]:.3g}" for end in ends})


def label_axis(axes: Axes, placed: Placed, scale: str, which: str = "x") -> None:
    """Ticks and name of `placed` on one axis of `axes`."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    if scale == CHOICE:
        axis.set_ticks(list(placed.labels), list(placed.labels.values()))
        axis.set_minor_locator(NullLocator())
    elif scale == LOG:
        axis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 5, 10]))
        axis.set_major_formatter(lambda power, _: f"{10**power:.1g}")
    axis.set_label_text(placed.name, fontsize=TEXT_SIZE)
    axes.tick_params(labelsize=SMALL_SIZE, length=2.5, width=0.6)


def ring_best(
    axes: Axes,
    across: NDArray[np.float64],
    up: NDArray[np.float64],
    values: NDArray[np.float64],
    larger_is_better: bool,
) -> None:
    """A ring around the best of the trials with these `values`, at its place `across` and `up`; all are [trials]."""
    best = int(values.argmax() if larger_is_better else values.argmin())
    axes.plot(across[best], up[best], "o", color=SECOND_COLOUR, fillstyle="none", markersize=8, markeredgewidth=1.3)


def check_trials(trials: pd.DataFrame, columns: Sequence[str], figure: str) -> None:
    """Raise `UserError` if there is no trial to draw or a column is missing."""
    check_columns(trials, columns, f"{figure}: the trials have")
    if trials.empty:
        raise UserError(f"{figure}: no trial was completed")


def optimisation_history(
    trials: pd.DataFrame, title: str, *, metric: str, larger_is_better: bool = False, note: str | None = None
) -> Figure:
    """Each completed trial a dot, the best so far a line, the defaults a diamond.

    Optuna's figure shows neither the defaults, which are what the best is measured by, nor the pruned trials.

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
    axes.plot(default["trial"], default["value"], "D", color=MUTED_COLOUR, markersize=5, label="defaults")
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

    Lines are coloured by rank: in Optuna's figure one trial that nearly diverged makes all others one colour. There the
    numbers on the axes lie under the lines, too, and cannot be read.

    `trials`: columns value (of `metric`) and the hyperparameters in `scales`, which are the axes from left to right.
    """
    check_trials(trials, ["value", *scales], "parallel coordinates")
    values = trials["value"].to_numpy(dtype=np.float64)
    ranks = np.argsort(np.argsort(values if larger_is_better else -values)).astype(np.float64)  # greatest is best
    axes_of = [on_axis(trials, name, scale) for name, scale in scales.items()]
    heights = np.stack([_height(placed, placed.positions) for placed in axes_of], axis=1)  # [trials, axes]
    lines = np.stack([np.broadcast_to(np.arange(len(scales)), heights.shape), heights], axis=2)
    figure, axes = new_axes(PAGE_WIDTH, 2.8, title, note)
    order = np.argsort(ranks)
    axes.add_collection(
        LineCollection(list(lines[order]), array=ranks[order], cmap=f"{COLOURS}_r", linewidths=0.8, alpha=0.7)
    )
    best = int(ranks.argmax())
    label = f"best: {values[best]:.3f} {metric}"
    axes.plot(lines[best, :, 0], lines[best, :, 1], color=SECOND_COLOUR, linewidth=2, label=label)
    for number, placed in enumerate(axes_of):
        axes.axvline(number, color="#202020", linewidth=0.6, zorder=3)
        for position, text in placed.labels.items():
            height = float(_height(placed, np.array([position]))[0])
            axes.annotate(text, (number, height), xytext=(3, 0), textcoords="offset points", fontsize=SMALL_SIZE)
    names = ["\n" * (number % 2) + name for number, name in enumerate(scales)]  # in two rows: a page holds many
    axes.set_xticks(range(len(scales)), names, fontsize=SMALL_SIZE)
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

    Colours span the best 90 % of the trials and end where no trial was. Optuna's figure gives one trial that nearly
    diverged most of its colours, which hides where the good trials lie, and paints beyond the trials.

    `trials`: columns value (of `metric`) and the two hyperparameters; the best trial has a ring. Where the trials do
    not span the plane, there are dots only.
    """
    if len(scales) != 2:
        raise UserError(f"hyperparameter contour: expected two hyperparameters, not {len(scales)}")
    check_trials(trials, ["value", *scales], "hyperparameter contour")
    across, up = (on_axis(trials, name, scale) for name, scale in scales.items())
    values = trials["value"].to_numpy(dtype=np.float64)
    # The tails, a trial that diverged nearly, would take all the colours.
    low, high = np.quantile(values, [0.0, 0.9] if not larger_is_better else [0.1, 1.0])
    colours = COLOURS if larger_is_better else f"{COLOURS}_r"
    figure, axes = new_axes(COLUMN_WIDTH, 3.0, title, note)
    shades = {"cmap": colours, "vmin": low, "vmax": max(high, low + 1e-9)}
    if _span_a_plane(across.positions, up.positions) and high > low:
        levels = np.linspace(low, high, LEVELS + 1)
        axes.tricontourf(across.positions, up.positions, values, levels=levels, extend="both", alpha=0.7, cmap=colours)
    dots = axes.scatter(across.positions, up.positions, c=values, s=14, edgecolors="white", linewidths=0.4, **shades)
    ring_best(axes, across.positions, up.positions, values, larger_is_better)
    axes.use_sticky_edges = False  # of the colours, which would cut dots at the edge
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
