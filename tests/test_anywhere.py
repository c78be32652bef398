"""Jobs from anywhere: by the address of a repository, from other folders, over a tracking server by HTTP alone."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zipfile import ZipFile

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import ExecutionException
from mlflow.projects.utils import fetch_and_validate_project, get_or_create_run

from avfusion.errors import UserError
from avfusion.system import project
from avfusion.tracking import starting
from avfusion.tracking.session import connect
from tests.edge import parsed, run_job
from tests.mlflow_server import mlflow_server
from tests.postgres import postgres_server, programs
from tests.stand_ins import draw_nothing, train_here
from tests.stores import make_store
from tests.test_predict_job import extract_here, write_clips

ROOT = Path(__file__).parents[1]
ODD = 'a study\'s "folder" – Übung'
FAST = "epochs=2,batch_size=16"


@pytest.fixture(scope="module")
def server(tracking_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """MLflow's server, in front of PostgreSQL where that is installed; it is where runs are tracked.

    It takes the place of the database of tests, which must be there before: only then is it put back.
    """
    folder = tmp_path_factory.mktemp("server")
    with (
        store_of_server(folder) as store,
        mlflow_server(store, folder) as address,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("MLFLOW_TRACKING_URI", address)
        patch.setenv("MLFLOW_EXPERIMENT_NAME", "by http")
        yield address
    connect()
    assert mlflow.get_tracking_uri() == tracking_uri


@contextmanager
def store_of_server(folder: Path) -> Iterator[str]:
    if programs() is None:
        yield f"sqlite:///{folder / 'mlflow.db'}"
    else:
        with postgres_server() as url:
            yield url.replace("postgresql://", "postgresql+psycopg://")


def test_a_server_needs_nothing_but_http(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Metrics, a model in the registry, its answers and the report; no database and no artifacts beside the job."""
    store = extract_here(write_clips(tmp_path / "clips"), tmp_path / "store")
    (tmp_path / ODD).mkdir()
    monkeypatch.chdir(tmp_path / ODD)
    draw_nothing(monkeypatch)
    train_here(monkeypatch)
    on = {"features": str(store.path), "device": "cpu"}
    trained = run_job("train", variants="video_only", seeds="0", params=FAST, register="true", **on)
    assert trained[-1].startswith(f"open     {server}/#/experiments/") and "viewStateShareKey=variants" in trained[-1]
    predicted = run_job("predict", model="models:/avfusion/1", video=str(tmp_path / "clips" / "0.avi"), device="cpu")
    assert f"answers   {tmp_path / ODD}/runs/predict/predictions.csv" in predicted
    reported = run_job("report", experiment="by http")
    assert f"report   {tmp_path / ODD}/runs/report/report.html" in reported
    client = MlflowClient()
    runs = {run.info.run_name: run for run in client.search_runs([experiment("by http")])}
    assert set(runs) == {"video_only", "train", "predict", "report"}
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    assert 0 <= runs["video_only"].data.metrics["test/accuracy"] <= 1
    pages = {entry.path for entry in client.list_artifacts(runs["report"].info.run_id)}
    assert {"report.html", "report.md"} <= pages
    assert sorted(path.name for path in Path.cwd().iterdir()) == ["runs"]


