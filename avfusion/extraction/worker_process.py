"""A worker process as its owner sees it: how it is started, with how many threads, and how it is given a clip.

What runs inside it is `worker`.
"""

import multiprocessing
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.context import ForkContext, SpawnContext
from multiprocessing.sharedctypes import RawArray
from pathlib import Path
from types import ModuleType
from typing import Any

from avfusion.errors import UserError
from avfusion.extraction.parts_storage import PartsStorage
from avfusion.extraction.settings import Settings
from avfusion.extraction.worker import DecodeClock, Task, work
from avfusion.system.processes import Worker

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
# A forked copy of a process with threads (torch, the progress bar) may deadlock.
CONTEXT: SpawnContext | ForkContext = multiprocessing.get_context("spawn")


class WorkerProcess(Worker):
    """A worker process, with the task that it works on."""

    def __init__(self, settings: Settings) -> None:
        cells = _shared_cells()
        self.clock = DecodeClock(cells)
        with _threads(settings.threads), _without_main():
            super().__init__(CONTEXT, work, cells, settings)
        self.ready = False
        self.task: Task | None = None

    def give(self, task: Task, storage: PartsStorage) -> None:
        """Hands over a task, whose part goes to `storage`."""
        self.task = task
        self.clock.reset()
        with suppress(OSError):  # it died while idle: reading from it will say so
            self.connection.send((task, storage))


def _shared_cells() -> Any:
    """The cells of a clock, in memory that a worker shares."""
    try:
        return RawArray("d", DecodeClock.N_CELLS)
    except OSError as error:
        folder = Path(error.filename or "/dev/shm/file").parent
        raise UserError(
            f"processes cannot share memory: {folder}: {error.strerror}; make it writable (docker run --tmpfs {folder})"
        ) from error


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """A process started inside uses `count` threads: numeric libraries read these variables when they are loaded."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(count)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _without_main() -> Iterator[None]:
    """A child started inside does not import the program's main module again.

    `spawn` would do so for functions defined there; in ours it would load a tracking client and
    more into every worker: seconds, and hundreds of megabytes.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
