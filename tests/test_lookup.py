from pathlib import Path

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient

from avfusion.errors import UserError
from avfusion.features import FeatureStore
from avfusion.tracking.lookup import (
    LoggedRun,
    find_experiment,
    find_run,
    finished_runs,
    read_config,
    read_curves,
    read_predictions,
    read_table,
    seed_runs,
)
from tests.study_runs import EXPERIMENT, study_runs


@pytest.fixture(scope="module")
def store(tracking_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return study_runs(tmp_path_factory.getbasetemp() / "study")


@pytest.fixture
def variant_runs(store: Path) -> list[LoggedRun]:
    return finished_runs(find_experiment(EXPERIMENT)[0], "variant")


def test_an_experiment_is_found_by_name_and_by_id(store: Path) -> None:
    identity, name = find_experiment(EXPERIMENT)
    assert name == EXPERIMENT
    assert find_experiment(identity) == (identity, name)


@pytest.mark.parametrize("name", ["no such thing", "987654321"])
def test_an_unknown_experiment_is_answered_with_those_that_there_are(store: Path, name: str) -> None:
    with pytest.raises(UserError, match=rf"experiment '{name}' is not in sqlite:.*; there are: .*{EXPERIMENT}"):
        find_experiment(name)


def test_runs_come_newest_first_with_what_they_were_trained_on(variant_runs: list[LoggedRun], store: Path) -> None:
    names = ["late", "late", "baseline", "video_only", "audio_only", "baseline"]
    assert [run.variant for run in variant_runs] == names
    assert all(run.parent is None and run.kind == "variant" for run in variant_runs)
    digest = FeatureStore.open(store).digest[:36]
    assert [run.features == digest for run in variant_runs] == [True] * 5 + [False]
    assert variant_runs[0].params["alpha"] == "0.9"


def test_unfinished_runs_are_not_found(store: Path) -> None:
    experiment, _ = find_experiment(EXPERIMENT)
    client = MlflowClient()
    before = finished_runs(experiment, "variant")
    running = client.create_run(experiment, tags={"avfusion.kind": "variant", "variant": "late"})
    assert finished_runs(experiment, "variant") == before
    client.delete_run(running.info.run_id)


def test_seeds_of_a_run_ascend_and_hold_its_predictions(variant_runs: list[LoggedRun], store: Path) -> None:
    late = variant_runs[1]
    seeds = seed_runs(late)
    assert [run.params["seed"] for run in seeds] == ["0", "1"]
    assert {run.parent for run in seeds} == {late.id}
    assert seed_runs(seeds[0]) == [seeds[0]]
    accuracies = [float(read_predictions(run, "test").right.mean()) for run in seeds]
    assert np.mean(accuracies) == pytest.approx(MlflowClient().get_run(late.id).data.metrics["test/accuracy"])
    config = read_config(seeds[0])
    assert (config["variant"], config["params"]["alpha"]) == ("late", 0.5)
    assert Path(config["features"]["path"]) == store


def test_a_sweep_gives_table_and_curves(store: Path) -> None:
    (sweep,) = finished_runs(find_experiment(EXPERIMENT)[0], "sweep")
    table = read_table(sweep, "sweep")
    assert table["alpha"].tolist() == [0.25, 0.25, 0.5, 0.5]
    curves = read_curves(sweep, ("train_loss", "val_loss"))
    assert curves["epoch"].tolist() == [1, 2]
    history = {entry.step: entry.value for entry in MlflowClient().get_metric_history(sweep.id, "val_loss")}
    assert curves["val_loss"].tolist() == [history[1], history[2]]


def test_a_run_without_predictions_is_named(tracking_uri: str, store: Path) -> None:
    experiment, _ = find_experiment(EXPERIMENT)
    created = MlflowClient().create_run(experiment, run_name="bare")
    bare = find_run(created.info.run_id)
    with pytest.raises(UserError, match=r"run bare \(\w{8}\) has no predictions/test.tsv .*; give a finished run"):
        read_predictions(bare, "test")
    MlflowClient().delete_run(bare.id)


def test_an_unknown_run_is_neither_file_nor_run(tracking_uri: str) -> None:
    mlflow.set_tracking_uri(tracking_uri)
    with pytest.raises(UserError, match="'feed' is neither a file nor a run in sqlite:"):
        find_run("feed")
