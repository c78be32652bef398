"""Quick stand-ins for what takes seconds in a job: drawing, the files of a model, a hundred epochs, other processes.

Each is given the `MonkeyPatch` that takes it away again. What a test replaces otherwise, it replaces for one reason.
"""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from mlflow.entities import Metric

from avfusion.extraction import executors
from avfusion.features import FeatureStore
from avfusion.fusion.hyperparameters import Whole
from avfusion.tracking import records, variant_runs
from avfusion.tracking.runs import ScoredModel
from avfusion.training.experiment import Result
from avfusion.training.many import Trainer
from avfusion.training.recipe import RECIPE


def draw_nothing(patch: pytest.MonkeyPatch) -> None:
    """Figures are made, and saved as empty files."""

    def save(figure: Figure, file: Path | io.BytesIO, **options: object) -> None:
        (file.write_bytes if isinstance(file, Path) else file.write)(b"")

    patch.setattr(Figure, "savefig", save)


def log_no_models(patch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Runs have no model; returns the companions, by variant, that the last model of each would have had."""
    logged: dict[str, list[str]] = {}

    class NoModel(ScoredModel):
        def metric(self, name: str, value: float, timestamp: int) -> Metric:
            return Metric(name, value, timestamp, 0)

    def log(result: Result, store: FeatureStore) -> ScoredModel:
        logged[result.trained.variant.id] = sorted(result.trained.classifier.companions)
        return NoModel("", {})

    for module in (records, variant_runs):
        patch.setattr(module, "log_scored_model", log)
    return logged


def extract_by_one_process(patch: pytest.MonkeyPatch) -> None:
    """However many cores there are: each process loads the libraries and the embedder anew."""
    patch.setattr(executors, "available_cores", lambda: 1)


def train_briefly(patch: pytest.MonkeyPatch) -> None:
    """Four epochs are the default of this process, not the study's hundred."""
    assert isinstance(RECIPE, dict) and isinstance(RECIPE["epochs"], Whole)
    patch.setitem(RECIPE, "epochs", replace(RECIPE["epochs"], default=4))


def train_here(patch: pytest.MonkeyPatch) -> None:
    """What a `Trainer` leaves to other processes is done in this one."""
    patch.setattr(Trainer, "_in_processes", lambda self, trainings, workers: self._here(trainings))
