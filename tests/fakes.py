"""Embedders for tests of extraction, some of which end their process; workers import this file."""

import os
import signal
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avfusion.errors import UserError
from avfusion.extraction import clip as clip_module
from avfusion.media import stream_sound as decode
from avfusion.system.files import write_atomically


class FakeEmbedder:
    """Features that a test can foresee: the loudness and brightness of each moment, twice."""

    name = "fake"
    hop = 0.1

    def __init__(self) -> None:
        self.provenance: dict[str, Any] = {"name": "fake", "weights": "untrained", "trained": False}

    def n_windows(self, n_samples: int, sample_rate: int) -> int:
        return max(1, round(n_samples / sample_rate / self.hop))

    def n_frames(self, seconds: float, n_windows: int) -> int:
        return n_windows

    def embed_audio(self, blocks: Iterable[NDArray[np.float32]], sample_rate: int) -> NDArray[np.float32]:
        return self.embed_samples(np.concatenate(list(blocks)), sample_rate)

    def embed_samples(self, samples: NDArray[np.float32], sample_rate: int) -> NDArray[np.float32]:
        blocks = np.array_split(np.abs(samples[:, 0]), self.n_windows(len(samples), sample_rate))
        return np.array([[block.mean()] * 2 for block in blocks], np.float32)

    def embed_video(self, frames: Iterable[NDArray[np.uint8]]) -> NDArray[np.float32]:
        return np.array([[frame.mean()] * 2 for frame in frames], np.float32)


class FewPictures(FakeEmbedder):
    """Wants three pictures a second, of another dimension than its sound."""

    def n_frames(self, seconds: float, n_windows: int) -> int:
        return round(3 * seconds)

    def embed_video(self, frames: Iterable[NDArray[np.uint8]]) -> NDArray[np.float32]:
        return np.array([[frame.mean()] * 3 for frame in frames], np.float32)


def load_fake(name: str, **options: str) -> FakeEmbedder:
    """In place of `load_embedder`."""
    embedder = FakeEmbedder()
    embedder.provenance |= {"trained": False, **options}
    return embedder


class NotFinite(FakeEmbedder):
    """Gives infinite features for loud clips."""

    def embed_samples(self, samples: NDArray[np.float32], sample_rate: int) -> NDArray[np.float32]:
        features = super().embed_samples(samples, sample_rate)
        return np.where(features > 0.3, np.float32(np.inf), features)


class Failing(FakeEmbedder):
    """Fails on loud clips."""

    def embed_samples(self, samples: NDArray[np.float32], sample_rate: int) -> NDArray[np.float32]:
        if np.abs(samples).mean() > 0.3:
            raise ArithmeticError("too\nloud")
        return super().embed_samples(samples, sample_rate)


class OnGpu(FakeEmbedder):
    """Says that it computes on a GPU, whose driver takes address space as it likes."""

    def __init__(self) -> None:
        super().__init__()
        self.provenance |= {"device": "cuda"}


class Hoarding(FakeEmbedder):
    """Keeps 60 MB for each clip."""

    def __init__(self) -> None:
        super().__init__()
        self._kept: list[NDArray[np.float64]] = []

    def embed_samples(self, samples: NDArray[np.float32], sample_rate: int) -> NDArray[np.float32]:
        self._kept.append(np.ones(60_000_000 // 8))
        return super().embed_samples(samples, sample_rate)


class Stuck(FakeEmbedder):
    """Never ends with loud clips."""

    def embed_samples(self, samples: NDArray[np.float32], sample_rate: int) -> NDArray[np.float32]:
        if np.abs(samples).mean() > 0.3:
            time.sleep(600)
        return super().embed_samples(samples, sample_rate)


def refuse() -> FakeEmbedder:
    """A loader with a mistake of the user's."""
    raise UserError("weights not found: nowhere.h5")


def break_down() -> FakeEmbedder:
    """A loader with a mistake of ours."""
    raise KeyError("layer 3")


@dataclass(frozen=True)
class OddDecoders:
    """A loader in a process whose decoders crash on `crash*`, once on `once*`, and hang on `hang*`."""

    folder: Path

    def __call__(self) -> FakeEmbedder:
        def stream_sound(path: Path, *rest: Any) -> tuple[Iterator[NDArray[np.float32]], int]:
            mark = self.folder / f"{path.stem}.crashed"
            if path.stem.startswith("crash") or (path.stem.startswith("once") and not mark.exists()):
                mark.touch()
                signal.raise_signal(signal.SIGSEGV)  # in this thread: os.kill lets it go on for a moment
            if path.stem.startswith("hang"):
                time.sleep(60)
            return decode(path, *rest)

        setattr(clip_module, "stream_sound", stream_sound)  # noqa: B010
        return FakeEmbedder()


@dataclass(frozen=True)
class Endless:
    """A loader whose embedder never ends; it leaves the worker's process id in a file."""

    file: Path

    def __call__(self) -> FakeEmbedder:
        write_atomically(self.file, str(os.getpid()).encode())
        time.sleep(600)
        return FakeEmbedder()


@dataclass(frozen=True)
class Pausing:
    """A loader whose embedder, given a block of sound, writes its process id to `begun` and waits for `told`."""

    begun: Path
    told: Path

    def __call__(self) -> FakeEmbedder:
        return _Blocks(self)


class _Blocks(FakeEmbedder):
    def __init__(self, files: Pausing) -> None:
        super().__init__()
        self.files = files

    def embed_audio(self, blocks: Iterable[NDArray[np.float32]], sample_rate: int) -> NDArray[np.float32]:
        collected = []
        for block in blocks:
            write_atomically(self.files.begun, str(os.getpid()).encode())
            while not self.files.told.exists():
                time.sleep(0.02)
            collected.append(block)
        return super().embed_audio(collected, sample_rate)


@dataclass(frozen=True)
class FullDisk:
    """A loader in a process that cannot write files of more than `n_bytes`."""

    n_bytes: int

    def __call__(self) -> FakeEmbedder:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (self.n_bytes, self.n_bytes))
        return FakeEmbedder()


@dataclass(frozen=True)
class KillAtRename:
    """Ends a process and `also` its parent, before or after it renames the file called `name`.

    As a loader it does so to a worker and its driver; `arm` does it to the process that calls it.
    """

    name: str
    before: bool
    also_parent: bool = False

    def __call__(self) -> FakeEmbedder:
        self.arm()
        return FakeEmbedder()

    def arm(self) -> None:
        """From now on."""
        rename = os.replace

        def replace(source: Path, target: Path) -> None:
            if not self.before:
                rename(source, target)
            if Path(target).name == self.name:
                if self.also_parent:
                    os.kill(os.getppid(), signal.SIGKILL)
                os.kill(os.getpid(), signal.SIGKILL)
            if self.before:
                rename(source, target)

        os.replace = replace  # type: ignore[assignment]
