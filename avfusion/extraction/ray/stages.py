"""What runs on the cluster: decoding and preparation on CPUs, and the network, which writes the parts.

Blocks of rows go from stage to stage, as Arrow tables with the columns of `SCHEMA`: clips in, and out what became of
them. One clip's failure is its own: whatever a clip raises becomes its reason.
"""

import pickle
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import ray

from avfusion.embedders import SplitEmbedder
from avfusion.errors import UserError
from avfusion.extraction.clip_memory import ClipMemory, complaint
from avfusion.extraction.parts_storage import PartsStorage
from avfusion.extraction.prepared import Prepared, embed_prepared, prepare_clip
from avfusion.extraction.ray.watchdog import Watchdog
from avfusion.extraction.settings import Settings
from avfusion.extraction.worker import Task, extract_clip, given_up
from avfusion.features.parts import Part
from avfusion.features.sources import sources_of
from avfusion.media.container import one_line

ATTEMPTS = 3
"""How often a clip may end its worker. More than one machine's two: Ray frees memory by ending any worker."""

SCHEMA = pa.schema(
    [
        ("number", pa.int64()),
        ("clip_id", pa.string()),
        ("audio", pa.string()),
        ("video", pa.string()),
        ("state", pa.string()),
        ("reason", pa.string()),
        ("prepared", pa.large_binary()),
    ]
)
WAITING, DONE, STOPPED = "waiting", "done", "stopped"
"""States: nothing lasting was done; the part is written; the worker cannot go on, nor could any other."""


class Row(NamedTuple):
    """One clip between two stages; `audio` and `video` are paths or None, `prepared` is a pickled `Prepared` or b""."""

    number: int
    clip_id: str
    audio: str | None
    video: str | None
    state: str = WAITING
    reason: str = ""
    prepared: Any = b""

    @property
    def task(self) -> Task:
        """The clip as a task."""
        audio, video = (None if path is None else Path(path) for path in (self.audio, self.video))
        return Task(self.number, self.clip_id, audio, video)


@dataclass(frozen=True)
class Work:
    """What every worker of an extraction is given.

    `key` is another text for each extraction, `storage` takes the parts, and `ledger` is the actor of
    `avfusion.extraction.ray.ledger`.
    """

    key: str
    settings: Settings
    storage: PartsStorage
    ledger: Any


class Worker:
    """One process's embedder, with what guards it."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.trouble = ""
        self._watchdog = Watchdog(work.settings.timeout, self._give_up)
        self._node = ray.get_runtime_context().get_node_id()
        try:
            self.embedder = work.settings.load()
        except Exception as error:  # every clip would say the same: the driver hears it once
            self.trouble = str(error) if isinstance(error, UserError) else f"the embedder: {one_line(error)}"

    def take(self, row: Row, attempt: Callable[[Task, Any], Part | Row]) -> Row:
        """What `attempt` makes of the row, with what it enters to decode: another row, or a part, which is written."""
        if row.state != WAITING:
            return row
        if self.trouble:
            return self._stopped(row, self.trouble)
        try:
            if self.work.storage.has(row.number):  # a worker died after writing it, or was given up here
                return self._done(row, self.work.storage.read(row.number, row.clip_id))
            made = self._guarded(row, attempt)
            if isinstance(made, Part):
                self.work.storage.write(row.number, made)
        except UserError as error:
            return self._stopped(row, str(error))
        except OSError as error:
            return self._stopped(row, self.work.storage.complaint(error))
        self.work.ledger.end.remote(row.number)
        return self._done(row, made) if isinstance(made, Part) else made

    def _guarded(self, row: Row, attempt: Callable[[Task, Any], Part | Row]) -> Part | Row:
        lost = ray.get(self.work.ledger.begin.remote(row.number, self._node))
        if lost >= ATTEMPTS:
            return given_up(row.task, f"the clip ended its worker process {lost} times")
        try:
            # Made for each clip: Ray's own share of the address space grows with the blocks that it hands over.
            with self._watchdog.watching(row.task) as clock, ClipMemory(self.embedder).around(clock) as decoding:
                return attempt(row.task, decoding)
        except Exception as error:  # one odd clip must not end a run of many hours
            return given_up(row.task, complaint(error))

    def features(self, task: Task, decoding: Any) -> Part:
        """The whole way of a clip, in this process."""
        return extract_clip(self.embedder, task, self.work.settings, decoding)

    def prepare(self, row: Row, task: Task, decoding: Any) -> Part | Row:
        """The way to the network; a clip that it cannot take this way stays as it is."""
        if not isinstance(self.embedder, SplitEmbedder):
            return row
        made = prepare_clip(
            self.embedder, task.clip_id, task.audio, task.video,
            required=self.work.settings.required, limits=self.work.settings.limits, decoding=decoding,
        )  # fmt: skip
        if made is None:
            return row
        with decoding:
            made = replace(made, sources=sources_of(task.audio, task.video))
        if isinstance(made, Part):
            return made
        return row._replace(prepared=pickle.dumps(made, protocol=5))

    def _give_up(self, task: Task, reason: str) -> None:
        self.work.storage.write(task.index, given_up(task, reason))

    @staticmethod
    def _done(row: Row, part: Part) -> Row:
        return row._replace(state=DONE, reason=part.reason, prepared=b"")

    @staticmethod
    def _stopped(row: Row, reason: str) -> Row:
        return row._replace(state=STOPPED, reason=reason, prepared=b"")


class Network:
    """The actor: loads the embedder once, and turns rows, prepared or not, into parts."""

    def __init__(self, work: Work) -> None:
        self._worker = Worker(work)

    def __call__(self, table: pa.Table) -> pa.Table:
        """A table like the given one, with nothing prepared left in it."""
        return as_table([self._worker.take(row, partial(self._embed, row)) for row in as_rows(table)])

    def _embed(self, row: Row, task: Task, decoding: Any) -> Part:
        if not len(row.prepared):
            return self._worker.features(task, decoding)
        prepared: Prepared = pickle.loads(row.prepared)
        assert isinstance(self._worker.embedder, SplitEmbedder)
        return embed_prepared(self._worker.embedder, prepared)


_kept: dict[str, Worker] = {}


def prepare(table: pa.Table, work: Work) -> pa.Table:
    """The task before the actor; its process keeps the embedder for the next one."""
    if work.key not in _kept:
        _kept.clear()
        _kept[work.key] = Worker(work)
    worker = _kept[work.key]
    return as_table([worker.take(row, partial(worker.prepare, row)) for row in as_rows(table)])


def as_table(rows: list[Row]) -> pa.Table:
    """Rows as an Arrow table."""
    return pa.Table.from_pylist([row._asdict() for row in rows], schema=SCHEMA)


def as_rows(table: pa.Table) -> list[Row]:
    """The rows of a table; prepared clips are views of its memory, which no table can be made of."""
    rows = [Row(**row) for row in table.drop_columns(["prepared"]).to_pylist()]
    views = [value.as_buffer() for value in table.column("prepared")]
    return [row._replace(prepared=view) if view.size else row for row, view in zip(rows, views, strict=True)]
