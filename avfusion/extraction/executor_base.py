"""What every executor of an extraction is, and what it runs with."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from avfusion.extraction.parts_storage import PartsStorage
from avfusion.extraction.pool import Outcome
from avfusion.extraction.worker import Task

if TYPE_CHECKING:
    from avfusion.embedders import Embedder


class Executor(Protocol):
    """Runs the tasks of one extraction."""

    def provenance(self) -> dict[str, Any]:
        """What the embedder says of itself where it will run; UserError or RuntimeError if it cannot be loaded."""
        ...

    def run(self, tasks: Iterable[Task], storage: PartsStorage) -> Iterator[Outcome]:
        """The outcome of each task, as they come; its part is in `storage` if `written`."""
        ...

    def pack(self, work: Callable[[], None]) -> None:
        """Calls `work`, which makes the store of the parts when `run` is through."""
        ...


@dataclass(frozen=True)
class Means:
    """With what an extraction runs.

    Attributes:
        workers: how many run the network at the same time; None for as many as there is room for.
        n_clips: as many workers at most.
        threads: of each of them.
        timeout: seconds that decoding one clip may take.
        address: of a cluster, or None.
        on_cpu: makes the embedder without a GPU, to prepare clips for workers that have one.
    """

    workers: int | None
    n_clips: int
    threads: int
    timeout: float
    address: str | None
    on_cpu: "Callable[[], Embedder]"
