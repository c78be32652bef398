"""A worker process: loads the embedder once, then turns clips into part files.

The process that started it sends tasks through a pipe and hears what became of them; features go straight to the
storage of the parts. A part is the file of one clip: its features, or why it has none.
"""

import time
from collections.abc import MutableSequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from avfusion.errors import UserError
from avfusion.extraction.clip import clip_features
from avfusion.extraction.clip_memory import ClipMemory, complaint
from avfusion.extraction.parts_storage import PartsStorage
from avfusion.extraction.settings import Settings
from avfusion.features.parts import Part
from avfusion.features.sources import sources_of
from avfusion.media import MediaError
from avfusion.media.container import one_line

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from avfusion.embedders import Embedder

UNWANTED = "nobody waits for it any more"
"""Why a clip was given up whose features nobody wants any more."""


@dataclass(frozen=True)
class Task:
    """One clip for a worker: its number in the dataset, its id, and its files, None for one that it does not have."""

    index: int
    clip_id: str
    audio: Path | None
    video: Path | None


class Ready(NamedTuple):
    """A worker's message: the embedder is loaded, and this is its provenance."""

    provenance: dict[str, Any]


class Done(NamedTuple):
    """A worker's message: the part of a clip is stored; `reason` is "" or why the clip cannot be used."""

    reason: str


class Stopped(NamedTuple):
    """A worker's last message: it cannot go on, and why; `mendable` if the user can do something about it."""

    message: str
    mendable: bool


class DecodeClock:
    """Seconds that the decoding of the current clip has taken, which another process can read.

    It is a context manager for each piece of decoding. Only decoding is timed: a decoder may hang, while an
    embedder may rightly need an hour for a long clip.
    """

    N_CELLS = 3

    def __init__(self, cells: MutableSequence[float]) -> None:
        """`cells` is shared memory of three floats: seconds so far; when the running piece began; 1 after `give_up`."""
        self._cells = cells

    def reset(self) -> None:
        """Starts at 0 s, for a new clip."""
        self._cells[0] = self._cells[1] = self._cells[2] = 0.0

    def give_up(self) -> None:
        """Makes the process that decodes raise a MediaError at the next piece of its clip."""
        self._cells[2] = 1.0

    def spent(self) -> float:
        """Seconds of decoding since `reset`."""
        so_far, began = self._cells[0], self._cells[1]
        return so_far + (time.monotonic() - began if began else 0.0)

    def __enter__(self) -> None:
        if self._cells[2]:
            raise MediaError(UNWANTED)
        self._cells[1] = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self._cells[0], self._cells[1] = self.spent(), 0.0


def work(connection: "Connection[Any, Any]", cells: MutableSequence[float], settings: Settings) -> None:
    """The process: says Ready, then Done for each (Task, PartsStorage) that comes; Stopped when it cannot go on."""
    with suppress(EOFError, ConnectionError):  # the driver was killed: there is nobody to tell
        _serve(connection, cells, settings)


def _serve(connection: "Connection[Any, Any]", cells: MutableSequence[float], settings: Settings) -> None:
    try:
        embedder = settings.load()
    except Exception as error:
        mendable = isinstance(error, UserError)
        connection.send(Stopped(str(error) if mendable else one_line(error), mendable))
        return
    connection.send(Ready(dict(embedder.provenance)))
    clock, memory = DecodeClock(cells), ClipMemory(embedder)
    while not memory.worn:  # else another process takes the place of this one
        task: Task
        storage: PartsStorage
        task, storage = connection.recv()
        clock.reset()
        with memory.around(clock) as decoding:
            part = _outcome(embedder, task, settings, decoding)
        try:
            storage.write(task.index, part)
        except OSError as error:
            connection.send(Stopped(storage.complaint(error), mendable=True))
            return
        connection.send(Done(part.reason))


def _outcome(embedder: "Embedder", task: Task, settings: Settings, decoding: AbstractContextManager[object]) -> Part:
    """The part of a clip; where the embedder raises, the part says so."""
    try:
        return extract_clip(embedder, task, settings, decoding)
    except Exception as error:  # one odd clip must not end a run of many hours
        return given_up(task, complaint(error))


def extract_clip(
    embedder: "Embedder", task: Task, settings: Settings, decoding: AbstractContextManager[object]
) -> Part:
    """The part of a clip: features, or why there are none, and the media that it was made of.

    `decoding` is entered around each piece of decoding. Raises whatever the embedder raises.
    """
    part = clip_features(
        embedder,
        task.clip_id,
        task.audio,
        task.video,
        required=settings.required,
        limits=settings.limits,
        decoding=decoding,
    )
    with decoding:
        return replace(part, sources=sources_of(task.audio, task.video))


def given_up(task: Task, reason: str) -> Part:
    """The part of a clip that cannot be used. Its files are not read again: they may have ended a process."""
    return Part(task.clip_id, reason=reason, sources=sources_of(task.audio, task.video, read=False))
