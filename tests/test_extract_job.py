"""The jobs `extract` and `main` before any training: options, partial success, strictness, early refusals."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from mlflow import MlflowClient

from avfusion.errors import UserError
from avfusion.jobs import extract as job
from avfusion.jobs.extract import _room
from tests.edge import run_job
from tests.fakes import load_fake
from tests.media_files import make_clip

OPTIONS = {"output": "none", "embedder": "demo", "weights": "none", "precision": "float32", "device": "cpu"}


@pytest.fixture
def data(tmp_path: Path, tracking_uri: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two pairs and one without pictures."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(job, "load_embedder", load_fake)
    (tmp_path / "data").mkdir()
    lines = [make_clip(tmp_path / "data", name) for name in ("x", "yy")]
    lines.append(make_clip(tmp_path / "data", "blind", frames=0))
    (tmp_path / "data" / "clips.csv").write_text("\n".join(["audio,video,label,location", *lines]) + "\n")
    return tmp_path / "data" / "clips.csv"


def test_partial_success_and_strict(data: Path) -> None:
    lines = run_job("extract", data=str(data), **OPTIONS)
    assert "2 clips, failed_clips=1" in lines[1]
    store = Path(lines[0].split()[1])
    client = MlflowClient()
    experiment = client.get_experiment_by_name("avfusion")
    assert experiment is not None
    run = client.search_runs([experiment.experiment_id], max_results=1)[0]
    assert (run.info.status, run.data.tags["failed_clips"], run.data.metrics["failed_clips"]) == ("FINISHED", "1", 1)
    with pytest.raises(UserError, match="1 of 3 clips failed"):
        run_job("extract", data=str(data), strict="true", **OPTIONS)
    assert run_job("extract", data=str(data), modalities="any", **OPTIONS)[1].endswith("3 clips, failed_clips=0")
    assert json.loads((store / "store.json").read_text())["provenance"]["parameters"]["modalities"] == "both"


def test_paths_outside(data: Path) -> None:
    data.rename(data.parent.parent / "clips.csv")
    text = Path("clips.csv").read_text().replace("x.wav", str(data.parent / "x.wav"))
    Path("other").mkdir()
    Path("other/clips.csv").write_text(text)
    with pytest.raises(UserError, match="leads out of the data folder"):
        run_job("extract", data="other/clips.csv", **OPTIONS)
    lines = run_job("extract", data="other/clips.csv", allow_outside="true", modalities="any", **OPTIONS)
    assert lines[1].endswith("1 clips, failed_clips=2")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("modalities", "sound", "'--modalities': 'sound' is not one of 'both', 'any'"),
        ("strict", "yes", "strict=yes: expected true or false"),
        ("allow_outside", "1", "allow_outside=1: expected true or false"),
        ("timeout", "soon", "timeout=soon: expected seconds above 0"),
        ("timeout", "-1", "timeout=-1: expected seconds above 0"),
        ("timeout", "inf", "timeout=inf: expected seconds above 0"),
        ("embedder", "vgg", "unknown embedder 'vgg'"),
    ],
)
def test_mistakes_in_options(data: Path, name: str, value: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        run_job("extract", **{"data": str(data), **OPTIONS, name: value})
    assert not Path("runs").exists()


def test_main_refuses_what_cannot_be_split_before_it_reads_a_clip(data: Path) -> None:
    with pytest.raises(UserError, match=r"class 'a' has . locations?; splitting it .* takes at least 3"):
        run_job("main", data=str(data), variants="audio_only", seeds="0", params="none", **OPTIONS)
    assert not Path("runs").exists()


@pytest.mark.parametrize(("memory", "expected"), [(6, 1), (9, 2), (1000, 3)])
def test_a_gpu_gets_as_many_processes_as_its_memory_holds(
    memory: int, expected: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("avfusion.jobs.extract.GPU_DRIVERS", (tmp_path,))
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_properties", lambda index: SimpleNamespace(total_memory=memory * 2**30))
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1, 2}, raising=False)
    assert (_room("auto"), _room("cuda"), _room("cpu")) == (expected, expected, None)
    monkeypatch.setattr("avfusion.jobs.extract.GPU_DRIVERS", (tmp_path / "none",))
    assert _room("auto") is None
