"""Optuna's own figures of a tuning study, under a title and a note of ours.

Two of its five. In place of the others `avfusion.figures.trials` has figures that say more; each says there what.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from optuna import Study
from optuna.exceptions import ExperimentalWarning
from optuna.visualization.matplotlib import plot_param_importances, plot_slice

from avfusion.tuning.results import EVALUATOR, importances


def drawings(study: Study, title: str, metric: str, note: str | None = None) -> dict[str, Figure]:
    """Figures by name: `slices`, the value against each hyperparameter, and `importances`, what each explains of it.

    The second only where `importances` has an answer. `title` and `note` stand above, `metric` names the value.
    """
    with plt.rc_context(), warnings.catch_warnings():  # Optuna sets a style of its own and leaves it set
        warnings.simplefilter("ignore", ExperimentalWarning)
        warnings.filterwarnings("ignore", "Attempting to set identical low and high", UserWarning)  # of one trial
        slices = plot_slice(study, target_name=metric)
        drawn = {"slices": _titled(slices, f"{title}, each hyperparameter", note)}
        if importances(study):
            bars = plot_param_importances(study, evaluator=EVALUATOR, target_name=metric)
            drawn["importances"] = _titled(bars, f"{title}, what mattered", note)
    return drawn


def _titled(axes: Axes | NDArray[np.object_], title: str, note: str | None) -> Figure:
    """The figure of `axes`, out of the hands of pyplot, which would keep it."""
    panels: list[Axes] = list(np.ravel(np.asarray(axes, dtype=object)))
    figure = panels[0].get_figure(root=True)
    assert figure is not None
    plt.close(figure)
    figure.set_layout_engine("constrained")
    figure.suptitle(f"{title}\n{note}" if note else title)
    for place in ("left", "center"):
        panels[0].set_title("", loc=place)  # Optuna's name for the figure
    return figure
