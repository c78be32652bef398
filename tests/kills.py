"""Processes that are killed: extractions at moments drawn by seed, and who is left."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from avfusion.datasets import Dataset
from avfusion.extraction import Settings, extract
from avfusion.system.presence import born
from avfusion.system.processes import training_processes
from avfusion.system.seeds import derive_seed
from tests.fakes import FakeEmbedder, KillAtRename

ROOT = Path(__file__).parents[1]
FRESH = training_processes("avfusion.extraction", "avfusion.features.hdf5", "avfusion.pretraining.learning")
"""Makes processes that share no thread, lock or state of libraries with the one that runs the tests."""
PACKED = ("plan.json", "audio.npy", "video.npy", "clips.csv", "failures.csv", "media.csv", "store.json")


def content(folder: Path) -> dict[str, bytes]:
    """Every file below `folder`."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def killed(
    data: Dataset,
    folder: Path,
    *,
    driver: KillAtRename | None = None,
    worker: Callable[[], FakeEmbedder] = FakeEmbedder,
    when: Callable[[], object] | None = None,
) -> int:
    """Extracts in another process that is killed, by itself or once `when` returns; returns its exit code."""
    process = FRESH.Process(target=_extract, args=(data, folder, driver, worker))
    process.start()
    if when is not None:
        when()
        process.kill()
    process.join(60)
    assert process.exitcode is not None
    return process.exitcode


def kill_somewhere(data: Dataset, folder: Path, number: int, longest: float) -> None:
    """Kill `number`: around a rename of the driver, around one of a worker, or after up to `longest` seconds."""
    random = np.random.default_rng(derive_seed("kill", number))
    before = bool(random.integers(2))
    if number % 3 == 0:
        name = PACKED[number // 3 % len(PACKED)]
        assert killed(data, folder, driver=KillAtRename(name, before)) == -signal.SIGKILL
    elif number % 3 == 1:
        name = f"{random.integers(len(data.clips)):07d}.safetensors"
        assert killed(data, folder, worker=KillAtRename(name, before, also_parent=True)) == -signal.SIGKILL
    else:
        killed(data, folder, when=lambda: time.sleep(random.uniform(0.0, longest)))


def _extract(data: Dataset, folder: Path, driver: KillAtRename | None, load: Callable[[], FakeEmbedder]) -> None:
    if driver is not None:
        driver.arm()
    extract(data, folder, Settings(load, workers=1), progress=False)


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    return born(pid) not in ("", "dead")


def in_session(leader: int) -> list[int]:
    """The living processes of the session that process `leader` began, itself included."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        if int(fields[3]) == leader and fields[0] not in "ZX":
            found.append(int(folder.name))
    return found


def wait_until(condition: Callable[[], object], seconds: float = 300.0) -> None:
    """Returns when `condition` holds; fails if it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)
