"""Worker processes that may crash, hang or be replaced without losing the others' work.

`concurrent.futures` gives up the whole pool when one process dies, and cannot end one that hangs;
decoders of damaged files do both.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from multiprocessing.connection import wait
from typing import Any, NamedTuple

from avfusion.errors import UserError
from avfusion.extraction.parts_storage import PartsStorage
from avfusion.extraction.settings import Settings
from avfusion.extraction.worker import UNWANTED, Done, Ready, Stopped, Task
from avfusion.extraction.worker_process import WorkerProcess
from avfusion.system.memory import gigabytes

_LOOK_EVERY = 0.25  # seconds between two looks at the clocks


class Outcome(NamedTuple):
    """What became of a task.

    Attributes:
        task: the clip.
        reason: "" or why the clip cannot be used.
        written: whether its part is stored; not if the worker was lost, so that the caller has to write it.
    """

    task: Task
    reason: str
    written: bool


class WorkerPool(AbstractContextManager["WorkerPool"]):
    """Runs tasks in worker processes of this machine; an `Executor`. Use it as a context manager."""

    def __init__(self, settings: Settings, count: int) -> None:
        """Starts `count` processes.

        Raises:
            UserError: the setting of a clip's memory makes no sense (see `avfusion.system.memory`).
        """
        gigabytes()
        self._settings, self._count = settings, count
        self._workers: list[WorkerProcess] = []
        self._provenance: dict[str, Any] | None = None
        self._fill(count)

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the processes; a second call does nothing."""
        for worker in self._workers:
            worker.end()
        self._workers.clear()

    def pack(self, work: Callable[[], None]) -> None:
        """Ends the processes, whose memory nobody needs any more, and calls `work` in this one."""
        self.close()
        work()

    def provenance(self) -> dict[str, Any]:
        """The embedder's provenance; waits until a worker has loaded it.

        Raises:
            UserError: it cannot be loaded, and the user can mend that.
            RuntimeError: it cannot be loaded.
        """
        while self._provenance is None:
            for worker in self._heard():
                self._receive(worker)
        return self._provenance

    def run(
        self,
        tasks: Iterable[Task],
        storage: PartsStorage,
        within: float = math.inf,
        unwanted: Callable[[], bool] = lambda: False,
    ) -> Iterator[Outcome]:
        """The outcome of each task, in the order in which they end; the worker writes its part to `storage`.

        A worker that dies is replaced and its task tried once more: the first death may have come
        from outside (memory ran out, the session ended).

        Args:
            tasks: the clips.
            storage: of the parts.
            within: seconds for all of them; what is not done then is given up.
            unwanted: whether nobody wants the outcomes any more; then tasks end at the next piece of their decoding.

        Raises:
            UserError: a worker cannot write.
            RuntimeError: the embedder cannot be loaded any more.
        """
        waiting = deque(tasks)
        tried: set[int] = set()
        until = time.monotonic() + within
        while waiting or any(worker.task for worker in self._workers):
            if time.monotonic() > until:
                yield from self._end_all(waiting, f"decoding and embedding took more than {within:g} s")
                return
            if unwanted():
                yield from (Outcome(task, UNWANTED, written=False) for task in waiting)
                waiting.clear()
                for worker in self._workers:
                    worker.clock.give_up()
            self._fill(len(waiting))
            for worker in self._workers:
                if worker.ready and worker.task is None and waiting:
                    worker.give(waiting.popleft(), storage)
            for worker in self._heard():
                yield from self._outcome(worker, waiting, tried)
            yield from self._late()

    def _outcome(self, worker: WorkerProcess, waiting: deque[Task], tried: set[int]) -> Iterator[Outcome]:
        """The outcome that a worker reports, if it does; a task whose worker died for the first time waits again."""
        task = worker.task
        message = self._receive(worker)
        if task is None or isinstance(message, Ready):
            return
        if isinstance(message, Done):
            yield Outcome(task, message.reason, written=True)
        elif task.index in tried:
            yield Outcome(task, f"decoding ended the process ({message})", written=False)
        else:
            tried.add(task.index)
            waiting.append(task)

    def _late(self) -> Iterator[Outcome]:
        """Ends the workers whose decoding takes longer than the timeout; their tasks are given up."""
        timeout = self._settings.timeout
        for worker in list(self._workers):
            if worker.task is not None and worker.clock.spent() > timeout and not worker.connection.poll():
                self._remove(worker, grace=0.0)
                yield Outcome(worker.task, f"decoding took more than {timeout:g} s", written=False)

    def _end_all(self, waiting: Iterable[Task], reason: str) -> Iterator[Outcome]:
        """Gives up all tasks: ends the workers that have one, and starts others for the tasks of later calls."""
        tasks = list(waiting)
        for worker in list(self._workers):
            if worker.task is not None:
                tasks.append(worker.task)
                self._remove(worker, grace=0.0)
        self._fill(self._count)
        yield from (Outcome(task, reason, written=False) for task in tasks)

    def _heard(self) -> list[WorkerProcess]:
        """The workers that have something to say or have died, after a short wait for one."""
        ready = wait([worker.connection for worker in self._workers], timeout=_LOOK_EVERY)
        return [worker for worker in self._workers if worker.connection in ready]

    def _receive(self, worker: WorkerProcess) -> Done | Ready | str:
        """One message of a worker; if it has died, how it ended, as text."""
        try:
            message: Done | Ready | Stopped = worker.connection.recv()
        except (EOFError, OSError):
            ended = self._remove(worker, grace=5.0)
            if not worker.ready:
                raise RuntimeError(f"a worker process ended while it loaded the embedder ({ended})") from None
            return ended
        if isinstance(message, Stopped):
            raise UserError(message.message) if message.mendable else RuntimeError(message.message)
        if isinstance(message, Ready):
            worker.ready = True
            self._provenance = self._provenance or message.provenance
        else:
            worker.task = None
        return message

    def _remove(self, worker: WorkerProcess, grace: float) -> str:
        self._workers.remove(worker)
        return worker.end(grace)

    def _fill(self, wanted: int) -> None:
        """Starts processes in place of those that were lost, but no more than are `wanted`."""
        n_busy = sum(worker.task is not None for worker in self._workers)
        while len(self._workers) < min(self._count, wanted + n_busy):
            self._workers.append(WorkerProcess(self._settings))
