"""Who does the work of an extraction: processes of this machine, or a Ray cluster.

A new executor is an `Opener` with an entry in `EXECUTORS`.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from avfusion.errors import UserError, unknown
from avfusion.extraction.executor_base import Executor, Means
from avfusion.extraction.parts_storage import PartsStorage
from avfusion.extraction.pool import Outcome, WorkerPool
from avfusion.extraction.worker import Settings, Task
from avfusion.system.processes import available_cores

Opener = Callable[[Settings, Means], AbstractContextManager[Executor]]


class LocalExecutor:
    """Processes of this machine, which write into `Settings.parts`. Use it as a context manager."""

    def __init__(self, settings: Settings, means: Means) -> None:
        count = min(means.workers or available_cores(), means.n_clips)
        self._pool = WorkerPool(settings, count, threads=means.threads, timeout=means.timeout)

    def __enter__(self) -> "LocalExecutor":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.__exit__()

    def provenance(self) -> dict[str, Any]:
        """See `Executor`."""
        return dict(self._pool.provenance())

    def run(self, tasks: Iterable[Task], storage: PartsStorage) -> Iterator[Outcome]:
        """See `Executor`; `storage` is the folder of the settings."""
        return self._pool.run(tasks)

    def pack(self, work: Callable[[], None]) -> None:
        """Packs here, after the workers have ended: nobody needs their memory any more."""
        self._pool.__exit__()
        work()


def _open_ray(settings: Settings, means: Means) -> AbstractContextManager[Executor]:
    try:
        from avfusion.extraction.ray.executor import RayExecutor
    except ImportError as error:
        raise UserError(f"executor=ray needs Ray ({error}): pip install -e '.[ray]' in avfusion's clone") from None
    return RayExecutor(settings, means)


EXECUTORS: dict[str, Opener] = {"local": LocalExecutor, "ray": _open_ray}


def check_executor(name: str, address: str | None, parts: str | None) -> None:
    """Raises UserError for an unknown executor, and for options that only a cluster has."""
    if name not in EXECUTORS:
        raise unknown("executor", name, list(EXECUTORS))
    for option, value in (("address", address), ("parts", parts)):
        if name == "local" and value:
            raise UserError(f"{option}={value} is for a cluster: add executor=ray, or leave it out")


def open_executor(name: str, settings: Settings, means: Means) -> AbstractContextManager[Executor]:
    """The executor called `name`; UserError if it is not installed or its cluster does not answer."""
    return EXECUTORS[name](settings, means)
