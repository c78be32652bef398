"""Features of clips that nobody knows yet: decoded in processes that may hang, crash or be replaced."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from queue import Empty, SimpleQueue
from threading import Lock
from typing import Any

from avfusion.extraction.parts_storage import PartsFolder
from avfusion.extraction.pool import WorkerPool
from avfusion.extraction.settings import Settings
from avfusion.extraction.worker import Task
from avfusion.features import MODALITIES
from avfusion.features.parts import Part
from avfusion.media import DEFAULT_LIMITS, Limits
from avfusion.serving.embedding import load_same
from avfusion.serving.queries import Query
from avfusion.system.work_folder import WorkFolder

_LOOK_EVERY = 0.25  # seconds between two looks at whether a caller still waits


class Extractor:
    """Worker processes that hold the embedder of a model's features. Use it as a context manager.

    Files are decoded under the limits of extraction; a clip that takes more than `timeout` seconds of decoding, or ends
    its process twice, is given up.

    Attributes:
        folder: a folder for temporary files, which goes away with the extractor.
    """

    def __init__(
        self,
        embedder: Mapping[str, Any],
        *,
        weights: str,
        device: str,
        workers: int,
        timeout: float,
        threads: int = 1,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        """Starts the processes and waits until the embedder is loaded; raises `UserError` if it cannot be had."""
        self._work = WorkFolder()
        self.folder = self._work.path
        load = partial(load_same, dict(embedder), weights, device)
        settings = Settings(load, required="named", timeout=timeout, limits=limits, threads=threads)
        self._pool = WorkerPool(settings, workers)
        self._storage = PartsFolder(self.folder)
        self._n_asked = 0
        try:
            self._pool.provenance()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Extractor":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the processes and removes what they left."""
        self._pool.close()
        self._work.close()

    def parts(
        self,
        queries: Sequence[Query],
        modalities: Sequence[str],
        within: float = math.inf,
        unwanted: Callable[[], bool] = lambda: False,
    ) -> Iterator[tuple[int, Part]]:
        """Position and features of each query, as they come; only `modalities` are read.

        What is not there `within` these seconds, decoding and embedding together, is given up, and so is what is
        `unwanted` by now.
        """
        first, self._n_asked = self._n_asked, self._n_asked + len(queries)
        tasks = []
        for number, query in enumerate(queries, first):
            audio, video = (getattr(query, name) if name in modalities else None for name in MODALITIES)
            tasks.append(Task(number, query.id, audio, video))
        for outcome in self._pool.run(tasks, self._storage, within, unwanted):
            yield outcome.task.index - first, self._part(outcome.task, outcome.reason, written=outcome.written)

    def _part(self, task: Task, reason: str, *, written: bool) -> Part:
        if not written:
            return Part(task.clip_id, reason=reason)
        part = self._storage.read(task.index, task.clip_id)
        self._storage.remove(task.index)
        return part


class BusyError(Exception):
    """Nobody is free for a clip, and it cannot wait; the message is one line."""


class SharedExtractors:
    """Up to `limit` extractors of one process each, started when needed, for callers in several threads."""

    def __init__(self, limit: int, *, queue: int, patience: float, **options: Any) -> None:
        """Starts nothing yet.

        Args:
            limit: extractors.
            queue: callers that may wait for one.
            patience: seconds that a caller may wait.
            options: those of `Extractor`.
        """
        self._limit, self._queue, self._patience, self._options = limit, queue, patience, options
        self._free: SimpleQueue[Extractor | None] = SimpleQueue()
        self._starting, self._counting = Lock(), Lock()
        self.waiting = 0
        for _ in range(limit):
            self._free.put(None)

    @property
    def free(self) -> int:
        """How many callers need not wait."""
        return self._free.qsize()

    @contextmanager
    def one(self, unwanted: Callable[[], bool] = lambda: False) -> Iterator[Extractor]:
        """An extractor for this caller alone, as soon as one is free.

        Raises `BusyError` if too many wait already, if it takes too long, and if it is `unwanted` by now.
        """
        extractor = self._wait(unwanted)
        try:
            if extractor is None:
                with self._starting:  # one at a time: a start changes the process's environment
                    extractor = Extractor(workers=1, **self._options)
            yield extractor
        except BaseException:
            if extractor is not None:
                extractor.close()
            extractor = None
            raise
        finally:
            self._free.put(extractor)

    def close(self) -> None:
        """Ends every extractor as soon as it is free."""
        for _ in range(self._limit):
            extractor = self._free.get()
            if extractor is not None:
                extractor.close()

    def _wait(self, unwanted: Callable[[], bool]) -> Extractor | None:
        with self._counting:
            try:
                return self._free.get_nowait()
            except Empty:
                if self.waiting >= self._queue:
                    raise BusyError(f"{self.waiting} requests with clips wait already; try again later") from None
            self.waiting += 1
        try:
            until = time.monotonic() + self._patience
            while not unwanted() and time.monotonic() < until:
                with suppress(Empty):
                    return self._free.get(timeout=_LOOK_EVERY)
            raise BusyError(f"no worker for clips was free within {self._patience:g} s; try again later")
        finally:
            with self._counting:
                self.waiting -= 1
