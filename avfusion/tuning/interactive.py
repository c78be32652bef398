"""Optuna's figures of a tuning study on one page that answers the mouse, where plotly is installed.

The page needs nothing else: it holds plotly's program, 5 MB, once.
"""

import warnings
from collections.abc import Iterator
from html import escape
from importlib.util import find_spec
from typing import Any

from optuna import Study
from optuna.exceptions import ExperimentalWarning
from optuna.trial import TrialState

from avfusion.tuning.results import EVALUATOR, importances
from avfusion.tuning.sampling import STAGE

SLICES = 3
"""Panels side by side; Optuna would put those of all hyperparameters into one row, of 300 pixels each from four on."""
AXIS = 90
"""Pixels from one axis of parallel coordinates to the next, whose numbers would meet in less."""

PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>
<body style="font-family: sans-serif; max-width: 1100px; margin: auto; padding: 0 1em">
<h1 style="font-size: 1.3em">{title}</h1>
<p>{note}</p>
{figures}
</body></html>
"""


def interactive_page(study: Study, title: str, metric: str, unit: str, note: str | None = None) -> str | None:
    """The page as HTML; None without plotly.

    `metric` names the value, `unit` what it is reported after (epoch or fold); `title` and `note` stand at the top.
    """
    if find_spec("plotly") is None:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        figures = list(_figures(study, metric, unit))
    parts = []
    for number, figure in enumerate(figures):
        figure.update_xaxes(exponentformat="power")  # 10⁻⁴, not 100µ
        figure.update_yaxes(exponentformat="power")
        drawn = figure.to_html(full_html=False, include_plotlyjs=number == 0, config={"displaylogo": False})
        parts.append(f'<div style="overflow-x: auto">{drawn}</div>')
    return PAGE.format(title=escape(title), note=escape(note or ""), figures="\n".join(parts))


def _figures(study: Study, metric: str, unit: str) -> Iterator[Any]:
    """Those that the trials are enough for."""
    from optuna import visualization as plot  # here: it imports plotly

    yield plot.plot_optimization_history(study, target_name=metric)
    yield from _by_stage(plot.plot_intermediate_values(study), metric, unit)
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    names = sorted({name for trial in complete for name in trial.params})
    for start in range(0, len(names), SLICES):
        yield plot.plot_slice(study, params=names[start : start + SLICES], target_name=metric)
    yield plot.plot_parallel_coordinate(study, target_name=metric).update_layout(width=AXIS * (len(names) + 3))
    if shares := importances(study):
        yield plot.plot_param_importances(study, evaluator=EVALUATOR, target_name=metric)
        if len(shares) > 1:
            yield plot.plot_contour(study, params=list(shares)[:2], target_name=metric)


def _by_stage(reported: Any, metric: str, unit: str) -> Iterator[Any]:
    """Optuna's figure of what was reported, one for each stage of training, whose steps begin at 1 again."""
    stages = sorted({number // STAGE for line in reported.data for number in line.x})
    for stage in stages:
        figure = type(reported)(reported)
        for line in figure.data:
            values = zip(line.x, line.y, strict=True)
            own = {number % STAGE: value for number, value in values if number // STAGE == stage}
            line.x, line.y = list(own), list(own.values())
        which = f", stage {stage + 1} of training" if len(stages) > 1 else ""
        figure.update_layout(title=f"Values by {unit}{which}", xaxis_title=unit, yaxis_title=metric)
        yield figure
