"""The figures of a study: what is drawn, where, and what they refuse."""

import io

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import optuna
import pandas as pd
import pytest
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from avfusion.errors import UserError
from avfusion.figures import (
    alpha_trials,
    hyperparameter_contour,
    hyperparameter_slices,
    optimisation_history,
    parallel_coordinates,
)
from avfusion.figures.trials import on_axis
from avfusion.tuning.importances_figure import importances_figure
from avfusion.tuning.results import importances
from avfusion.tuning.sampling import STAGE

SCALES = {"alpha": "linear", "learning_rate": "log", "hidden": "choice", "rule": "choice"}


def trials(n: int = 12) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "trial": np.arange(n),
            "value": draw.uniform(0.5, 1.0, n),
            "default": np.arange(n) == 0,
            "alpha": draw.uniform(0.1, 0.9, n),
            "learning_rate": 10 ** draw.uniform(-5, -2, n),
            "hidden": draw.choice([1024, 64, 256], n),
            "rule": draw.choice(["mean", "product"], n),
            "val_accuracy": draw.uniform(0.6, 0.8, n),
        }
    )


def texts(figure: Figure) -> str:
    """Everything that the figure says; drawing it must raise nothing."""
    figure.savefig(io.BytesIO(), format="png", dpi=40)
    found = [text.get_text() for axes in figure.axes for text in [*axes.texts, axes.xaxis.label, axes.yaxis.label]]
    found += [text.get_text() for axes in figure.axes for text in [*axes.get_xticklabels(), *axes.get_yticklabels()]]
    legends = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    return " | ".join([*found, *legends])


@pytest.mark.parametrize(("larger", "expected"), [(False, [3.0, 2.0, 2.0, 1.0]), (True, [3.0, 3.0, 4.0, 4.0])])
def test_the_history_holds_the_best_so_far(larger: bool, expected: list[float]) -> None:
    table = pd.DataFrame({"trial": range(5), "value": [3.0, 2.0, 4.0, np.nan, 1.0], "default": [True] + [False] * 4})
    figure = optimisation_history(table, "title", metric="loss", larger_is_better=larger)
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    assert np.asarray(lines["best so far"].get_ydata()).tolist() == expected
    assert np.asarray(lines["trial"].get_xdata()).tolist() == [0, 1, 2, 4]
    assert np.asarray(lines["defaults"].get_xdata()).tolist() == [0]
    assert np.asarray(lines["pruned or failed"].get_xdata()).tolist() == [3]
    assert "loss" in texts(figure)


def test_places_on_axes() -> None:
    table = pd.DataFrame({"n": [1024, 64, 256], "rate": [1e-2, 1e-4, 1e-3], "word": ["b", "a", "b"]})
    assert on_axis(table, "n", "choice").positions.tolist() == [2.0, 0.0, 1.0]
    assert on_axis(table, "n", "choice").labels == {0.0: "64", 1.0: "256", 2.0: "1024"}
    assert on_axis(table, "rate", "log").positions == pytest.approx([-2, -4, -3])
    assert on_axis(table, "word", "choice").labels == {0.0: "a", 1.0: "b"}


def study(n: int = 12) -> optuna.Study:
    """`trials(n)` as Optuna has them; each of two stages, with two epochs and with one."""
    made = optuna.create_study()
    floats, choices = optuna.distributions.FloatDistribution, optuna.distributions.CategoricalDistribution
    distributions = {
        "alpha": floats(0, 1),
        "learning_rate": floats(1e-6, 1, log=True),
        "hidden": choices([64, 256, 1024]),
        "rule": choices(["mean", "product"]),
    }
    for row in trials(n).to_dict("records"):
        params = {name: row[name] for name in SCALES}
        reported = {1: 2.0, 2: 1.5, STAGE + 1: 1.0}
        made.add_trial(
            optuna.create_trial(
                value=row["value"], params=params, distributions=distributions, intermediate_values=reported
            )
        )
    return made


