"""Opening, filling and closing runs.

A run says which process opened it. Whoever is interrupted ends its runs as KILLED; those of a process that was killed
itself are closed by the next job.
"""

import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunStatus, RunTag
from mlflow.tracking.context.registry import resolve_tags
from mlflow.tracking.fluent import _active_run_stack
from mlflow.utils.git_utils import get_git_commit

from avfusion.system.names import escaped
from avfusion.system.presence import gone, host, own_mark, process_space
from avfusion.system.secrets import masked
from avfusion.tracking.failures import FAILURES, TrackingError, at_once, storing, tracked

BATCH = 1000
"""Most metrics that MLflow takes in one call."""

HOST, PROCESS, SPACE, REASON = "avfusion.host", "avfusion.process", "avfusion.process_space", "reason"
"""Tags of a run: host, process (id, and when it began) and space of process ids of who opened it; why it was closed."""

RANDOM_NAME = re.compile(r"[a-z]+-[a-z]+-\d+")
"""The names that MLflow gives to runs that nobody named."""


@contextmanager
def job_run(name: str) -> Iterator[mlflow.ActiveRun]:
    """The run of this job: the one that `mlflow run` made, else a new one named `name`."""
    adopted = os.environ.get("MLFLOW_RUN_ID")
    tags = {"avfusion.kind": "job", **opener()}
    try:
        with tracked(), ending(mlflow.start_run(run_name=None if adopted else name, tags=tags)) as run:
            if adopted and RANDOM_NAME.fullmatch(run.info.run_name or ""):
                MlflowClient().update_run(run.info.run_id, name=name)
            _close_abandoned(run.info.experiment_id)
            yield run
    except KeyboardInterrupt:
        _close_own()
        raise


@contextmanager
def experiment_run(name: str, tags: Mapping[str, str], parent: str | None = None) -> Iterator[mlflow.ActiveRun]:
    """A new run beside the job's, which must be active (or under the run `parent`); active inside the block.

    Variants are runs of the top level, because the runs table hides what is nested and charts leave it out.
    """
    all_tags = {**resolve_tags(), "mlflow.source.git.commit": commit(), **opener(), **tags}
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
        with suppress(*FAILURES), at_once():
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


def opener() -> dict[str, str]:
    """The tags that say which process opened, or took up again, a run."""
    mark = own_mark()
    return {HOST: host(), PROCESS: f"{mark['pid']} {mark['born']}", SPACE: process_space()}


def close_adopted(run_id: str) -> None:
    """Close the run that `mlflow run` made for this job, if it is still open: `mlflow run` may be gone."""
    client = MlflowClient()
    with suppress(*FAILURES), at_once():
        if not RunStatus.is_terminated(RunStatus.from_string(client.get_run(run_id).info.status)):
            client.set_terminated(run_id, "KILLED")


def _close_own() -> None:
    """Close what this process still has open: an interruption may come while a run is being opened or closed."""
    client = MlflowClient()
    with suppress(*FAILURES), at_once():
        while mlflow.active_run() is not None:
            mlflow.end_run("KILLED")
        experiments = [str(found.experiment_id) for found in client.search_experiments()]
        for run in _running(experiments, {PROCESS: opener()[PROCESS]}):
            client.set_terminated(run.info.run_id, "KILLED")


def _close_abandoned(experiment_id: str) -> None:
    """Close the runs of the experiment that processes of this host left open and that are gone."""
    client = MlflowClient()
    for run in _running([experiment_id], {}):
        pid, _, born = run.data.tags[PROCESS].partition(" ")
        if run.data.tags.get(SPACE) == process_space() and gone({"pid": int(pid), "born": born}):
            client.set_tag(run.info.run_id, REASON, f"its process ({pid} on {host()}) ended without closing it")
            client.set_terminated(run.info.run_id, "KILLED")


def _running(experiments: list[str], tags: Mapping[str, str]) -> list[Run]:
    """The open runs that processes of this host opened, with these tags; at most a thousand, the newest."""
    wanted = {HOST: host(), **tags}
    query = " and ".join(f"tags.`{name}` = '{value}'" for name, value in wanted.items())
    found: list[Run] = MlflowClient().search_runs(
        experiments, f"attributes.status = 'RUNNING' and {query}", max_results=BATCH
    )
    return found


def log_batch(
    params: Mapping[str, object],
    metrics: Mapping[str, float],
    history: Mapping[str, list[float]] | None = None,
    *,
    first_step: int = 1,
) -> None:
    """Parameters, final metrics, and metrics per step (from `first_step`) into the active run, in few calls.

    Parameters without secrets, and with what no text can hold written out (see `escaped`).
    """
    run_id = _active().info.run_id
    now = int(time.time() * 1000)
    entries = [Metric(name, value, now, 0) for name, value in metrics.items()]
    for name, values in (history or {}).items():
        entries += [Metric(name, value, now, step) for step, value in enumerate(values, first_step)]
    client = MlflowClient()
    client.log_batch(run_id, params=[Param(name, escaped(masked(str(value)))) for name, value in params.items()])
    for start in range(0, len(entries), BATCH):
        client.log_batch(run_id, metrics=entries[start : start + BATCH])


def log_asked(options: Mapping[str, object]) -> None:
    """What a job was asked for, as parameters `asked/NAME` of the active run, in the words that users type.

    `mlflow run` has already logged the plain names, shell-quoted, and refuses them with another value.
    """
    log_batch({f"asked/{name}": _typed(value) for name, value in options.items()}, {})


def _typed(value: object) -> str:
    """None, True and False in small letters, several values with commas."""
    if isinstance(value, tuple):
        return ",".join(map(_typed, value))
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def set_tags(tags: Mapping[str, str]) -> None:
    """Tags on the active run."""
    MlflowClient().log_batch(_active().info.run_id, tags=[RunTag(key, masked(value)) for key, value in tags.items()])


@storing()
def log_file(path: Path, folder: str | None = None) -> None:
    """A file as an artifact of the active run, in this folder of it."""
    mlflow.log_artifact(str(path), folder)


@storing()
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