def experiment(name: str) -> str:
    found = MlflowClient().get_experiment_by_name(name)
    assert found is not None
    return str(found.experiment_id)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of a repository that has the project in the folder `part` of its branch `other`, and nothing anywhere else.

    MLflow clones what is at a `file://` address only if its path reads otherwise there, as one with blanks does.
    """
    work = tmp_path_factory.mktemp("repository") / ODD
    shutil.copytree(ROOT / "entrypoints", work / "part" / "entrypoints", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("MLproject", "conda.yaml"):
        shutil.copy(ROOT / name, work / "part")
    git = ["git", "-C", str(work), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for words in (
        "init -q -b main", "commit -q --allow-empty -m nothing", "checkout -q -b other", "add .",
        "commit -q -m project", "checkout -q main",
    ):  # fmt: skip
        subprocess.run([*git, *words.split()], check=True)
    return f"{work.as_uri()}#part"


def test_an_address_with_a_folder_and_a_branch(
    server: str, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Relative inputs are refused; what is written lasts; the next command works as it is, where it is pasted."""
    make_store(tmp_path / ODD / "store", locations=8)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path / ODD)

    def export(features: str, output: Path) -> str:
        parameters = {"features": features, "output": str(output)}
        mlflow.projects.run(  # type: ignore[no-untyped-call]
            address, "export", "other", parameters=parameters, experiment_name="from anywhere", env_manager="local"
        )
        return capfd.readouterr().out

    with pytest.raises(ExecutionException):
        export("it's", tmp_path / "refused")
    (refused,) = (line for line in capfd.readouterr().err.splitlines() if line.startswith("error: "))
    assert refused.startswith("error: features=it's: a relative path") and refused.endswith(
        """give the whole path, as -P features="$PWD"/'it'"'"'s'"""
    )
    told = export(str(tmp_path / ODD / "store"), tmp_path / ODD / "hdf5").splitlines()
    (line,) = (line for line in told if line.startswith("next     "))
    assert shlex.split(line)[1:] == [
        *("mlflow", "run", address, "-v", "other", "--env-manager", "local", "--experiment-name", "from anywhere"),
        *("-e", "train", "-P", f"features={tmp_path / ODD / 'hdf5'}"),
    ]
    quick = f"variants=audio_only -P folds=2 -P params={FAST}"  # without a model
    pasted = f"{line.removeprefix('next     ')} -P {quick}"
    done = subprocess.run(["bash", "-c", pasted], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    lasting = tmp_path / "data" / "avfusion"
    assert f"is a copy of the project that is thrown away: the job writes to {lasting}" in done.stderr
    (features,) = (line for line in done.stdout.splitlines() if line.startswith("features "))
    assert Path(features.removeprefix("features ").partition(";")[0]).is_relative_to(lasting / "runs" / "features")
    statuses = [run.info.status for run in MlflowClient().search_runs([experiment("from anywhere")])]
    assert statuses.count("FAILED") == 1 and statuses.count("FINISHED") == len(statuses) - 1 == 5
    assert sorted(path.name for path in Path.cwd().iterdir()) == ["hdf5", "store"]


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_the_next_command_of_a_project_in_a_zip_file(
    scheme: str, tracking_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names the file, wherever the one before was typed."""
    file = tmp_path / "project.zip"
    with ZipFile(file, "w") as packed:
        for name in ("MLproject", "conda.yaml"):
            packed.write(ROOT / name, name)
    copy = fetch_and_validate_project(f"{scheme}{file}", None, "export", {})  # type: ignore[no-untyped-call]
    run = get_or_create_run(None, f"{scheme}{file}", "0", copy, None, "export", {})  # type: ignore[no-untyped-call]
    monkeypatch.setenv("MLFLOW_RUN_ID", run.info.run_id)
    monkeypatch.setattr(starting, "COPY", Path(copy))
    assert starting.next_line("train").startswith(f"next     mlflow run {file} --env-manager local ")
    MlflowClient().set_terminated(run.info.run_id)
    shutil.rmtree(copy)


@pytest.mark.parametrize(
    ("job", "option", "path", "to_give"),
    [
        ("main", "data", "my clips.csv", "data=\"$PWD\"/'my clips.csv'"),
        ("main", "output", "features", 'output="$PWD"/features'),
        ("extract", "weights", "weights.safetensors", 'weights="$PWD"/weights.safetensors'),
        ("extract", "parts", "parts", 'parts="$PWD"/parts'),
        ("tune", "storage", "journal.log", 'storage="$PWD"/journal.log'),
        ("tune", "storage", "sqlite:///studies.db", 'storage=sqlite:///"$PWD"/studies.db'),
        ("predict", "model", "folder", 'model="$PWD"/folder'),
        ("predict", "clip", "~/clip.mp4", "clip=\"$PWD\"/'~/clip.mp4'"),
        ("conflict", "audio", "audio.tsv", 'audio="$PWD"/audio.tsv'),
        ("compare", "locations", "locations.csv", 'locations="$PWD"/locations.csv'),
    ],
)
def test_relative_paths_in_a_copy(
    job: str, option: str, path: str, to_give: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(project, "COPY", Path("/tmp/tmpcopy1234"))
    with pytest.raises(UserError, match="a relative path") as caught:
        parsed(job, **{option: path})
    assert str(caught.value).startswith(f"{option}={path}: ") and str(caught.value).endswith(f"as -P {to_give}")


def test_what_is_no_relative_path_in_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(project, "COPY", Path("/tmp/tmpcopy1234"))
    run = "0123456789abcdef" * 2
    for job, given in (
        ("extract", {"data": "none", "weights": "untrained", "parts": "s3://bucket/folder", "output": "/tmp/x"}),
        ("tune", {"storage": "postgresql://ada@host/studies"}), ("tune", {"storage": "sqlite:////tmp/studies.db"}),
        ("conflict", {"audio": run, "video": f"runs:/{run}", "fused": "/answers.tsv"}),
        ("predict", {"model": "models:/avfusion@champion", "clip": "-"}), ("predict", {"model": run}),
    ):  # fmt: skip
        parsed(job, features="/store", **given) if job == "tune" else parsed(job, **given)


def test_where_a_job_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the database of MLflow, if that is a file; else in the user's folder for data."""
    monkeypatch.chdir(tmp_path)
    assert project.leave_copy() is None and Path.cwd() == tmp_path
    monkeypatch.setattr(project, "COPY", Path("/tmp/tmpcopy1234"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / ODD))
    for tracking, folder in (
        (f"sqlite:///{tmp_path}/my%20study/mlflow.db?timeout=9", tmp_path / "my study"),
        ("http://127.0.0.1:1", tmp_path / ODD / "avfusion"),
    ):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking)
        assert str(project.leave_copy()).endswith(
            f"/tmpcopy1234 is a copy of the project that is thrown away: the job writes to {folder}"
        )
        assert Path.cwd() == folder
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    with pytest.raises(UserError, match=r"cannot be used .*; set XDG_DATA_HOME"):
        project.leave_copy()
