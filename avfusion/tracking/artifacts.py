"""Tables, figures and the feature store of the active run."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
import pandas as pd
from mlflow.data.dataset_source_registry import resolve_dataset_source
from mlflow.data.meta_dataset import MetaDataset

from avfusion.features import FeatureStore
from avfusion.tracking.failures import storing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 200


def log_features(store: FeatureStore) -> None:
    """The feature store as the dataset input of the active run."""
    dataset = MetaDataset(  # type: ignore[abstract]  # MLflow itself makes instances of it
        resolve_dataset_source(str(store.path.resolve())), name=store.path.name, digest=store.digest[:36]
    )
    mlflow.log_input(dataset, context="training")


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


def save_figure(figure: "Figure", path: Path) -> None:
    """Write `figure` as a PNG that is sharp in print."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI)
