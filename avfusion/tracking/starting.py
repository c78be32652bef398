"""How people start the next job: the command that works where they typed the last one."""

import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Run, SourceType
from mlflow.utils.mlflow_tags import (
    MLFLOW_GIT_BRANCH,
    MLFLOW_GIT_COMMIT,
    MLFLOW_PROJECT_ENV,
    MLFLOW_SOURCE_NAME,
    MLFLOW_SOURCE_TYPE,
)

from avfusion.system.project import COPY, STARTED_IN

DEFAULT_EXPERIMENT = "Default"
"""Where `mlflow run` tracks unless an experiment is named."""


def next_line(entry_point: str, **options: object) -> str:
    """The line that tells how to start `entry_point` with `options`: as the job at work was started itself.

    `next     python -m entrypoints.train --features /home/ada/runs/features/clips-demo-0a1b`, or by `mlflow run` with
    the same project, kind of environment and experiment. A value `FILE` is for people to fill in.
    """
    active = mlflow.active_run()
    run_id = active.info.run_id if active else os.environ.get("MLFLOW_RUN_ID")
    run = MlflowClient().get_run(run_id) if run_id else None
    if run is None or run.data.tags.get(MLFLOW_SOURCE_TYPE) != SourceType.to_string(SourceType.PROJECT):
        given = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        words = [sys.orig_argv[0], "-m", f"entrypoints.{entry_point}", *given]
    else:
        given = [word for name, value in options.items() for word in ("-P", f"{name}={value}")]
        words = ["mlflow", "run", *_project(run), "-e", entry_point, *given]
    return f"next     {shlex.join(words)}"


def _project(run: Run) -> Iterator[str]:
    """What `mlflow run` was told of the project, the environment and the experiment of `run`."""
    tags = run.data.tags
    if COPY is None:
        yield str(STARTED_IN)
    else:
        yield _address(tags[MLFLOW_SOURCE_NAME])
        if version := _version(run, COPY):
            yield from ("-v", version)
    yield from ("--env-manager", tags.get(MLFLOW_PROJECT_ENV, "local"))
    if (name := MlflowClient().get_experiment(run.info.experiment_id).name) != DEFAULT_EXPERIMENT:
        yield from ("--experiment-name", name)


def _address(source: str) -> str:
    """The project's address as it was typed.

    MLflow notes file:///FOLDER/project.zip as /CALLER/file:/FOLDER/project.zip.
    """
    return source.rpartition("/file:")[2] if source.startswith("/") else source


def _version(run: Run, copy: Path) -> str | None:
    """The branch or commit that was asked for; None for the newest state of the repository's own branch."""
    head = copy / ".git" / "HEAD"
    if head.is_file() and not head.read_text().startswith("ref: "):
        return run.data.tags.get(MLFLOW_GIT_COMMIT)
    return run.data.tags.get(MLFLOW_GIT_BRANCH)
