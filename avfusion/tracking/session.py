"""Connecting to MLflow: where runs go, whether it answers, and how to look at them."""

import os
from http.client import HTTPException
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

import mlflow
from filelock import FileLock
from mlflow import MlflowClient

from avfusion.errors import UserError
from avfusion.shown import masked
from avfusion.tracking.failures import bound_waiting

EXPERIMENT = "avfusion"
"""Experiment of a direct start; `mlflow run --experiment-name` and MLFLOW_EXPERIMENT_NAME name another."""

SERVER_TIMEOUT = 5.0
"""Seconds that a tracking server may take for its first answer."""


def connect() -> None:
    """Choose the tracking store and experiment, or adopt those of `mlflow run`.

    Without MLFLOW_TRACKING_URI the store is `mlflow.db` in the working directory, made under a lock: several
    processes that make it at once would corrupt it. Raises `UserError` if a tracking server does not answer.
    """
    if "MLFLOW_TRACKING_URI" not in os.environ:
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{Path.cwd() / 'mlflow.db'}"
    uri = os.environ["MLFLOW_TRACKING_URI"]
    mlflow.set_tracking_uri(uri)
    bound_waiting()
    if uri.startswith(("http://", "https://")):
        _check_server(uri)
    with _creation_lock(uri):
        if "MLFLOW_RUN_ID" in os.environ:
            MlflowClient().get_run(os.environ["MLFLOW_RUN_ID"])
        elif "MLFLOW_EXPERIMENT_ID" in os.environ:
            mlflow.set_experiment(experiment_id=os.environ["MLFLOW_EXPERIMENT_ID"])
        else:
            mlflow.set_experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT))
            # MLflow notes its choice there, where the next job of this process would take it for the user's
            os.environ.pop("MLFLOW_EXPERIMENT_ID", None)


def delete_adopted_run(run_id: str) -> None:
    """Delete the run that `mlflow run` made for this job, as far as MLflow does: `mlflow gc` removes it for good."""
    client = MlflowClient()
    client.set_terminated(run_id, "FAILED")  # first: `mlflow run` does not try to end a run that has ended
    client.delete_run(run_id)


def _check_server(uri: str) -> None:
    try:
        parts = urlsplit(uri)
        address = parts._replace(netloc=parts.netloc.rpartition("@")[2], path=f"{parts.path.rstrip('/')}/health")
        with urlopen(address.geturl(), timeout=SERVER_TIMEOUT):  # which asks nobody for a password
            pass
    except (URLError, HTTPException, OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise UserError(
            f"the tracking server at {masked(uri)} does not answer ({reason}); start it with `mlflow server`, "
            "or unset MLFLOW_TRACKING_URI to use mlflow.db in this folder"
        ) from error


def _creation_lock(uri: str) -> FileLock:
    """A lock beside an sqlite file; for other stores one that nobody else holds."""
    path = Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else Path(os.devnull)
    if path == Path(os.devnull):
        return FileLock(Path(os.environ.get("TMPDIR", "/tmp")) / f"avfusion-{os.getpid()}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(f"{path}.lock")


def ui_lines(experiment_id: str) -> list[str]:
    """What to type and which address to open to see the runs of `experiment_id`."""
    uri = mlflow.get_tracking_uri()
    if masked(uri) != uri:  # the shell fills it in
        uri = masked(uri) if uri.startswith(("http://", "https://")) else '"$MLFLOW_TRACKING_URI"'
    page = f"#/experiments/{experiment_id}/runs?workflowType=machine_learning"
    if uri.startswith(("http://", "https://")):
        return [f"open     {uri.rstrip('/')}/{page}"]
    return [f"mlflow ui --backend-store-uri {uri} --port 5000", f"open     http://127.0.0.1:5000/{page}"]
