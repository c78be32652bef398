"""A study in MLflow: one run for it, with a table and figures of its trials, and one nested run per trial."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException

from avfusion.features import FeatureStore
from avfusion.features.provenance import note
from avfusion.figures import (
    alpha_trials,
    hyperparameter_contour,
    hyperparameter_slices,
    optimisation_history,
    parallel_coordinates,
)
from avfusion.figures.style import FIRST_COLOUR, MUTED_COLOUR
from avfusion.fusion.hyperparameters import Value
from avfusion.tracking.artifacts import log_features, log_figure, log_page, log_table
from avfusion.tracking.lookup import COLOUR
from avfusion.tracking.runs import BATCH, REASON, ending, experiment_run, log_batch, opener, set_tags
from avfusion.tracking.ui import run_page, ui_address, ui_command
from avfusion.training.fit import Epoch

TRIAL, OUTCOME = "trial", "avfusion.outcome"
KILLED = "KILLED"
STATUS = {"complete": "FINISHED", "failed": "FAILED"}
"""How a trial's run ends; whatever else became of a trial, pruned or broken off, it is KILLED and not a failure."""


@contextmanager
def study_run(name: str, tags: Mapping[str, str], known: str | None, *, join: bool) -> Iterator[str]:
    """The active run of a study, its id: the one named `known` if this experiment has it, else a new one.

    Interrupted it ends as KILLED, and is taken up again when the study is. If another process leads the study (`join`),
    its run is left as it is.
    """
    again = known is not None and known_run(known)
    if again and join:
        yield str(known)
    elif again:
        with ending(mlflow.start_run(run_id=known, nested=True)) as run:
            set_tags(opener())
            yield str(run.info.run_id)
    else:
        with experiment_run(name, tags) as run:
            yield str(run.info.run_id)


def link_from_outside(run_id: str) -> str:
    """Markdown for a page that is not MLflow's: the address of a run, and what to type for it to answer."""
    link = f"[MLflow run]({ui_address(run_page(_experiment(), run_id))})"
    return link + (f"\n\n(while `{command}` runs)" if (command := ui_command()) else "")


def known_run(run_id: str) -> bool:
    """Whether the experiment of the active run has a run of this id."""
    try:
        found = MlflowClient().get_run(run_id).info
    except MlflowException:
        return False
    return bool(found.experiment_id == _experiment() and found.lifecycle_stage == "active")


@dataclass
class TrialRuns:
    """The runs of a study's trials, nested under the run `parent`. One batch call each."""

    parent: str
    tags: Mapping[str, str]
    params: dict[int, Mapping[str, object]] = field(default_factory=dict)
    runs: dict[int, str] = field(default_factory=dict)
    """The open runs by trial number."""

    def start(self, number: int, params: Mapping[str, object]) -> str:
        """Open the run of trial `number`; returns its id."""
        tags = {**self.tags, **opener(), "avfusion.kind": TRIAL, TRIAL: str(number), "mlflow.parentRunId": self.parent}
        run = MlflowClient().create_run(_experiment(), tags=tags, run_name=f"trial {number}")
        self.params[number], self.runs[number] = params, run.info.run_id
        return str(run.info.run_id)

    def end(
        self,
        number: int,
        outcome: str,
        metrics: Mapping[str, float],
        history: Sequence[Epoch] = (),
        reason: str = "",
    ) -> None:
        """Log and close the run of trial `number`, if it is open."""
        if (run_id := self.runs.pop(number, None)) is not None:
            now = int(time.time() * 1000)
            points = [
                Metric(name, value, now, epoch.epoch) for epoch in history for name, value in epoch.points.items()
            ]
            points += [Metric(name, float(value), now, 0) for name, value in {TRIAL: number, **metrics}.items()]
            _close(run_id, outcome, self.params.pop(number), points, reason)


def close_left(parent: str, outcomes: Mapping[int, tuple[str, Mapping[str, object], Mapping[str, float]]]) -> None:
    """Close the runs of trials under `parent` that a killed process left open, or that were closed without an outcome.

    `outcomes` has outcome, parameters and metrics of the trials that have ended, by number.
    """
    query = f"tags.`mlflow.parentRunId` = '{parent}' and attributes.status != 'FINISHED'"
    left: list[Run] = MlflowClient().search_runs([_experiment()], query, max_results=BATCH)
    now = int(time.time() * 1000)
    for run in left:
        number = int(run.data.tags.get(TRIAL, "-1"))
        if number not in outcomes:
            continue
        outcome, params, metrics = outcomes[number]
        if OUTCOME not in run.data.tags or run.info.status != STATUS.get(outcome, KILLED):
            points = [Metric(name, float(value), now, 0) for name, value in {TRIAL: number, **metrics}.items()]
            _close(run.info.run_id, outcome, params, points, "")


