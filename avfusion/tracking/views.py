"""Saved views of the MLflow UI: for each question a table of the right runs with the right columns, and charts.

A view is a tag of its experiment, in a format of MLflow's own that nothing documents. It is written for the version
that was tried (`MLFLOW`); for any other, people are told so in one line and get MLflow's plain table.
"""

import base64
import hashlib
import json
import logging
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlflow import MlflowClient

from avfusion.tracking.failures import FAILURES
from avfusion.tracking.lookup import FOLDS, KIND, PARENT, SEEDS, SIDE_BY_SIDE
from avfusion.tracking.session import ui_version
from avfusion.tracking.ui import runs_page, ui_lines

MLFLOW = "3.17"
"""The version whose UI opens what is written here."""

TAG = "mlflow.sharedViewState."
WRITER = "avfusion"
"""Field of a view: the digest of what was written. The UI drops it from a view that a person saves anew."""

COLLAPSED = ("Model metrics", "test", "test_1s", "val", "test/precision", "test/recall", "test/f1")
"""Sections of the charts that MLflow makes of all other metrics; they stay closed."""

FIXED = ("attributes.`Run Name`", "runDateAndNestInfo", "duration")
"""The columns that MLflow always shows, first."""

NARROW, WIDE = 112, 180
"""Least widths of columns in pixels: of numbers, and of words."""
LETTER, EDGES = 8, 40
"""Pixels of a letter in the head of a column, and of the rest, with the sign of the order: heads are shown whole."""

Chart = dict[str, Any]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class View:
    """One saved view: which runs, in which order, with which columns and charts."""

    key: str
    """Identifies it in its experiment, and in addresses."""
    name: str
    filter: str
    """In MLflow's language."""
    columns: Sequence[str]
    """In their order, as `metrics.test/accuracy`, `params.alpha`, `tags.data` or `attributes.Models`."""
    order_by: str
    """A column."""
    ascending: bool
    charts: Sequence[Chart]


def bars(metric: str) -> Chart:
    """A bar for each run: its last value of `metric`."""
    return {"type": "BAR", "metricKey": metric, "runsCountToCompare": 20}


def curves(metric: str) -> Chart:
    """A line for each run: `metric` by epoch."""
    fixed = {"scaleType": "linear", "xAxisKey": "step", "selectedXAxisMetricKey": "", "lineSmoothness": 0}
    return {"type": "LINE", "metricKey": metric, "selectedMetricKeys": [metric], "runsCountToCompare": 20, **fixed}


def points(param: str, metric: str) -> Chart:
    """A point for each run: `metric` against the parameter `param`."""
    axes = {"xaxis": {"key": param, "type": "PARAM"}, "yaxis": {"key": metric, "type": "METRIC"}}
    return {"type": "SCATTER", "displayName": f"{metric} by {param}", "runsCountToCompare": 100, **axes}


_WHAT = ("tags.data", "tags.embedder")
_WORDS = (*_WHAT, f"tags.{SIDE_BY_SIDE}", "params.variant")
_SCORES = ("test/accuracy", "val/accuracy", "test/log_loss", "val/log_loss")

VARIANTS = View(
    key="variants",
    name="Variants",
    filter=f"tags.`{SEEDS}` IS NOT NULL",
    columns=(
        "params.variant", *(f"metrics.{score}" for score in (*_SCORES, "test/macro_f1")),
        "params.alpha", f"tags.{SEEDS}", f"params.{FOLDS}", *_WHAT, "attributes.Models",
    ),
    order_by="metrics.test/accuracy",
    ascending=False,
    charts=(*map(bars, _SCORES), curves("val_loss")),
)  # fmt: skip

SWEEP = View(
    key="alpha-sweep",
    name="Alpha sweep",
    filter=f"tags.`{KIND}` = 'alpha'",
    columns=("params.alpha", "params.seed", *(f"metrics.{score}" for score in _SCORES), *_WHAT),
    order_by="params.alpha",
    ascending=True,
    charts=[points("alpha", score) for score in _SCORES],
)

PAGES = View(
    key="comparisons",
    name="Comparisons and reports",
    filter=f"tags.`{SIDE_BY_SIDE}` IS NOT NULL",
    columns=(f"tags.{SIDE_BY_SIDE}", "params.clips", "params.independent_locations", *_WHAT),
    order_by="attributes.start_time",
    ascending=False,
    charts=(),
)  # fmt: skip