@pytest.mark.parametrize("larger", [False, True])
def test_slices_have_a_panel_for_each_hyperparameter_and_ring_the_best(larger: bool) -> None:
    table = trials()
    scales = {**SCALES, "val_accuracy": "linear", "trial": "linear"}  # of two rows
    figure = hyperparameter_slices(table, scales, "title", metric="loss", larger_is_better=larger)
    assert [axes.get_xlabel() for axes in figure.axes] == list(scales)
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "", "", "", "", "loss"]
    best = int(table["value"].argmax() if larger else table["value"].argmin())
    for axes, (name, scale) in zip(figure.axes, scales.items(), strict=True):
        dots, ring = (np.asarray(line.get_xydata()) for line in axes.lines)
        assert dots.tolist() == np.stack([on_axis(table, name, scale).positions, table["value"]], axis=1).tolist()
        assert ring.tolist() == [dots[best].tolist()]
    assert "product" in texts(figure)


def test_one_trial_of_one_hyperparameter() -> None:
    assert "alpha" in texts(hyperparameter_slices(trials(1), {"alpha": "linear"}, "title", metric="loss"))


@pytest.mark.parametrize("pair", [("alpha", "learning_rate"), ("hidden", "rule"), ("alpha", "hidden")])
@pytest.mark.parametrize("n", [1, 2, 12])
def test_a_contour_rings_the_best(pair: tuple[str, str], n: int) -> None:
    table = trials(n)
    figure = hyperparameter_contour(table, {name: SCALES[name] for name in pair}, "title", metric="loss")
    (ring,) = figure.axes[0].lines
    best = int(table["value"].argmin())
    at = [on_axis(table, name, SCALES[name]).positions[best] for name in pair]
    assert np.ravel([ring.get_xdata(), ring.get_ydata()]).tolist() == pytest.approx(at)
    assert pair[0] in texts(figure)


def test_trials_on_one_line_make_no_contour() -> None:
    table = trials().assign(learning_rate=1e-3)
    figure = hyperparameter_contour(table, {"alpha": "linear", "learning_rate": "log"}, "title", metric="loss")
    assert len(figure.axes[0].collections) == 1 and texts(figure)


@pytest.mark.parametrize("larger", [False, True])
def test_parallel_coordinates_bring_out_the_best(larger: bool) -> None:
    table = trials()
    figure = parallel_coordinates(table, SCALES, "title", metric="loss", larger_is_better=larger)
    (lines,) = (entry for entry in figure.axes[0].collections if isinstance(entry, LineCollection))
    assert len(lines.get_segments()) == len(table)
    best = table["value"].max() if larger else table["value"].min()
    assert f"best: {best:.3f} loss" in texts(figure)


def test_importances_are_ranked() -> None:
    before = dict(matplotlib.rcParams)
    figure, shares = importances_figure(study(), "late", "loss", "synthetic scenes"), importances(study())
    assert figure is not None
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == sorted(shares, key=lambda name: shares[name])  # the largest on top
    assert figure.get_suptitle() == "late, what mattered\nsynthetic scenes"
    assert f"{max(shares.values()):.2f}" in texts(figure)
    assert plt.get_fignums() == [] and dict(matplotlib.rcParams) == before
    assert importances_figure(study(1), "late", "loss") is None, "one trial says nothing of importance"


def test_alpha_joins_the_best_of_each_tenth() -> None:
    table = pd.DataFrame({"alpha": [0.11, 0.19, 0.5, 0.52], "val_accuracy": [0.6, 0.7, 0.8, 0.75]})
    figure = alpha_trials(table, "title", best_alpha=0.5)
    edge = next(line for line in figure.axes[0].lines if line.get_label() == "best of each tenth")
    assert np.asarray(edge.get_xdata()).tolist() == [0.19, 0.5] and "best trial: 0.5" in texts(figure)


def test_what_cannot_be_drawn() -> None:
    with pytest.raises(UserError, match="parallel coordinates: the trials have no column dropout"):
        parallel_coordinates(trials(), {"dropout": "linear"}, "title", metric="loss")
    with pytest.raises(UserError, match="parallel coordinates: no trial was completed"):
        parallel_coordinates(trials(0), SCALES, "title", metric="loss")
    with pytest.raises(UserError, match="expected two hyperparameters, not 1"):
        hyperparameter_contour(trials(), {"alpha": "linear"}, "title", metric="loss")