@dataclass(frozen=True)
class StudyRecord:
    """A study that is done, in plain data."""

    title: str
    """Of the variant."""
    asked: Mapping[str, object]
    """What was searched and how, for the run's parameters; the same whenever the study goes on."""
    trials: pd.DataFrame
    """As `avfusion.tuning.results.trials_table` gives it."""
    scales: Mapping[str, str]
    """The searched hyperparameters: `linear`, `log` or `choice`."""
    importances: Mapping[str, float]
    """Share of each hyperparameter in the variation; empty if unknown."""
    importances_figure: Figure | None
    """The same, drawn by Optuna."""
    page: str | None
    """The same and others on a page that answers the mouse, if there is one (see `avfusion.tuning.interactive`)."""
    metric: str
    """What the value of a trial is, as `validation log loss`."""
    larger_is_better: bool
    best_trial: int
    best_params: Mapping[str, Value]


def log_study(record: StudyRecord, store: FeatureStore) -> None:
    """What was asked for, best values, trials table and all figures of `record` into the active run."""
    trials = record.trials
    counts = {"trials": len(trials)}
    counts |= {f"trials_{str(name).replace(' ', '_')}": int(n) for name, n in trials["outcome"].value_counts().items()}
    best = trials[trials["trial"] == record.best_trial].iloc[0]
    scores = {f"best/val/{name}": float(best[f"val_{name}"]) for name in ("accuracy", "log_loss")}
    importances = {f"importance/{name}": share for name, share in record.importances.items()}
    log_batch(record.asked, {**counts, **scores, **importances, "best/trial": record.best_trial})
    set_tags({f"best.{name}": str(value) for name, value in record.best_params.items()})
    log_features(store)
    log_table(trials, "trials")
    for name, figure in _figures(record, note(store.provenance)):
        log_figure(figure, name)
    if record.page is not None:
        log_page(record.page, "interactive")


def _figures(record: StudyRecord, remark: str | None) -> Iterator[tuple[str, Figure]]:
    """Name and figure, of those that the trials are enough for."""
    if record.importances_figure is not None:
        yield "importances", record.importances_figure
    complete, scales, title = record.trials[record.trials["value"].notna()], record.scales, record.title
    value: Any = {"metric": record.metric, "larger_is_better": record.larger_is_better, "note": remark}
    yield "history", optimisation_history(record.trials, f"{title}, trials", **value)
    yield "parallel_coordinates", parallel_coordinates(complete, scales, f"{title}, all trials", **value)
    yield "slices", hyperparameter_slices(complete, scales, f"{title}, each hyperparameter", **value)
    if len(scales) > 1:
        two = {name: scales[name] for name in [*record.importances, *scales] if name in scales}
        two = dict(list(two.items())[:2])
        yield "contour", hyperparameter_contour(complete, two, f"{title}, {' and '.join(two)}", **value)
    if "alpha" in scales:
        alpha = float(record.best_params["alpha"])
        yield "alpha", alpha_trials(complete, f"{title}, accuracy by alpha", best_alpha=alpha, note=remark)


def _close(run_id: str, outcome: str, params: Mapping[str, object], points: list[Metric], reason: str) -> None:
    client = MlflowClient()
    parameters = [Param(name, _in_full(value)) for name, value in params.items()]
    colour = FIRST_COLOUR if outcome == "complete" else MUTED_COLOUR
    tags = [RunTag(OUTCOME, outcome), RunTag(COLOUR, colour), *([RunTag(REASON, reason)] if reason else [])]
    room = BATCH - len(parameters) - len(tags)
    client.log_batch(run_id, metrics=points[:room], params=parameters, tags=tags)
    for start in range(room, len(points), BATCH):  # hundreds of epochs in several stages
        client.log_batch(run_id, metrics=points[start : start + BATCH])
    client.set_terminated(run_id, STATUS.get(outcome, KILLED))


def _in_full(value: object) -> str:
    """`value` as text, 0.000012 not as 1.2e-05: where a table cuts the end off, 1.2 would be left.

    >>> _in_full(1.5826154879548874e-05), _in_full(0.5), _in_full(64)
    ('0.000015826154879548874', '0.5', '64')
    """
    return np.format_float_positional(value, trim="0") if isinstance(value, float) else str(value)


def _experiment() -> str:
    run = mlflow.active_run()
    assert run is not None, "a study is logged inside a job's run"
    return str(run.info.experiment_id)
