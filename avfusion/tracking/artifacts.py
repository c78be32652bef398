"""Tables, figures and dataset inputs of the active run."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
import pandas as pd
from mlflow.data.dataset_source_registry import resolve_dataset_source
from mlflow.entities import Dataset, DatasetInput, InputTag
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

from avfusion.features import FeatureStore
from avfusion.tracking.failures import storing
from avfusion.tracking.lookup import FEATURES
from avfusion.training.split_features import TEST, TRAIN, VALIDATION, SplitSummary

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 200
CONTEXTS = {FEATURES: FEATURES, TRAIN: "training", VALIDATION: "validation", TEST: "test"}
"""What a dataset input is used for, in MLflow's words where it has some."""


def log_features(store: FeatureStore, splits: Mapping[str, SplitSummary] | None = None) -> None:
    """The feature store as a dataset input of the active run, and each of its `splits` as one more."""
    run, n_locations = mlflow.active_run(), int(store.clips["location"].nunique())
    assert run is not None, "features are an input of a run"
    inputs = [_input(store, FEATURES, SplitSummary(len(store.clips), n_locations, store.digest[:36]))]
    inputs += [_input(store, split, summary) for split, summary in (splits or {}).items()]
    mlflow.MlflowClient().log_inputs(run.info.run_id, inputs)


def split_input(store: FeatureStore, split: str) -> str:
    """Name of the dataset input that `split` of a feature store is."""
    return f"{store.path.name} {split}"


def _input(store: FeatureStore, part: str, summary: SplitSummary) -> DatasetInput:
    source = resolve_dataset_source(str(store.path.resolve()))
    dataset = Dataset(
        name=store.path.name if part == FEATURES else split_input(store, part),
        digest=summary.digest,
        source_type=source._get_source_type(),
        source=source.to_json(),
        profile=json.dumps({"clips": summary.clips, "locations": summary.locations}),
    )
    return DatasetInput(dataset, [InputTag(MLFLOW_DATASET_CONTEXT, CONTEXTS[part])])


@storing()
def log_table(table: pd.DataFrame, name: str) -> None:
    """A table as the artifact `name`.json of the active run, which the UI compares side by side.

    It takes the place of one that is there, to which MLflow by itself would append.
    """
    file, run = f"{name}.json", mlflow.active_run()
    known = [artifact.path for artifact in mlflow.MlflowClient().list_artifacts(run.info.run_id)] if run else []
    if file in known:
        mlflow.log_text(table.to_json(orient="split", index=False, date_format="iso"), file)
    else:
        mlflow.log_table(table, file)


@storing()
def log_figure(figure: "Figure", name: str) -> None:
    """A figure as the artifact figures/`name`.png of the active run."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.png"
        save_figure(figure, path)
        mlflow.log_artifact(str(path), "figures")


@storing()
def log_page(page: str, name: str) -> None:
    """HTML as the artifact figures/`name`.html of the active run."""
    mlflow.log_text(page, f"figures/{name}.html")


def save_figure(figure: "Figure", path: Path) -> None:
    """Write `figure` as a PNG that is sharp in print."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI)
