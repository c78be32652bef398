"""How much memory one clip may take in a worker process, so that a clip that asks for more fails alone."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING

from avfusion.media.container import one_line
from avfusion.system.memory import MemoryLimit, too_large

if TYPE_CHECKING:
    from avfusion.embedders import Embedder


class ClipMemory:
    """Limits a process to what it has once its embedder is loaded and the GiB of `avfusion.system.memory` on top.

    An embedder on a processor is limited together with the decoding. The driver of a GPU takes address space as it
    likes, so there only the decoding is limited, piece by piece.
    """

    def __init__(self, embedder: "Embedder") -> None:
        """Make it after the embedder is loaded, in the same process."""
        self._whole = embedder.provenance.get("device", "cpu") == "cpu"
        self._limit = MemoryLimit()

    @property
    def worn(self) -> bool:
        """Whether past clips keep so much memory that too little is left for others: end the process then."""
        return self._whole and self._limit.worn

    @contextmanager
    def around(self, clock: AbstractContextManager[object]) -> Iterator[AbstractContextManager[object]]:
        """A block for work on one clip; yields the context manager to enter around each piece of its decoding.

        `clock` measures decoding, and is entered there too.
        """
        if self._whole:
            with self._limit:
                yield clock
        else:
            yield _LimitedDecoding(clock)


class _LimitedDecoding:
    """Times a piece of decoding, and limits what it adds."""

    def __init__(self, clock: AbstractContextManager[object]) -> None:
        self._clock = clock
        self._entered = ExitStack()

    def __enter__(self) -> None:
        self._entered.enter_context(self._clock)
        self._entered.enter_context(MemoryLimit())

    def __exit__(self, *_: object) -> None:
        self._entered.close()


def complaint(error: Exception) -> str:
    """Why a clip cannot be used whose embedder raised `error`, in one line."""
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):  # torch raises RuntimeError
        return too_large()
    return f"the embedder failed: {one_line(error)}"
