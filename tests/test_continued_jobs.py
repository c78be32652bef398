"""Jobs that train and are broken off, by a kill or by MLflow: nothing is lost, nothing is there twice."""

import errno
import multiprocessing
import os
import shutil
import signal
import socket
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from unittest.mock import patch

import mlflow
import pytest
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from requests import RequestException

import avfusion.training.many
from avfusion.tracking.failures import RETRIES, WAITING, TrackingError, bound_waiting, storing, tracked
from avfusion.tracking.runs import experiment_run, job_run
from avfusion.tracking.session import connect
from avfusion.training.experiment import train
from avfusion.training.split_features import SplitFeatures
from tests.edge import run_job
from tests.stand_ins import draw_nothing, log_no_models, train_here
from tests.stores import make_store
from tests.test_entrypoints import call, mistake

FAST = "epochs=2,batch_size=16"
STEPS = ("avfusion.tracking.variant_runs.log_result", "avfusion.jobs.sweep.log_scores")
"""The logging of one result, by job."""


class Trainings:
    """Counts trainings, and keeps which companions each logged model had."""

    def __init__(self, models: dict[str, list[str]]) -> None:
        self.done: list[str] = []
        self.models = models

    def train(self, data: SplitFeatures, variant: type, params: dict, seed: int, *rest: object) -> object:  # type: ignore[type-arg]
        self.done.append(f"{variant.id} {params.get('alpha', '')} {seed}")  # type: ignore[attr-defined]
        return train(data, variant, params, seed, *rest)  # type: ignore[arg-type]


