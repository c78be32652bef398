"""Optuna's own figure of importances, under a title and a note of ours.

In place of its others `avfusion.figures` has figures that say more; each says there what.
"""

import warnings

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from optuna import Study
from optuna.exceptions import ExperimentalWarning
from optuna.visualization.matplotlib import plot_param_importances

from avfusion.tuning.results import EVALUATOR, importances


def importances_figure(study: Study, title: str, metric: str, note: str | None = None) -> Figure | None:
    """What each hyperparameter explains of the value; None where that is unknown.

    `title` and `note` stand above, `metric` names the value.
    """
    if not importances(study):
        return None
    with plt.rc_context(), warnings.catch_warnings():  # Optuna sets a style of its own and leaves it set
        warnings.simplefilter("ignore", ExperimentalWarning)
        axes = plot_param_importances(study, evaluator=EVALUATOR, target_name=metric)
        figure = axes.get_figure(root=True)
        assert figure is not None
        plt.close(figure)  # out of the hands of pyplot, which would keep it
        figure.set_layout_engine("constrained")
        figure.suptitle(f"{title}, what mattered" + (f"\n{note}" if note else ""))
        for place in ("left", "center"):
            axes.set_title("", loc=place)  # Optuna's name for the figure
    return figure
