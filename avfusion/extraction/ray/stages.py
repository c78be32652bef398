"""What Ray runs on a cluster: `prepare` decodes and prepares clips, `Network` embeds them and writes the parts.

Both take an Arrow table with the columns of `SCHEMA`, a row per clip, and return one that says what became of them.
A clip that raises does not disturb others: its row says why it cannot be used.
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
"""States of a row: the clip waits for the next stage; its part is stored; no worker can go on, as `reason` says."""


class Row(NamedTuple):
    """One clip between two stages: a row of `SCHEMA`.

    `audio` and `video` are paths or None; `prepared` is a pickled `Prepared`, or b"" where there is none.
    """

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
    """The embedder of one process, guarded against clips that hang, crash or take too much memory."""

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
        """Works on the clip of a row that waits; returns the row with its new state.

        `attempt` gets the task, and the context manager to enter around each piece of decoding. It returns a part,
        which is stored, or a row for the next stage.
        """
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
        """Reads and embeds a clip."""
        return extract_clip(self.embedder, task, self.work.settings, decoding)

    def prepare(self, row: Row, task: Task, decoding: Any) -> Part | Row:
        """Reads a clip and prepares it for the network: a row with it, or a part if it cannot be used.

        The row of a clip that is too long to be prepared at once, and of an embedder that cannot be split, stays as it
        is: `Network` does all of it.
        """
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
    """The last stage, a Ray actor: loads the embedder once, and stores the parts of clips, prepared or not."""

    def __init__(self, work: Work) -> None:
        self._worker = Worker(work)

    def __call__(self, table: pa.Table) -> pa.Table:
        """The rows with their last states, and nothing prepared left in them."""
        return as_table([self._worker.take(row, partial(self._embed, row)) for row in as_rows(table)])

    def _embed(self, row: Row, task: Task, decoding: Any) -> Part:
        if not len(row.prepared):
            return self._worker.features(task, decoding)
        prepared: Prepared = pickle.loads(row.prepared)
        assert isinstance(self._worker.embedder, SplitEmbedder)
        return embed_prepared(self._worker.embedder, prepared)


_kept: dict[str, Worker] = {}


def prepare(table: pa.Table, work: Work) -> pa.Table:
    """The first stage, a Ray task: rows with prepared clips. Its process keeps the embedder for its next task."""
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