@pytest.fixture
def trainings(tracking_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trainings:
    """Jobs in a folder and an experiment of their own, without figures and models, which take seconds."""
    monkeypatch.chdir(tmp_path)
    client = MlflowClient()
    client.create_experiment(tmp_path.name, artifact_location=(tmp_path / "artifacts").as_uri())
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", tmp_path.name)
    draw_nothing(monkeypatch)
    train_here(monkeypatch)
    counted = Trainings(models=log_no_models(monkeypatch))
    monkeypatch.setattr(avfusion.training.many, "train", counted.train)
    make_store(tmp_path / "store", separation=0.8)
    return counted


def train_(seeds: str = "0", variants: str = "audio_only,late", params: str = FAST) -> list[str]:
    return run_job("train", features="store", variants=variants, seeds=seeds, params=params, device="cpu")


def sweep(seeds: str = "0,1", alphas: str = "0.2,0.8") -> list[str]:
    return run_job("sweep", features="store", alphas=alphas, seeds=seeds, params=FAST, workers="1", device="cpu")


def runs(kind: str) -> list[Run]:
    """The runs of this kind in the test's experiment, oldest first."""
    experiment = MlflowClient().get_experiment_by_name(os.environ["MLFLOW_EXPERIMENT_NAME"])
    assert experiment is not None
    found = MlflowClient().search_runs([experiment.experiment_id], f"tags.`avfusion.kind` = '{kind}'")
    return sorted(found, key=lambda run: int(run.info.start_time))


def names(found: list[Run]) -> list[str]:
    return [str(run.info.run_name) for run in found]


def numbers(found: list[Run]) -> list[tuple[str, dict[str, float]]]:
    """What does not depend on the clock, by name of the run."""
    timeless = ({name: value for name, value in run.data.metrics.items() if "seconds" not in name} for run in found)
    return sorted(zip(names(found), timeless, strict=True), key=lambda pair: pair[0])


def folders() -> list[str]:
    return sorted(path.name.split("-")[0] for path in Path("runs/trained").glob("*"))


def killed(job: Callable[[], object], at: int) -> None:
    """Does `job` in a process that kills itself when it comes to log its result number `at`."""
    process = multiprocessing.get_context("fork").Process(target=_until_killed, args=(job, at))
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL


def _until_killed(job: Callable[[], object], at: int) -> None:
    # Another spelling, so that no connection of the parent is used in this process.
    os.environ["MLFLOW_TRACKING_URI"] = os.environ["MLFLOW_TRACKING_URI"].replace("/mlflow.db", "/./mlflow.db")
    with ExitStack() as stack:
        for step in STEPS:
            stack.enter_context(patch(step, Failing(step, at, lambda: os.kill(os.getpid(), signal.SIGKILL))))
        job()


class Failing:
    """A function, by name, that does something else at its call number `at`."""

    def __init__(self, name: str, at: int, instead: Callable[[], object]) -> None:
        module, _, function = name.rpartition(".")
        self.real = getattr(__import__(module, fromlist=[function]), function)
        self.left, self.instead = at, instead

    def __call__(self, *arguments: object, **named: object) -> object:
        self.left -= 1
        return self.instead() if self.left == 0 else self.real(*arguments, **named)


def test_a_train_that_was_killed_goes_on(trainings: Trainings, caplog: pytest.LogCaptureFixture) -> None:
    killed(train_, at=2)
    (audio, late), (broken,) = runs("variant"), runs("job")
    assert (audio.info.status, late.info.status, folders()) == ("FINISHED", "RUNNING", ["train"])
    caplog.set_level("INFO", "avfusion")
    train_()
    assert trainings.done == []  # both were on disk, one also in MLflow
    assert "this job was broken off and goes on; what was trained so far (2) is kept in " in caplog.text
    found = runs("variant")
    assert names(found) == ["audio_only", "late"] and found[0].info.run_id == audio.info.run_id
    assert [run.info.status for run in found] == ["FINISHED"] * 2
    assert trainings.models == {"late": ["audio_only"]}
    old, job = runs("job")
    assert (old.info.run_id, old.info.status, job.info.status) == (broken.info.run_id, "KILLED", "FINISHED")
    assert old.data.tags["continued_by"] == job.info.run_id
    assert folders() == []

    train_()  # a job that had finished is run anew
    assert trainings.done == ["audio_only  0", "late 0.5 0"]
    assert names(runs("variant")) == ["audio_only", "late"] * 2
    assert numbers(runs("variant")[2:]) == numbers(found)


def test_a_train_of_several_seeds_that_was_killed_twice_goes_on(trainings: Trainings) -> None:
    job = partial(train_, "0,1", "audio_only,video_only,late")
    killed(job, at=2)  # audio_only seed 1
    first = runs("seed")
    killed(job, at=4)  # late seed 0, which is on disk: the first that this process logs is audio_only seed 1
    kept = [run.info.run_id for run in runs("seed") if run.info.status == "FINISHED"]
    assert len(kept) == 4 and first[0].info.run_id in kept
    job()
    assert trainings.done == ["late 0.5 1"]
    found = runs("variant")
    assert sorted(names(found)) == ["audio_only", "late", "video_only"]
    seeds = runs("seed")
    assert set(kept) < {run.info.run_id for run in seeds} and len(seeds) == 6
    parents = {run.data.tags["variant"]: run.info.run_id for run in found}
    assert all(run.data.tags["mlflow.parentRunId"] == parents[run.data.tags["variant"]] for run in seeds)
    assert trainings.models["late"] == ["audio_only", "video_only"]
    job()
    assert numbers(found) == numbers(runs("variant")[3:]) and numbers(seeds) == numbers(runs("seed")[6:])


def test_a_sweep_that_was_killed_goes_on(trainings: Trainings) -> None:
    killed(sweep, at=3)  # alpha 0.8 seed 0 is on disk, not in MLflow
    kept = [run.info.run_id for run in runs("alpha")][:2]
    sweep()
    assert trainings.done == ["late 0.8 1"]
    alphas, (parent,) = runs("alpha"), runs("sweep")
    assert len(alphas) == 4 and [run.info.run_id for run in alphas][:2] == kept
    assert {run.data.tags["mlflow.parentRunId"] for run in alphas} == {parent.info.run_id}
    sweep()
    assert numbers(alphas) == numbers(runs("alpha")[4:]) and numbers([parent]) == numbers(runs("sweep")[1:])


def test_where_mlflow_fails_one_line_says_where_the_results_are_and_what_logs_them(
    trainings: Trainings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise MlflowException("the disk of the server is full\nand more")

    with monkeypatch.context() as context:
        context.setattr(STEPS[0], Failing(STEPS[0], 2, fail))
        failed = call("train", *COMMAND)
    line = failed.stderr.strip().splitlines()[-1]
    assert failed.exit_code == 2 and line.startswith("error: ") and "Traceback" not in failed.stderr
    (folder,) = Path("runs/trained").glob("train-*")
    assert f"MLflow at {os.environ['MLFLOW_TRACKING_URI']} failed (the disk of the server is full)" in line
    assert "mend that, then run the same command again" in line
    assert f"what was trained so far (2) is kept in {folder.resolve()} and logged then: " in line
    assert [run.info.status for run in runs("variant") + runs("job")] == ["FINISHED", "FAILED", "FAILED"]
    n_trained = len(trainings.done)
    assert call("train", *COMMAND).exit_code == 0
    assert len(trainings.done) == n_trained == 2
    assert [run.info.status for run in runs("variant")] == ["FINISHED"] * 2
    assert folders() == []


def test_a_full_disk_where_artifacts_go_is_one_line(trainings: Trainings, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "config.json")

    with monkeypatch.context() as context:
        context.setattr("mlflow.log_artifacts", full)
        failed = call("train", *COMMAND)
    line = failed.stderr.strip().splitlines()[-1]
    assert failed.exit_code == 2 and line.startswith("error: ") and "Traceback" not in failed.stderr
    assert "failed ([Errno 28] No space left on device: 'config.json'); mend that" in line
    assert "what was trained so far (1) is kept in " in line
    assert [run.info.status for run in runs("variant") + runs("job")] == ["FAILED", "FAILED"]


def test_a_folder_that_the_disk_does_not_take_is_one_line() -> None:
    reasons = [("from", "to", "[Errno 28] No space left on device"), ("from 2", "to 2", "[Errno 28]")]
    with pytest.raises(TrackingError, match=r"failed \(\[Errno 28\] No space left on device\); mend"), storing():
        raise shutil.Error(reasons)
    with pytest.raises(RequestException), storing():  # which `tracked` turns into a line
        raise RequestException


def test_a_server_that_falls_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts, seconds = int(WAITING[RETRIES]) + 1, int(WAITING["MLFLOW_HTTP_REQUEST_TIMEOUT"])
    pauses = [int(WAITING["MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR"]) * 2**n for n in range(1, attempts - 1)]
    assert sum(pauses) <= 30 and sum(pauses) + (attempts + 1) * seconds <= 90  # as the pages say
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        for name, value in {RETRIES: "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "1"}.items():
            monkeypatch.setenv(name, value)
        client = MlflowClient(f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(TrackingError, match=r"failed \(.*timed out"), tracked():
            client.get_run("0123456789abcdef0123456789abcdef")


COMMAND = ["--features", "store", "--variants", "audio_only,late", "--params", FAST, "--device", "cpu"]


def test_ctrl_c_says_what_is_kept(
    trainings: Trainings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as context, pytest.raises(KeyboardInterrupt):
        context.setattr(STEPS[0], Failing(STEPS[0], 2, interrupt))
        train_()
    assert "what was trained so far (2) is kept in " in caplog.text
    assert [run.info.status for run in runs("variant") + runs("job")] == ["FINISHED", "KILLED", "KILLED"]


def test_only_the_same_work_goes_on(trainings: Trainings, monkeypatch: pytest.MonkeyPatch) -> None:
    killed(partial(train_, variants="late"), at=1)
    for job in (
        partial(train_, variants="late", params=f"{FAST},alpha=0.3"),
        partial(train_, variants="late", seeds="1"),
    ):
        before = len(trainings.done)
        job()
        assert len(trainings.done) == before + 1
    with monkeypatch.context() as context:
        context.setattr("avfusion.tracking.work.code_digest", lambda: "another version")
        train_(variants="late")
    assert len(trainings.done) == 3
    make_store(Path("other"), separation=0.8, seed=1)
    run_job("train", features="other", variants="late", seeds="0", params=FAST, device="cpu")
    assert len(trainings.done) == 4
    train_(variants="late")
    assert len(trainings.done) == 4 and folders() == []


def test_another_process_at_the_same_job_is_left_in_peace(trainings: Trainings) -> None:
    killed(partial(train_, variants="late"), at=1)
    (folder,) = Path("runs/trained").glob("train-*")
    with FileLock(folder / ".lock"):
        train_(variants="late")
    assert len(trainings.done) == 1 and list(Path("runs/trained").glob("*")) == [folder]


def test_a_job_that_ended_before_it_could_clear_up_is_run_anew(trainings: Trainings) -> None:
    with patch("avfusion.tracking.work.shutil.rmtree"):
        train_(variants="late")
    assert folders() == ["train"]
    train_(variants="late")
    assert len(trainings.done) == 2 and len(runs("variant")) == 2 and folders() == []


def test_a_place_that_cannot_be_written_is_told_before_training(trainings: Trainings) -> None:
    Path("runs").write_text("in the way")
    line = mistake(call("train", *COMMAND))
    assert "cannot be written (Not a directory)" in line and "start in a folder that can be written" in line
    assert trainings.done == []


def test_a_store_that_does_not_answer_is_asked_once_more_and_no_oftener(
    trainings: Trainings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def down(*arguments: object) -> None:
        asked.append(os.environ[RETRIES])
        raise MlflowException("connection refused")

    with monkeypatch.context() as context, pytest.raises(TrackingError, match="connection refused") as caught:
        connect()
        context.setattr(MlflowClient, "set_terminated", down)
        with job_run("train"), experiment_run("late", {}) as run, experiment_run("seed", {}, run.info.run_id):
            raise MlflowException("connection refused")
    assert asked == ["0"] and mlflow.active_run() is None
    assert str(caught.value).count("connection refused") == 1


def test_no_password_of_the_store_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlflow.get_tracking_uri", lambda: "postgresql://ada:engine@host/runs")
    with pytest.raises(TrackingError, match=r"MLflow at postgresql://ada:\*\*\*@host/runs failed \(gone\)"), tracked():
        raise MlflowException("gone")


def test_waiting_is_bounded_unless_the_user_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(RETRIES, raising=False)
    bound_waiting()
    assert os.environ[RETRIES] == "3"
    monkeypatch.setenv(RETRIES, "9")
    bound_waiting()
    assert os.environ[RETRIES] == "9"
