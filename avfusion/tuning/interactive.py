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

from avfusion.tuning.results import EVALUATOR, importances

PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>
<body style="font-family: sans-serif; max-width: 1100px; margin: auto">
<h1 style="font-size: 1.3em">{title}</h1>
<p>{note}</p>
{figures}
</body></html>
"""


def interactive_page(study: Study, title: str, metric: str, note: str | None = None) -> str | None:
    """The page as HTML; None without plotly. `metric` names the value, `title` and `note` stand at its top."""
    if find_spec("plotly") is None:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        figures = list(_figures(study, metric))
    parts = [
        figure.to_html(full_html=False, include_plotlyjs=number == 0, config={"displaylogo": False})
        for number, figure in enumerate(figures)
    ]
    return PAGE.format(title=escape(title), note=escape(note or ""), figures="\n".join(parts))


def _figures(study: Study, metric: str) -> Iterator[Any]:
    """Those that the trials are enough for."""
    from optuna import visualization as plot  # here: it imports plotly

    yield plot.plot_optimization_history(study, target_name=metric)
    yield plot.plot_intermediate_values(study)
    yield plot.plot_slice(study, target_name=metric)
    yield plot.plot_parallel_coordinate(study, target_name=metric)
    if shares := importances(study):
        yield plot.plot_param_importances(study, evaluator=EVALUATOR, target_name=metric)
        if len(shares) > 1:
            yield plot.plot_contour(study, params=list(shares)[:2], target_name=metric)
