"""Reading what earlier runs left in MLflow: runs, predictions, tables, curves."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import DatasetInput, Run
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

from avfusion.errors import UserError
from avfusion.scoring.predictions import Predictions
from avfusion.scoring.tsv import read_course_tsv
from avfusion.system.secrets import masked

KIND, PARENT = "avfusion.kind", "mlflow.parentRunId"
FOLDS, NO_FOLDS = "folds", "none"
"""Parameter of a run: in how many folds it was trained; what stands for none, on the dataset's own split."""

FEATURES = "features"
"""Context of the dataset input that is the whole feature store."""

COLOUR = "mlflow.runColor"
"""Tag: in which colour the UI draws a run."""

SEEDS, SIDE_BY_SIDE, FEATURES_MADE = "seeds", "side_by_side", "features_made"
"""Tags: the seeds that a variant's run is about; the names of the variants that a job compares or reports; the digest
of the feature store that a job extracted."""

VALIDATION_RIGHT = "validation_right"
"""Table of a sweep's run: which validation clips each training got right."""


@dataclass(frozen=True)
class LoggedRun:
    """One finished run, as far as reports need it."""

    id: str
    experiment: str
    """Id of its experiment."""
    name: str
    kind: str
    """`variant`, `seed`, `fold` or `sweep`."""
    variant: str
    parent: str | None
    """The run that it is nested in."""
    tags: Mapping[str, str]
    params: Mapping[str, str]
    features: str | None
    """Digest of the feature store that it was trained on; None if not logged."""

    @property
    def folds(self) -> str:
        """How many folds it was trained in; `NO_FOLDS` for the dataset's own split."""
        return self.params.get(FOLDS, NO_FOLDS)

    @property
    def title(self) -> str:
        """Name and beginning of the id."""
        return f"run {self.name} ({self.id[:8]})"


def find_experiment(name: str) -> tuple[str, str]:
    """Id and name of the experiment that has this name or id; `UserError`, listing the names, if there is none."""
    client = MlflowClient()
    experiment = client.get_experiment_by_name(name)
    if experiment is None and name.isdigit():
        try:
            experiment = client.get_experiment(name)
        except MlflowException:
            experiment = None
    if experiment is None:
        names = ", ".join(sorted(known.name for known in client.search_experiments()))
        raise UserError(f"experiment {name!r} is not in {masked(mlflow.get_tracking_uri())}; there are: {names}")
    return str(experiment.experiment_id), str(experiment.name)


def experiment_of(run: LoggedRun) -> str:
    """Name of the experiment of `run`."""
    return str(MlflowClient().get_experiment(run.experiment).name)


def finished_runs(experiment_id: str, kind: str) -> list[LoggedRun]:
    """The finished runs of one kind, the newest first."""
    query = f"tags.`{KIND}` = '{kind}' and attributes.status = 'FINISHED'"
    found = mlflow.search_runs([experiment_id], query, order_by=["attributes.start_time DESC"], output_format="list")
    return [_logged(run) for run in found]


def matching_ids(experiment_id: str, filter_: str) -> set[str]:
    """Ids of the runs of an experiment that MLflow's own filter language selects, as `params.alpha = '0.5'`.

    Raises `UserError` for a filter that MLflow does not understand.
    """
    try:
        found = mlflow.search_runs([experiment_id], filter_, output_format="list")
    except MlflowException as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"filter={filter_}: MLflow does not understand it ({reason}); write for instance params.alpha = '0.5'"
        ) from error
    return {str(run.info.run_id) for run in found}


def find_run(run_id: str) -> LoggedRun:
    """The run of this id, also written as `runs:/ID` or `runs:/ID/model`; `UserError` if there is none."""
    try:
        return _logged(MlflowClient().get_run(run_id.removeprefix("runs:/").split("/")[0]))
    except MlflowException as error:
        raise UserError(
            f"{run_id!r} is neither a file nor a run in {masked(mlflow.get_tracking_uri())}; give a prediction file or "
            "the id of a run"
        ) from error


def seed_runs(run: LoggedRun) -> list[LoggedRun]:
    """The runs that hold the predictions of `run`: those of its seeds, ascending, or `run` itself."""
    query = f"tags.`{PARENT}` = '{run.id}' and tags.`{KIND}` = 'seed' and attributes.status = 'FINISHED'"
    nested = [_logged(found) for found in MlflowClient().search_runs([run.experiment], query)]
    return sorted(nested, key=lambda found: int(found.params.get("seed", "0"))) or [run]


def read_predictions(run: LoggedRun, split: str) -> Predictions:
    """The answers of `run` on `val` or `test`; `UserError` if it has none."""
    with tempfile.TemporaryDirectory() as folder:
        path = _download(run, f"predictions/{split}.tsv", folder)
        # The reader names the file in what it says.
        return read_course_tsv(path.rename(path.with_name(f"{run.name}-{run.id[:8]}-{split}.tsv".replace("/", "-"))))


def read_config(run: LoggedRun) -> dict[str, Any]:
    """The configuration that `run` left: variant, params, seed, features with their provenance."""
    with tempfile.TemporaryDirectory() as folder:
        config: dict[str, Any] = json.loads(_download(run, "config.json", folder).read_text(encoding="utf-8"))
    return config


def read_table(run: LoggedRun, name: str) -> pd.DataFrame:
    """The table that `run` left as `name`.json."""
    with tempfile.TemporaryDirectory() as folder:
        return pd.read_json(_download(run, f"{name}.json", folder), orient="split")


def read_curves(run: LoggedRun, names: Sequence[str]) -> pd.DataFrame:
    """Metrics by epoch: column epoch and one per name; epochs that lack one of them are left out."""
    client = MlflowClient()
    curves = {
        name: pd.Series({entry.step: entry.value for entry in client.get_metric_history(run.id, name)}, dtype=float)
        for name in names
    }
    table = pd.DataFrame(curves).dropna().sort_index()
    return table.rename_axis("epoch").reset_index()


def _download(run: LoggedRun, artifact: str, folder: str) -> Path:
    try:
        return Path(mlflow.artifacts.download_artifacts(run_id=run.id, artifact_path=artifact, dst_path=folder))
    except (MlflowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"{run.title} has no {artifact} ({reason}); give a finished run that trained a variant"
        ) from error


def _context(entry: DatasetInput) -> str | None:
    return next((str(tag.value) for tag in entry.tags if tag.key == MLFLOW_DATASET_CONTEXT), None)


def _logged(run: Run) -> LoggedRun:
    inputs = run.inputs.dataset_inputs if run.inputs else []
    return LoggedRun(
        id=run.info.run_id,
        experiment=run.info.experiment_id,
        name=run.info.run_name or "unnamed",
        kind=run.data.tags.get(KIND, ""),
        variant=run.data.tags.get("variant", ""),
        parent=run.data.tags.get(PARENT),
        tags=dict(run.data.tags),
        params=dict(run.data.params),
        features=next((entry.dataset.digest for entry in inputs if _context(entry) == FEATURES), None),
    )
