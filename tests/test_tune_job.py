"""The job `tune` on small stores: what it leaves in MLflow, and that a study survives kills and interruptions."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
import pandas as pd
import pytest
import torch
from mlflow import MlflowClient
from mlflow.entities import Run
from optuna import Study
from optuna.trial import TrialState
from optuna_dashboard._storage_url import get_storage

from avfusion.errors import UserError
from avfusion.features import FeatureStore
from avfusion.fusion import variants
from avfusion.fusion.late import LateFusion
from avfusion.jobs import tuning_study
from avfusion.system.presence import Mark, gone
from avfusion.tracking.lookup import finished_runs, read_predictions, seed_runs
from avfusion.tracking.models import load_classifier
from avfusion.training.experiment import hyperparameters, score_test, train
from avfusion.training.many import Trainer
from avfusion.training.split_features import SplitFeatures
from avfusion.tuning.leader import LEADER
from avfusion.tuning.pool import Pool
from avfusion.tuning.storage import open_storage, resolve_storage
from avfusion.tuning.study import RUN, WORKER, n_done
from avfusion.tuning.worker import Ended
from tests.edge import run_job
from tests.postgres import postgres_server, programs
from tests.processors import without_bf16
from tests.stand_ins import draw_nothing, log_no_models, train_briefly, train_here
from tests.stores import make_store
from tests.test_tuning_dashboard import note_of

FAST = "epochs=6,batch_size=16|32,hidden=8|16,embedding=8,output_hidden=8"
STORAGES = ["journal", "sqlite", *(["postgresql"] if programs() else [])]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tune") / "store"
    make_store(folder, seed=1, locations=8, separation=0.8)
    return folder


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    with postgres_server() as url:
        yield url


@pytest.fixture
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    kind = getattr(request, "param", "journal")
    if kind == "postgresql":
        url: str = request.getfixturevalue("postgresql")
        return url
    return str(tmp_path / "studies.log") if kind == "journal" else f"sqlite:///{tmp_path / 'studies.db'}"


@pytest.fixture(autouse=True)
def quick(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tracking_uri: str) -> None:
    """The last trainings in this process and brief, no drawing, and models only where a test looks at them."""
    train_here(monkeypatch)
    train_briefly(monkeypatch)
    draw_nothing(monkeypatch)
    monkeypatch.setattr(tuning_study, "interactive_page", lambda *_: "<html>")
    if "retrained" not in request.node.name:
        log_no_models(monkeypatch)


def run_tune(store: Path, **changes: str) -> list[str]:
    settings = {
        "features": str(store), "variant": "late", "trials": "6", "workers": "2", "metric": "log_loss",
        "sampler": "tpe", "pruner": "median", "space": FAST, "storage": "none", "study": "none", "retrain": "0,1",
        "device": "cpu",
    }  # fmt: skip
    return run_job("tune", **{**settings, **changes})


def study_of(storage: str, name: str) -> Study:
    return optuna.load_study(storage=open_storage(resolve_storage(storage)), study_name=name)


def runs(study: str, kind: str) -> list[Run]:
    """The runs of `study` of this kind, oldest first."""
    client = MlflowClient()
    experiment = client.get_experiment_by_name("avfusion")
    assert experiment is not None
    found = client.search_runs(
        [experiment.experiment_id], f"tags.study = '{study}' and tags.`avfusion.kind` = '{kind}'"
    )
    return list(reversed(found))


def artifacts(run: Run, folder: str = "") -> set[str]:
    return {entry.path for entry in MlflowClient().list_artifacts(run.info.run_id, folder)}


def table(run: Run, name: str) -> pd.DataFrame:
    path = Path(MlflowClient().download_artifacts(run.info.run_id, f"{name}.json"))
    return pd.read_json(path, orient="split")


def test_a_study_in_mlflow(store: Path, storage: str) -> None:
    lines = run_tune(store, storage=storage, study="whole", trials="8", space=f"{FAST},learning_rate=1e-3:1e-1")
    (parent,), trials = runs("whole", "study"), runs("whole", "trial")
    study = study_of(storage, "whole")
    # Two workers may begin the last trial at once; the later is given up before it has a run.
    trained = [trial for trial in study.trials if RUN in trial.user_attrs]
    assert n_done(study) == len(trained) == len(trials) == 8
    by_number = {int(run.data.tags["trial"]): run for run in trials}
    for trial in trained:
        run = by_number[trial.number]
        assert run.info.run_id == trial.user_attrs["mlflow_run"]
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.data.metrics["trial"] == trial.number
        assert run.info.status == ("FINISHED" if trial.state == TrialState.COMPLETE else "KILLED")
        assert float(run.data.params["alpha"]) == trial.params["alpha"] and run.data.params["embedding"] == "8"
        decay = run.data.params["weight_decay"]
        assert float(decay) == trial.params["weight_decay"] and "e" not in decay
        if trial.state == TrialState.COMPLETE:
            assert run.data.metrics["val/log_loss"] == trial.value
            assert not any(name.startswith("test/") for name in run.data.metrics)
            curve = MlflowClient().get_metric_history(run.info.run_id, "val_loss")
            assert {point.step: point.value for point in curve} == trial.intermediate_values
    assert float(by_number[0].data.params["alpha"]) == 0.5
    assert parent.info.status == "FINISHED" and parent.data.metrics["best/trial"] == study.best_trial.number
    drawn = {"history", "importances", "slices", "contour", "parallel_coordinates", "alpha"}
    assert artifacts(parent, "figures") == {*(f"figures/{name}.png" for name in drawn), "figures/interactive.html"}
    assert study.metric_names == ["validation log loss"]
    assert f"look     optuna-dashboard {storage}" in lines and lines[-1].startswith("open     http://127.0.0.1:5000/#/")
    listed = table(parent, "trials")
    assert listed["trial"].is_monotonic_increasing and not listed["default"].any()
    text = "\n".join(lines)
    assert f"study whole: 8 trials ({len(study.get_trials(states=(TrialState.COMPLETE,)))} complete" in text
    assert f"best trial {study.best_trial.number}: validation log_loss {study.best_value:.4f}\n" in text
    assert "the defaults lie outside the space: no trial had them" in text


def test_more_trials_go_on_with_a_study_that_was_done(store: Path, storage: str) -> None:
    for total in ("2", "4"):
        lines = run_tune(store, storage=storage, study="longer", trials=total, retrain="0")
        assert f"study longer: {total} trials" in "\n".join(lines)
    (parent,) = runs("longer", "study")
    assert parent.data.metrics["trials"] == 4 and len(runs("longer", "trial")) == 4
    assert len(table(parent, "trials")) == 4


def test_the_best_is_retrained_and_compared_on_the_same_seeds(store: Path, storage: str) -> None:
    run_tune(store, storage=storage, study="best", variant="early", space="epochs=6,hidden=8|16", metric="accuracy")
    (parent,), (tuned,), seeds = runs("best", "study"), runs("best", "tuned"), runs("best", "seed")
    study = study_of(storage, "best")
    assert study.direction.name == "MAXIMIZE" and study.best_value >= study.trials[0].value  # type: ignore[operator]
    assert tuned.data.tags["tuned"] == "true" and "mlflow.parentRunId" not in tuned.data.tags
    assert tuned.data.params["hidden"] == str(study.best_params["hidden"]) and tuned.data.params["seeds"] == "0,1"
    assert {"test/accuracy", "test/log_loss", "val/log_loss_std"} <= set(tuned.data.metrics)
    assert [run.data.params["seed"] for run in seeds] == ["0", "1"]
    assert artifacts(seeds[0]) >= {"config.json", "per_class.json", "predictions", "figures"}
    assert MlflowClient().search_logged_models([tuned.info.experiment_id], f"source_run_id = '{tuned.info.run_id}'")
    compared = table(parent, "comparison")
    assert compared[["configuration", "seed"]].to_numpy().tolist() == [
        ["tuned", 0], ["tuned", 1], ["default", 0], ["default", 1],
    ]  # fmt: skip
    data = SplitFeatures(FeatureStore.open(store))
    params = {name: entry.default for name, entry in hyperparameters(variants()["early"]).items()}
    default = score_test(data, train(data, variants()["early"], params, 1, torch.device("cpu")))
    assert compared["test_log_loss"][3] == pytest.approx(default.metrics["test/log_loss"], rel=1e-4)
    found = next(run for run in finished_runs(tuned.info.experiment_id, "tuned") if run.id == tuned.info.run_id)
    assert [len(read_predictions(run, "test").ids) for run in seed_runs(found)] == [len(data.ids("test"))] * 2


def test_one_seed_several_variants_and_a_grid(store: Path, storage: str) -> None:
    fixed = "epochs=3,learning_rate=0.01,weight_decay=0,batch_size=16,dropout=0.1"
    fixed += ",scheduler=plateau,label_smoothing=0,mixup=0,modality_dropout=0"
    lines = run_tune(
        store, storage=storage, study="grid", variant="audio_only,early", sampler="grid", trials="50", retrain="3",
        space=f"{fixed},hidden=512|8,embedding=128|8",
    )  # fmt: skip
    early, audio = study_of(storage, "grid-early"), study_of(storage, "grid-audio_only")
    assert sorted(trial.params["hidden"] for trial in early.trials) == [8, 512]
    pairs = sorted((trial.params["hidden"], trial.params["embedding"]) for trial in audio.trials)
    assert pairs == [(8, 8), (8, 128), (512, 8), (512, 128)]
    assert {trial.state for trial in (*early.trials, *audio.trials)} == {TrialState.COMPLETE}
    (tuned,) = runs("grid-early", "tuned")
    assert tuned.data.params["seed"] == "3" and {"predictions", "figures"} <= artifacts(tuned)
    assert sum("retrained with seed 3:" in line for line in lines) == 2 and "nan" not in "\n".join(lines)
    assert sum(line.startswith("seeds    1: the scores are of these trained networks only") for line in lines) == 2


def test_the_best_retrained_variant_is_promoted_with_its_companions(store: Path, storage: str) -> None:
    small = "epochs=6,hidden=8,embedding=8"
    lines = run_tune(
        store, storage=storage, study="promoted", variant="early,audio_only", space=small, trials="1", retrain="0",
        promote="true",
    )  # fmt: skip
    tuned = {name: runs(f"promoted-{name}", "tuned")[0] for name in ("early", "audio_only")}
    losses = {name: run.data.metrics["val/log_loss"] for name, run in tuned.items()}
    first, second = sorted(losses, key=losses.__getitem__)
    champion = MlflowClient().get_model_version_by_alias("avfusion", "champion")
    assert champion.run_id == tuned[first].info.run_id
    query = f"tags.promoted_run = '{champion.run_id}'"
    (job,) = MlflowClient().search_runs([tuned[first].info.experiment_id], query)
    assert job.info.run_name == "tune" and job.data.tags["avfusion.kind"] == "job"
    assert job.data.tags["promoted_version"] == str(champion.version)
    said = f"validation log loss: {first} tuned {losses[first]:.4f}, {second} tuned {losses[second]:.4f}"
    assert said in job.data.tags["promoted_because"] and said in "\n".join(lines)
    assert tuned["early"].data.tags["companions"] == "audio_only" and "companions" in tuned["audio_only"].data.tags
    fusion = load_classifier(tuned["early"].info.run_id)
    assert fusion is not None and list(fusion.companions) == ["audio_only"]


@contextmanager
def one_killed_in_mid_trial(study: Study) -> Iterator[list[int]]:
    """Beside the block, once two trials are done: kill -9 a worker in the middle of one; yields that trial's number."""
    killed, over = list[int](), threading.Event()

    def watch() -> None:
        while not killed and not over.wait(0.005):
            running = study.get_trials(states=(TrialState.RUNNING,)) if n_done(study) >= 2 else []
            # Early in its fifty epochs: a worker that is nearly through would be struck in its next trial.
            for trial in [trial for trial in running if 2 <= len(trial.intermediate_values) < 12][:1]:
                mark: Mark = trial.user_attrs[WORKER]
                os.kill(int(mark["pid"]), signal.SIGKILL)
                while not gone(mark):
                    time.sleep(0.005)
                # The other worker may have marked it FAIL by now; one that got through was not killed in mid-trial.
                if study.trials[trial.number].state != TrialState.COMPLETE:
                    killed.append(trial.number)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize("storage", STORAGES, indirect=True)
