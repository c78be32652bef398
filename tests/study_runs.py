"""A small experiment as a user would leave it: variants with two seeds, and an alpha sweep, in a database of tests."""

import os
from functools import cache
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.edge import run_job
from tests.stand_ins import draw_nothing, log_no_models, train_here
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
    with pytest.MonkeyPatch.context() as patch:
        draw_nothing(patch)
        train_here(patch)
        log_no_models(patch)
        for number, variants in enumerate(("baseline", "audio_only,video_only,baseline,late")):
            store = folder / f"store{number}"
            make_store(store, seed=number + 10, locations=8, separation=0.6, synthetic=True)
            run_job("train", features=str(store), variants=variants, seeds="0,1", params=FAST, device="cpu")
        run_job("sweep", features=str(store), alphas="0.25,0.5", seeds="0,1", params=FAST, workers="1", device="cpu")
        run_job("train", features=str(store), variants="late", seeds="0,1", params=f"{FAST},alpha=0.9", device="cpu")
    for name, value in before.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value
    return store
