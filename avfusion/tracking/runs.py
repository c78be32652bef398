"""Opening, filling and closing runs."""

import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.tracking.context.registry import resolve_tags
from mlflow.tracking.fluent import _active_run_stack
from mlflow.utils.git_utils import get_git_commit

from avfusion.shown import masked
from avfusion.tracking.failures import FAILURES, TrackingError, at_once, tracked

BATCH = 1000
"""Most metrics that MLflow takes in one call."""

RANDOM_NAME = re.compile(r"[a-z]+-[a-z]+-\d+")
"""The names that MLflow gives to runs that nobody named."""


@contextmanager
def job_run(name: str) -> Iterator[mlflow.ActiveRun]:
    """The run of this job: the one that `mlflow run` made, else a new one named `name`."""
    adopted = os.environ.get("MLFLOW_RUN_ID")
    with tracked(), ending(mlflow.start_run(run_name=None if adopted else name)) as run:
        if adopted and RANDOM_NAME.fullmatch(run.info.run_name or ""):
            MlflowClient().update_run(run.info.run_id, name=name)
        mlflow.set_tag("avfusion.kind", "job")
        yield run


@contextmanager
def experiment_run(name: str, tags: Mapping[str, str], parent: str | None = None) -> Iterator[mlflow.ActiveRun]:
    """A new run beside the job's, which must be active (or under the run `parent`); active inside the block.

    Variants are runs of the top level, because the runs table hides what is nested and charts leave it out.
    """
    all_tags = {**resolve_tags(), "mlflow.source.git.commit": commit(), **tags}
    if parent is not None:
        all_tags["mlflow.parentRunId"] = parent
    created = MlflowClient().create_run(_active().info.experiment_id, tags=all_tags, run_name=name)
    with ending(mlflow.start_run(run_id=created.info.run_id, nested=True)) as run:
        yield run


@contextmanager
def ending(run: mlflow.ActiveRun) -> Iterator[mlflow.ActiveRun]:
    """End the active `run` with the block: FINISHED, KILLED if interrupted, else FAILED.

    Where MLflow fails, which is raised as `TrackingError`, the run may have to be left open.
    """
    try:
        with tracked():
            yield run
    except TrackingError as error:
        _end_if_possible(error)
        raise
    except KeyboardInterrupt:
        mlflow.end_run("KILLED")
        raise
    except BaseException:
        mlflow.end_run("FAILED")
        raise
    mlflow.end_run("FINISHED")


def _end_if_possible(error: TrackingError) -> None:
    """End the active run as FAILED; once that has failed, let the runs around it go without asking again."""
    if error.gone:
        # Half of what `end_run` does; the other half asks the store, and MLflow has no name for this one alone.
        _active_run_stack.get().pop()  # type: ignore[no-untyped-call]
        return
    try:
        with at_once():
            mlflow.end_run("FAILED")
    except FAILURES:
        error.gone = True


def log_batch(
    params: Mapping[str, object],
    metrics: Mapping[str, float],
    history: Mapping[str, list[float]] | None = None,
    *,
    first_step: int = 1,
) -> None:
    """Parameters, final metrics, and metrics per step (from `first_step`) into the active run, in few calls."""
    run_id = _active().info.run_id
    now = int(time.time() * 1000)
    entries = [Metric(name, value, now, 0) for name, value in metrics.items()]
    for name, values in (history or {}).items():
        entries += [Metric(name, value, now, step) for step, value in enumerate(values, first_step)]
    client = MlflowClient()
    client.log_batch(run_id, params=[Param(name, masked(str(value))) for name, value in params.items()])
    for start in range(0, len(entries), BATCH):
        client.log_batch(run_id, metrics=entries[start : start + BATCH])


def log_asked(options: Mapping[str, str]) -> None:
    """What a job was asked for, as parameters `asked/NAME` of the active run.

    `mlflow run` has already logged the plain names, shell-quoted, and refuses them with another value.
    """
    log_batch({f"asked/{name}": value for name, value in options.items()}, {})


def set_tags(tags: Mapping[str, str]) -> None:
    """Tags on the active run."""
    MlflowClient().log_batch(_active().info.run_id, tags=[RunTag(key, masked(value)) for key, value in tags.items()])


def log_file(path: Path, folder: str | None = None) -> None:
    """A file as an artifact of the active run, in this folder of it."""
    mlflow.log_artifact(str(path), folder)


def log_folder(folder: Path, name: str) -> None:
    """Everything in a folder as artifacts under `name` of the active run."""
    mlflow.log_artifacts(str(folder), name)


def commit() -> str:
    """This code's git commit; "" where it runs outside a repository.

    MLflow itself looks where the started script lies, which is elsewhere for an installed command.
    """
    return get_git_commit(str(Path(__file__).parent)) or ""


def _active() -> mlflow.ActiveRun:
    run = mlflow.active_run()
    assert run is not None, "nothing is logged outside a run"
    return run