def test_a_worker_killed_in_mid_trial_costs_nothing(
    store: Path, storage: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"killed-{request.node.callspec.id}"
    long = f"{FAST},learning_rate=1e-3".replace("epochs=6", "epochs=50,patience=50")
    settings = {"storage": storage, "study": name, "space": long, "pruner": "none", "retrain": "0"}
    with pytest.raises(UserError, match="stop here"), monkeypatch.context() as context:
        context.setattr(Pool, "run", stop_here)
        run_tune(store, **settings)
    study = study_of(storage, name)
    # What comes after the trials is tested elsewhere.
    monkeypatch.setattr(tuning_study.TuningStudy, "_finish", lambda *_: [])
    with one_killed_in_mid_trial(study) as killed:
        run_tune(store, **settings)
    (number,) = killed
    trials = study.trials
    assert trials[number].state == TrialState.FAIL
    again = next(trial for trial in trials if trial.user_attrs.get("retry_of") == number)
    assert again.params == trials[number].params and again.state == TrialState.COMPLETE
    # Two workers may begin the last trial at once; the later is given up before it has a run.
    begun = [trial for trial in trials if RUN in trial.user_attrs]
    assert n_done(study) == 6 and len(begun) == 7
    assert {trial.user_attrs[WORKER]["pid"] for trial in begun} > {trials[number].user_attrs[WORKER]["pid"]}
    found = {int(run.data.tags["trial"]): run for run in runs(name, "trial")}
    assert sorted(found) == [trial.number for trial in begun]
    assert {run.info.status for trial, run in found.items() if trial != number} == {"FINISHED"}
    assert found[number].info.status == "KILLED" and found[number].data.tags["avfusion.outcome"] == "broken off"
    assert "exit code -9" in found[number].data.tags["reason"]
    seen = optuna.load_study(storage=get_storage(resolve_storage(storage)), study_name=name)
    assert f"/runs/{found[number].info.run_id}?" in note_of(seen, number), "Optuna's dashboard leads to the trial's run"


def stop_here(self: Pool, leadership: object) -> None:
    raise UserError("stop here")


def test_ctrl_c_ends_cleanly_and_the_same_command_resumes(
    store: Path, storage: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    original, handler = tuning_study.Watcher.ended, signal.getsignal(signal.SIGINT)

    def interrupt(self: tuning_study.Watcher, message: Ended) -> None:
        original(self, message)
        if self.bar.done == 3:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as context, pytest.raises(KeyboardInterrupt):
        context.setattr(tuning_study.Watcher, "ended", interrupt)
        run_tune(store, storage=storage, study="interrupted", trials="7")
    study = study_of(storage, "interrupted")
    finished = [trial for trial in study.trials if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    assert 3 <= len(finished) < 7 and not study.get_trials(states=(TrialState.RUNNING,))
    assert f"study interrupted: {len(finished)} of 7 trials are done and kept in {storage}; the same" in caplog.text
    assert {run.info.status for run in runs("interrupted", "trial")} <= {"FINISHED", "KILLED"}
    (parent,) = runs("interrupted", "study")
    assert parent.info.status == "KILLED" and signal.getsignal(signal.SIGINT) is handler
    run_tune(store, storage=storage, study="interrupted", trials="7")
    assert n_done(study) == 7
    after = {trial.number: trial for trial in study.trials}
    assert all(after[trial.number].value == trial.value for trial in finished)
    (resumed,) = runs("interrupted", "study")
    assert resumed.info.run_id == parent.info.run_id and resumed.info.status == "FINISHED"
    assert len(runs("interrupted", "tuned")) == 1


def test_a_retraining_that_was_broken_off_goes_on(
    store: Path, storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    settings = {"storage": storage, "study": "again", "trials": "3"}
    with monkeypatch.context() as context, pytest.raises(KeyboardInterrupt):
        context.setattr("avfusion.jobs.retrain.log_scores", interrupt)
        run_tune(store, **settings)
    (tuned,), seeds = runs("again", "tuned"), runs("again", "seed")
    assert tuned.info.status == "FINISHED" and len(seeds) == 2
    with monkeypatch.context() as context:
        context.setattr(Trainer, "_in_processes", lambda *_: iter(()))  # nothing is trained again
        run_tune(store, **settings)
    assert [run.info.run_id for run in runs("again", "tuned")] == [tuned.info.run_id]
    assert [run.info.run_id for run in runs("again", "seed")] == [run.info.run_id for run in seeds]
    defaults = [run for run in runs_under(runs("again", "study")[0]) if run.data.tags["avfusion.kind"] == "default"]
    assert [run.info.status for run in defaults] == ["FINISHED"] * 2


def runs_under(parent: Run) -> list[Run]:
    query = f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'"
    return list(MlflowClient().search_runs([parent.info.experiment_id], query))


def test_who_joins_lends_workers_and_leaves_the_end_to_the_leader(store: Path, storage: str) -> None:
    settings = {"storage": storage, "study": "joined"}
    with pytest.raises(UserError, match="stop here"), pytest.MonkeyPatch.context() as context:
        context.setattr(Pool, "run", stop_here)
        run_tune(store, **settings)
    study = study_of(storage, "joined")
    (parent,) = runs("joined", "study")
    leader = {"host": os.uname().nodename, "pid": os.getppid()}
    from avfusion.system.presence import born

    study.set_user_attr(LEADER, {**leader, "born": born(os.getppid()), "beats": 0})
    lines = run_tune(store, **settings, promote="true")
    assert "promoted nothing: another process finishes joined" in "\n".join(lines)
    assert "study joined: 6 of 6 trials are done; the process that began it finishes it" in "\n".join(lines)
    assert {run.data.tags["mlflow.parentRunId"] for run in runs("joined", "trial")} == {parent.info.run_id}
    assert not runs("joined", "tuned") and len(runs("joined", "study")) == 1
    study.set_user_attr(LEADER, None)
    run_tune(store, **settings)
    assert n_done(study) == 6 and len(runs("joined", "tuned")) == 1


def test_runs_that_a_killed_job_left_open_are_closed(store: Path, storage: str) -> None:
    settings = {"storage": storage, "study": "left", "trials": "2", "workers": "1"}
    run_tune(store, **settings)
    client = MlflowClient()
    first, second = runs("left", "trial")
    client.update_run(first.info.run_id, status="RUNNING")
    client.update_run(second.info.run_id, status="KILLED")  # as a job does that finds it open and its process gone
    client.delete_tag(second.info.run_id, "avfusion.outcome")
    run_tune(store, **settings)
    assert [run.info.status for run in runs("left", "trial")] == ["FINISHED", "FINISHED"]


def test_training_that_diverges_is_a_failed_trial(tmp_path: Path, storage: str) -> None:
    huge = make_store(tmp_path / "huge", seed=2, separation=float("inf"))
    with pytest.raises(UserError, match=r"study 'diverges': no trial was completed .training diverged in epoch 1"):
        run_tune(huge.path, storage=storage, study="diverges", trials="2")
    study = study_of(storage, "diverges")
    assert [trial.state for trial in study.trials] == [TrialState.FAIL] * 2 and n_done(study) == 2
    assert [run.info.status for run in runs("diverges", "trial")] == ["FAILED"] * 2
    assert "training diverged" in runs("diverges", "trial")[0].data.tags["reason"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": "none"}, "name the feature store that extract wrote"),
        ({"variant": "latte"}, "unknown variant 'latte'; choose from: all, audio_only"),
        ({"trials": "0"}, "trials=0: expected a whole number of at least 1"),
        ({"workers": "two"}, "workers=two: expected a whole number of at least 1"),
        ({"metric": "loss"}, "'--metric': 'loss' is not one of 'log_loss', 'accuracy'"),
        ({"sampler": "cma"}, "'--sampler': 'cma' is not one of 'tpe', 'gp', 'random', 'grid'"),
        ({"pruner": "sha"}, "'--pruner': 'sha' is not one of 'median', 'none'"),
        ({"space": "alfa=0.1:0.2"}, "space: unknown hyperparameter 'alfa'; choose from: alpha, balance, batch_size"),
        ({"space": "alpha=0.6:0.2"}, "space: alpha=0.6:0.2: an empty range"),
        ({"space": "alpha"}, "space: cannot read 'alpha'; write name=value"),
        ({"retrain": "x"}, "retrain=x: expected different whole numbers"),
        ({"device": "tpu"}, "'--device': 'tpu' is not one of"),
        ({"promote": "1"}, "promote=1: expected true or false"),
        ({"storage": "mysql://host/db"}, "unknown kind of storage; expected none, the path of a journal file"),
        ({"storage": "postgresql://user@127.0.0.1:1/db"}, "does not answer"),
    ],
)
def test_mistakes_get_one_clear_line(store: Path, tmp_path: Path, changes: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        run_tune(store, **{"storage": str(tmp_path / "studies.log"), **changes})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("precision", ["bf16", "float32|bf16"])
def test_bf16_that_the_machine_lacks_is_not_searched(
    store: Path, storage: str, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    without_bf16(monkeypatch, LateFusion)
    with pytest.raises(UserError, match=r"this processor cannot train late in bf16 .*; use precision=float32"):
        run_tune(store, variant="early,late", space=f"{FAST},precision={precision}", storage=storage)
    assert not Path(storage).exists()