def trials_view(study: str, run_id: str, searched: Sequence[str]) -> View:
    """The trials of a study, whose run is `run_id`: the objective against each of its `searched` hyperparameters."""
    return View(
        key=f"trials-{hashlib.sha256(study.encode()).hexdigest()[:12]}",
        name=f"Trials: {study}",
        filter=f"tags.`{PARENT}` = '{run_id}' and tags.`{KIND}` = 'trial'",
        columns=(
            "tags.avfusion.outcome", "metrics.objective", *(f"params.{name}" for name in searched),
            "metrics.val/accuracy", "metrics.val/log_loss", "metrics.epochs",
        ),
        order_by="metrics.trial",
        ascending=True,
        charts=[points(name, "objective") for name in searched],
    )  # fmt: skip


def view_lines(experiment_id: str, *views: View) -> list[str]:
    """Save `views`; how to open them, or MLflow's plain table where one cannot be saved (which is told in one line)."""
    keys = [view.key if save_view(experiment_id, view) else None for view in views]
    return ui_lines(*(runs_page(experiment_id, key) for key in dict.fromkeys(keys)))


def save_view(experiment_id: str, view: View) -> bool:
    """Make `view` openable in this experiment; whether it is.

    A view of this key that a person has changed stays as it is.
    """
    version = ui_version()
    if version.split(".")[:2] != MLFLOW.split("."):
        _log.warning(
            "view %r is not saved: views are in the format of MLflow %s, and the UI's is %s; the address opens the "
            "plain table of runs", view.name, MLFLOW, version or "unknown",
        )  # fmt: skip
        return False
    try:
        return _save(experiment_id, view)
    except FAILURES as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        _log.warning("view %r is not saved (%s); the address opens the plain table of runs", view.name, reason)
        return False


def _save(experiment_id: str, view: View) -> bool:
    client = MlflowClient()
    there = client.get_experiment(experiment_id).tags.get(TAG + view.key)
    state = "deflate;" + base64.b64encode(zlib.compress(json.dumps(_state(view)).encode(), 9)).decode()
    fields = {"name": view.name, "state": state}
    if there is not None:
        found = _read(there)
        if found is None:
            _log.warning(
                "view %r is in another format than that of MLflow %s, and stays as it is; the address opens the plain "
                "table of runs", view.name, MLFLOW,
            )  # fmt: skip
            return False
        if found.get(WRITER) != _digest(found) or _digest(found) == _digest(fields):
            return True  # a person has changed it, or it is as it should be
    now = int(time.time() * 1000)
    value = {**fields, "createdAt": now, "updatedAt": now, WRITER: _digest(fields)}
    client.set_experiment_tag(experiment_id, TAG + view.key, json.dumps(value))
    return True


def _read(value: str) -> dict[str, Any] | None:
    """The fields of a saved view; None for another format."""
    try:
        found = json.loads(value)
    except ValueError:
        return None
    known = isinstance(found, dict) and isinstance(found.get("name"), str) and isinstance(found.get("state"), str)
    return found if known else None


def _digest(fields: Mapping[str, Any]) -> str:
    return hashlib.sha256(f"{fields['name']}\n{fields['state']}".encode()).hexdigest()[:16]


def _state(view: View) -> dict[str, Any]:
    """What the UI keeps of a table and its charts, all fields of it."""
    columns = [_quoted(column) for column in view.columns]
    sections = [{"uuid": "own", "name": view.name, "display": True}]
    sections += [{"uuid": f"other-{name}", "name": name, "display": False} for name in COLLAPSED]
    return {
        "searchFilter": view.filter,
        "orderByKey": _quoted(view.order_by),
        "orderByAsc": view.ascending,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": columns,
        "columnOrder": [*FIXED, *columns],
        "columnWidths": {_quoted(column): _width(column) for column in view.columns},
        "runsHiddenMode": "SHOW_ALL",
        "viewMaximized": False,
        "runListHidden": False,
        "isAccordionReordered": True,  # else MLflow sorts our section among its own
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "groupBy": None,
        "groupsExpanded": {},
        "autoRefreshEnabled": True,
        "compareRunCharts": [
            {**chart, "uuid": f"chart-{number}", "metricSectionId": "own", "deleted": False, "isGenerated": False}
            for number, chart in enumerate(view.charts)
        ],
        "compareRunSections": [{**section, "isReordered": False, "deleted": False, "isGenerated": False}
                               for section in sections],
    }  # fmt: skip


def _width(column: str) -> int:
    least = WIDE if column in _WORDS else NARROW
    return max(least, LETTER * len(column.partition(".")[2]) + EDGES)


def _quoted(column: str) -> str:
    """`metrics.test/accuracy` as the UI writes it: metrics.`test/accuracy`."""
    kind, _, name = column.partition(".")
    return column if column == "attributes.start_time" else f"{kind}.`{name}`"
