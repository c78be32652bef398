"""Features of clips that nobody knows yet: decoded in processes that may hang, crash or be replaced."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from threading import Lock
from typing import Any

from avfusion.extraction.clip import NO_FILE
from avfusion.extraction.pool import WorkerPool
from avfusion.extraction.worker import Settings, Task
from avfusion.features.parts import Part, part_name, read_part
from avfusion.media import DEFAULT_LIMITS, Limits
from avfusion.prediction.clips import Query
from avfusion.prediction.embedding import load_same


class Extractor:
    """Worker processes that hold the embedder of a model's features. Use it as a context manager.

    Files are decoded under the limits of extraction; a clip that takes more than `timeout` seconds of decoding, or ends
    its process twice, is given up.
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
        self._folder = tempfile.TemporaryDirectory(prefix="avfusion-")
        load = partial(load_same, dict(embedder), weights, device)
        settings = Settings(load, Path(self._folder.name), "any", limits)
        self._pool = WorkerPool(settings, workers, threads=threads, timeout=timeout)
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
        self._pool.__exit__()
        self._folder.cleanup()

    def parts(self, queries: Sequence[Query], modalities: Sequence[str]) -> Iterator[tuple[int, Part]]:
        """Position and features of each query, as they come; only `modalities` are read."""
        first, self._n_asked = self._n_asked, self._n_asked + len(queries)
        tasks = []
        for number, query in enumerate(queries, first):
            audio, video = (getattr(query, name) if name in modalities else None for name in ("audio", "video"))
            tasks.append(Task(number, query.id, audio, video))
        for outcome in self._pool.run(tasks):
            yield outcome.task.index - first, self._part(outcome.task, outcome.reason, written=outcome.written)

    def _part(self, task: Task, reason: str, *, written: bool) -> Part:
        if not written:
            return Part(task.clip_id, reason=reason)
        folder = Path(self._folder.name)
        part = read_part(folder, task.index, task.clip_id)
        (folder / part_name(task.index)).unlink()
        return part


def missing_in_words(part: Part) -> str:
    """What a part says of damage and of missing modalities, without those that nobody asked for."""
    said = (part.note or part.reason).split("; ")
    return "; ".join(line for line in said if line != NO_FILE)


class SharedExtractors:
    """Up to `limit` extractors of one process each, started when needed, for callers in several threads."""

    def __init__(self, limit: int, **options: Any) -> None:
        """`options` are those of `Extractor`."""
        self._options = options
        self._free: SimpleQueue[Extractor | None] = SimpleQueue()
        self._starting = Lock()
        for _ in range(limit):
            self._free.put(None)

    @property
    def free(self) -> int:
        """How many callers need not wait."""
        return self._free.qsize()

    def part(self, query: Query, modalities: Sequence[str]) -> Part:
        """The features of one clip; waits until an extractor is free."""
        extractor = self._free.get()
        try:
            if extractor is None:
                with self._starting:  # one at a time: a start changes the process's environment
                    extractor = Extractor(workers=1, **self._options)
            ((_, part),) = extractor.parts([query], modalities)
            return part
        except BaseException:
            if extractor is not None:
                extractor.close()
            extractor = None
            raise
        finally:
            self._free.put(extractor)
