"""Who does the work of an extraction: processes of this machine, or a Ray cluster."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol

from avfusion.errors import UserError
from avfusion.extraction.parts_storage import PartsStorage
from avfusion.extraction.pool import Outcome, WorkerPool
from avfusion.extraction.settings import Settings
from avfusion.extraction.worker import Task
from avfusion.system.processes import available_cores


class Executor(Protocol):
    """Runs the tasks of one extraction; `WorkerPool` and `RayExecutor` are the two."""

    def provenance(self) -> dict[str, Any]:
        """The provenance of the embedder, as loaded by a worker; UserError or RuntimeError if it cannot be loaded."""
        ...

    def run(self, tasks: Iterable[Task], storage: PartsStorage) -> Iterator[Outcome]:
        """The outcome of each task, in the order in which they end; its part is in `storage` if `written`."""
        ...

    def pack(self, work: Callable[[], None]) -> None:
        """Calls `work`, which makes the store of the parts, once `run` is through."""
        ...


def open_executor(settings: Settings, most: int) -> AbstractContextManager[Executor]:
    """The executor that `settings` name, for a `with` block; local ones have at most `most` processes.

    Raises:
        UserError: it is not installed, or its cluster does not answer.
    """
    if settings.executor == "local":
        return WorkerPool(settings, min(settings.workers or available_cores(), most))
    try:
        from avfusion.extraction.ray.executor import RayExecutor
    except ImportError as error:
        raise UserError(f"executor=ray needs Ray ({error}): pip install -e '.[ray]' in avfusion's clone") from None
    return RayExecutor(settings)
