"""Embedders for tests on a Ray cluster; its workers import this file."""

import errno
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avfusion.errors import UserError
from avfusion.features.parts import part_name
from tests.fakes import FakeEmbedder, OddDecoders


class _Slow(FakeEmbedder):
    """Takes its time, and notes each clip that it embeds by the number of its samples."""

    def __init__(self, folder: Path, seconds: float) -> None:
        super().__init__()
        self._log, self._seconds = folder / "embedded.txt", seconds

    def embed_samples(self, samples: NDArray[np.float32], sample_rate: int) -> NDArray[np.float32]:
        time.sleep(self._seconds)
        with self._log.open("a") as log:
            log.write(f"{len(samples)}\n")
        return super().embed_samples(samples, sample_rate)


@dataclass(frozen=True)
class SlowLoader:
    """Loads an embedder that takes `seconds` a clip; the process leaves `PID.NODE.worker` in `folder`."""

    folder: Path
    seconds: float = 0.2

    def __call__(self) -> FakeEmbedder:
        import ray

        self.folder.joinpath(f"{os.getpid()}.{ray.get_runtime_context().get_node_id()}.worker").touch()
        return _Slow(self.folder, self.seconds)

    def workers(self) -> Iterator[tuple[int, str]]:
        """Process and node of those that live."""
        for file in sorted(self.folder.glob("*.worker")):
            process, node, _ = file.name.split(".")
            if Path("/proc", process).exists():
                yield int(process), node

    def embedded(self) -> list[int]:
        """Samples of each clip, as often as it was embedded."""
        file = self.folder / "embedded.txt"
        return [int(line) for line in file.read_text().splitlines()] if file.exists() else []


class Greedy(FakeEmbedder):
    """Takes memory for a loud clip until somebody ends the process."""

    def embed_samples(self, samples: NDArray[np.float32], sample_rate: int) -> NDArray[np.float32]:
        taken = []
        while np.abs(samples).mean() > 0.3:
            taken.append(np.ones(2**24))
            time.sleep(0.01)
        return super().embed_samples(samples, sample_rate)


class OddAndGreedy(OddDecoders):
    """A loader in a process with odd decoders, whose embedder takes memory for loud clips."""

    def __call__(self) -> FakeEmbedder:
        super().__call__()
        return Greedy()


def refuse() -> FakeEmbedder:
    """A loader with a mistake of the user's, in a process that says what it has imported in vain."""
    raise UserError(f"weights not found: nowhere.h5 {sorted({'ray.data', 'torch', 'mlflow'} & set(sys.modules))}")


def no_room() -> FakeEmbedder:
    """A loader in a process whose disk is full."""

    def replace(source: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    os.replace = replace  # type: ignore[assignment]
    return FakeEmbedder()


def n_parts(store: Path, n_clips: int) -> int:
    """How many clips of an unfinished store have a part."""
    return sum((store / "parts" / part_name(index)).exists() for index in range(n_clips))
