"""The jobs `extract` and `main` before any training: options, partial success, strictness, early refusals."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from mlflow import MlflowClient

from avfusion.datasets import read_dataset
from avfusion.errors import UserError
from avfusion.extraction import Settings
from avfusion.jobs import extract as job
from avfusion.jobs.extract import _room
from tests.edge import run_job
from tests.fakes import FakeEmbedder, load_fake
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
        ("embedder", "yamnet+efficientnet_lite0", "yamnet is for sound"),
        ("frames", "2", "unknown embedder option 'frames'; choose from: centred, hop"),
        ("hop", "0", "hop=0: expected `none` or a number of seconds above 0"),
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


def test_auto_is_the_pair_for_real_clips_and_demo_for_synthetic_ones(
    data: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "avfusion")
    asked: list[tuple[str, dict[str, str]]] = []
    settings: list[Settings] = []

    def load(name: str, **options: str) -> FakeEmbedder:
        asked.append((name, options))
        return load_fake(name, **options)

    monkeypatch.setattr(job, "load_embedder", load)
    monkeypatch.setattr(job, "extract", lambda dataset, folder, given, strict: settings.append(given))
    extraction = job.prepare(
        None, "auto", 0.25, None, None, "float32", "cpu", "both", False, 60.0, "local", None, None
    )  # fmt: skip
    dataset = read_dataset(data)
    for synthetic, expected in ((False, "efficientnet_lite0+yamnet"), (True, "demo")):
        asked.clear()
        extraction.run(replace(dataset, synthetic=synthetic))
        settings[-1].load()
        assert asked == [(expected, {"weights": None, "precision": "float32", "device": "cpu", "hop": 0.25})]
        assert f"embedder=auto takes {expected} for" in caplog.text
    pictures = replace(extraction, options={**extraction.options, "frames": 2.5})
    assert pictures.embedder_for(dataset) == "efficientnet_lite0+yamnet"
    with pytest.raises(UserError, match=r"frames.*hop"):  # of scenes, for which `demo` has no such option
        pictures.embedder_for(replace(dataset, synthetic=True))
    with pytest.raises(UserError, match="weights=mine: name the embedder that they are for, as embedder=demo"):
        run_job("extract", **{"data": str(data), **OPTIONS, "embedder": "auto", "weights": "mine"})


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
