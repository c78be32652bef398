"""A small experiment as a user would leave it: variants with two seeds, and an alpha sweep, in a database of tests."""

import os
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from unittest.mock import patch

import torch
from matplotlib.figure import Figure
from mlflow import MlflowClient

from avfusion.features import FeatureStore
from avfusion.jobs.sweep import sweep_job
from avfusion.jobs.train import train_job
from avfusion.training.experiment import Result, score_test, train
from avfusion.training.many import Training
from avfusion.training.split_features import SplitFeatures
from avfusion.training.stored_results import StoredResults
from tests.stores import make_store

EXPERIMENT = "study"
FAST = "epochs=2,batch_size=16"


@cache
def study_runs(folder: Path) -> Path:
    """The feature store of the runs in experiment `study`: audio_only, video_only, baseline, late; alphas 0.25, 0.5.

    Made once for each `folder`; needs the fixture `tracking_uri`.
    """
    names = ("MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME")
    before = {name: os.environ.pop(name, None) for name in names}
    MlflowClient().create_experiment(EXPERIMENT, artifact_location=(folder / "artifacts").as_uri())
    os.environ["MLFLOW_EXPERIMENT_NAME"] = EXPERIMENT
    with (
        patch("avfusion.tracking.records.save_figure", _save_nothing),
        patch("avfusion.tracking.artifacts.save_figure", _save_nothing),
        patch("avfusion.jobs.sweep.train_many", _here),
    ):
        for number, variants in enumerate(("baseline", "audio_only,video_only,baseline,late")):
            store = folder / f"store{number}"
            make_store(store, seed=number + 10, locations=8, separation=0.6, synthetic=True)
            train_job(features=str(store), variants=variants, seeds="0,1", params=FAST, device="cpu")
        sweep_job(features=str(store), alphas="0.25,0.5", seeds="0,1", params=FAST, workers="1", device="cpu")
        train_job(features=str(store), variants="late", seeds="0,1", params=f"{FAST},alpha=0.9", device="cpu")
    for name, value in before.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value
    return store


def _save_nothing(figure: Figure, path: Path) -> None:
    """Instead of drawing, which takes most of the time."""
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"")


def _here(
    features: Path, trainings: Sequence[Training], device: torch.device, workers: int, kept: StoredResults
) -> Iterator[Result]:
    """Instead of other processes, which take seconds to start."""
    task = SplitFeatures(FeatureStore.open(features))
    for training in trainings:
        yield score_test(task, train(task, training.variant, training.params, training.seed, device))
