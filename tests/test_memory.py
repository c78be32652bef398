"""Bombs: whatever a file claims, its reader stays under 2 GB above what it had before, and says a line."""

import gzip
import re
import resource
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path

import h5py
import pytest

from avfusion.datasets import read_dataset
from avfusion.embedders import load_embedder
from avfusion.errors import UserError
from avfusion.extraction import Settings, extract
from avfusion.features.hdf5 import import_features
from avfusion.l3.keras_weights import read_layers
from avfusion.serving.extractor import Extractor
from avfusion.serving.queries import Query
from avfusion.system.memory import VARIABLE, MemoryLimit
from tests.bombs import DATASETS, MEDIA, write_media
from tests.fakes import FakeEmbedder, Hoarding, OnGpu
from tests.hdf5_files import edit, stems, write_course
from tests.l3_weight_files import keras_layers, small_openl3, write_keras
from tests.media_files import make_clip

MOST = 2e9  # bytes above the baseline
STILL = 0.3e9  # bytes that may stay
TOO_LARGE = re.compile(r"it needs more than [\d.]+ GiB of memory \(AVFUSION_WORKER_GIGABYTES\)")


def memory(process: int | str | None, entry: str) -> int:
    """Bytes, by the name in /proc/PID/status: VmRSS is what there is now, VmHWM the peak."""
    lines = (Path("/proc") / str(process) / "status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{entry}:"))


def test_media(tmp_path: Path) -> None:
    """Through the extractor of a served model, whose process is a worker of extraction."""
    line = make_clip(tmp_path, "good", seconds=2)
    bombs = [Query(path.name, path, path) for path in write_media(tmp_path)]
    provenance = load_embedder("demo", device="cpu").provenance
    with Extractor(provenance, weights=None, device="cpu", workers=1, timeout=60) as extractor:
        (worker,) = extractor._pool._workers
        process = worker.process.pid
        baseline = memory(process, "VmRSS")
        parts = {bombs[number].id: part for number, part in extractor.parts(bombs, ["audio", "video"])}
        sound, pictures = (tmp_path / name for name in line.split(",")[:2])
        good = Query("good", sound, pictures)
        ((_, part),) = extractor.parts([good], ["audio", "video"])
        assert (part.reason, part.note) == ("", "") and len(part.audio) and len(part.video)
        assert extractor._pool._workers == [worker]  # one process did all of it
        assert memory(process, "VmHWM") - baseline < MOST
        assert memory(process, "VmRSS") - baseline < STILL
    assert all("\n" not in part.reason + part.note for part in parts.values())
    assert all(part.reason or len(part.audio) or len(part.video) for part in parts.values())
    assert TOO_LARGE.fullmatch(parts["fragments.mp4"].reason)


@pytest.mark.parametrize("load", [FakeEmbedder, OnGpu])
def test_too_large_is_the_reason_of_a_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, load: Callable[[], FakeEmbedder]
) -> None:
    monkeypatch.setenv(VARIABLE, "0.25")
    lines = ["audio,video,label,location", make_clip(tmp_path, "a"), "x.mov,x.mov,a,x", make_clip(tmp_path, "bb")]
    (tmp_path / "clips.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "x.mov").write_bytes(MEDIA["fragments.mp4"]())
    data = read_dataset(tmp_path / "clips.csv")
    store = extract(data, tmp_path / "store", Settings(load, workers=1), progress=False)
    assert len(store.clips) == 2
    assert store.failures["reason"].tolist() == ["it needs more than 0.25 GiB of memory (AVFUSION_WORKER_GIGABYTES)"]
    monkeypatch.setenv(VARIABLE, "much")
    with pytest.raises(UserError, match=f"{VARIABLE}=much: expected GiB above 0, or inf for no limit"):
        extract(data, tmp_path / "other", Settings(load, workers=1), progress=False)


def test_a_worker_that_keeps_memory_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "0.25")
    lines = ["audio,video,label,location", *(make_clip(tmp_path, name) for name in "abcdef")]
    (tmp_path / "clips.csv").write_text("\n".join(lines) + "\n")
    data = read_dataset(tmp_path / "clips.csv")
    store = extract(data, tmp_path / "store", Settings(Hoarding, workers=1), progress=False)
    assert (len(store.clips), len(store.failures)) == (6, 0)


def read_hdf5(folder: Path) -> tuple[dict[str, str], dict[str, str], int]:
    """What is said of every trap in features and in weights; and how far memory rose, in bytes."""
    _, stem = stems("train")[0]
    baseline = memory("self", "VmRSS")
    features, weights = {}, {}
    for name, (trap, _) in DATASETS.items():
        root = folder / name / "data"
        write_course(root)
        with edit(root, "audio", "train") as file:
            del file[f"0/audio/{stem}"]
            trap(file, f"0/audio/{stem}")
        try:
            store = import_features(root, folder / name / "store", progress=False)
            features[name] = "; ".join(store.failures["reason"])
        except UserError as error:
            features[name] = str(error)
        path = write_keras(folder / name / "w.h5", keras_layers(small_openl3().audio))
        with h5py.File(path, "r+") as file:
            del file["conv2d_0/conv2d_0/kernel:0"]
            trap(file, "conv2d_0/conv2d_0/kernel:0")
        try:
            weights[name] = str(read_layers(path))
        except UserError as error:
            weights[name] = str(error)
    return features, weights, memory("self", "VmHWM") - baseline


def test_hdf5(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With less than the default, as unpacking takes its time: what is checked is that the limit holds."""
    monkeypatch.setenv(VARIABLE, "0.125")
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        features, weights, rise = process.submit(read_hdf5, tmp_path).result()
    assert rise < 0.5e9
    for name, (_, message) in DATASETS.items():
        for line in (features[name], weights[name]):
            assert re.search(message, line) and "\n" not in line
        assert "w.h5 cannot be read as Keras HDF5 weights" in weights[name]


def test_many_names_of_one_group(tmp_path: Path) -> None:
    """A thousand labels of one group of a thousand clips would be a million clips."""
    write_course(tmp_path / "data")
    with edit(tmp_path / "data", "audio", "train") as file:
        for number in range(3, 1000):
            file[str(number)] = file["0"]
    with pytest.raises(
        UserError, match=r"train\.hdf5 cannot be used: '10' is one more name of something that has a name"
    ):
        import_features(tmp_path / "data", tmp_path / "store", progress=False)


def test_packed_weights_that_never_end(tmp_path: Path) -> None:
    path = tmp_path / "w.h5.gz"
    path.write_bytes(gzip.compress(bytes(2**24)) * 60)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(
        UserError, match=r"w\.h5\.gz cannot be read as Keras HDF5 weights \(it unpacks to more than 128 MiB\)"
    ):
        read_layers(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 0.5e6  # kilobytes


def test_limits_of_threads_leave_none() -> None:
    """Whoever is left last, the process may then have what it could have before."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    first, second = MemoryLimit(), MemoryLimit()
    with ExitStack() as inner:
        with first:
            limit = resource.getrlimit(resource.RLIMIT_AS)[0]
            inner.enter_context(second)
            assert resource.getrlimit(resource.RLIMIT_AS)[0] <= limit
        assert resource.getrlimit(resource.RLIMIT_AS) != before
        with second:  # once more
            pass
        assert resource.getrlimit(resource.RLIMIT_AS) != before
    assert resource.getrlimit(resource.RLIMIT_AS) == before
