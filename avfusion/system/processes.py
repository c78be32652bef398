"""Worker processes: how they start, share out work and end, and that none stays behind; how many cores there are."""

import logging
import multiprocessing
import os
import pickle
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import parent_process
from multiprocessing.connection import wait
from multiprocessing.context import BaseContext, ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from queue import SimpleQueue
from traceback import format_exc
from typing import TYPE_CHECKING, Any, TypeVar

from avfusion.errors import UserError

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

Item = TypeVar("Item")
Answer = TypeVar("Answer")

ATTEMPTS = 3
"""How often one item may end its process before it is given up."""

_log = logging.getLogger(__name__)


def training_processes(*modules: str) -> SpawnContext | ForkServerContext:
    """Makes processes that are forked from one that has imported `modules` and done nothing else.

    So they start at once, as often as needed. Where a system cannot do that, each imports for itself.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    # The last is what torch's optimisers import, for seconds, when the first of them is made.
    context.set_forkserver_preload([*modules, "torch._dynamo"])
    return context


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Worker:
    """A process at the other end of a pipe, which lives no longer than the one that started it.

    It does not hear Ctrl-C nor the end of the terminal's session: those reach the whole group, and it is for the
    parent to answer. SIGTERM ends it at once, unless `work` sets a handler; so does the end of its parent.
    """

    def __init__(self, context: BaseContext, work: Callable[..., None], *arguments: object) -> None:
        """Starts a process of `context` that calls `work(connection, *arguments)`."""
        self.connection: Connection[Any, Any]
        self.connection, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(  # type: ignore[attr-defined]
            target=_live, args=(work, theirs, arguments), daemon=True
        )
        with _deaf():
            self.process.start()
        theirs.close()  # so that ours ends when the process does

    def end(self, grace: float = 0.0) -> str:
        """Kills the process after `grace` seconds in which it may end itself; says how it ended."""
        self.process.join(grace)
        self.process.kill()
        self.process.join()
        self.connection.close()
        code = self.process.exitcode or 0
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"


@contextmanager
def _deaf() -> Iterator[None]:
    """Processes that are started inside never hear Ctrl-C, not even before their first line of Python.

    What comes meanwhile is heard afterwards.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _live(work: Callable[..., None], connection: "Connection[Any, Any]", arguments: Sequence[object]) -> None:
    """The whole life of a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # for systems where `_deaf` does nothing
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a forked one has its parent's
    threading.Thread(target=_end_with_parent, daemon=True).start()
    work(connection, *arguments)


def _end_with_parent() -> None:
    """As soon as the parent ends, however it does: as if it had terminated this process."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)


def spread(
    function: Callable[[Item], Answer], items: Sequence[Item], workers: int, context: BaseContext
) -> Iterator[Answer]:
    """`function` of each of `items`, in their order, by up to `workers` processes of `context`.

    A process that is killed costs the item that it had in hand, which is tried again in another. Nothing but pipes is
    used, so that neither semaphores nor shared memory must be had. Processes work ahead while the caller is busy, and
    end with the iterator.

    Raises:
        UserError: that of `function`, or an item has ended its process three times.
        RuntimeError: `function` raised anything else; holds the traceback.
    """
    crew = _Crew(function, items, context)
    threads = [threading.Thread(target=crew.work, daemon=True) for _ in range(min(workers, len(items)))]
    try:
        for thread in threads:
            thread.start()
        for outcome in crew.outcomes():
            if outcome.error is not None:
                raise outcome.error
            yield outcome.answer
    finally:
        crew.stop()
        for thread in threads:
            thread.join()


@dataclass(frozen=True)
class _Outcome:
    """What `function` returned or raised."""

    answer: Any = None
    error: Exception | None = None


class _Crew:
    """The processes of `spread`, each in the care of a thread."""

    def __init__(self, function: Callable[[Any], Any], items: Sequence[Any], context: BaseContext) -> None:
        self._function, self._items, self._context = function, items, context
        self._waiting = deque(range(len(items)))
        self._arrived: SimpleQueue[tuple[int, _Outcome]] = SimpleQueue()
        self._workers: list[Worker] = []
        self._stopped = False

    def outcomes(self) -> Iterator[_Outcome]:
        """One for each item, in their order."""
        early: dict[int, _Outcome] = {}
        for number in range(len(self._items)):
            while number not in early:
                arrived, outcome = self._arrived.get()
                early[arrived] = outcome
            yield early.pop(number)

    def stop(self) -> None:
        """Kill the processes; their threads end then."""
        self._stopped = True  # before looking who is there: a thread looks at it after starting one
        for worker in list(self._workers):
            worker.process.kill()

    def work(self) -> None:
        """A thread's life: one item after the other, each until there is an outcome."""
        worker: Worker | None = None
        while self._waiting and not self._stopped:
            try:
                number = self._waiting.popleft()
            except IndexError:  # another thread was faster
                break
            try:
                worker, outcome = self._outcome(worker, self._items[number])
            except Exception as error:  # else the caller would wait for ever
                outcome = _Outcome(error=error)
            self._arrived.put((number, outcome))
        if worker is not None:
            worker.end()

    def _outcome(self, worker: Worker | None, item: Any) -> tuple[Worker | None, _Outcome]:
        """What became of `item`, and the process that can take the next."""
        how = ""
        for _ in range(ATTEMPTS):
            if worker is None:
                worker = Worker(self._context, _serve, self._function)
                self._workers.append(worker)
            if self._stopped:
                worker.process.kill()
            try:
                worker.connection.send_bytes(pickle.dumps(item))
                return worker, pickle.loads(worker.connection.recv_bytes())
            except (EOFError, OSError):
                self._workers.remove(worker)
                how, worker = worker.end(grace=5.0), None
            if self._stopped or not threading.main_thread().is_alive():  # the program ends
                break
            _log.warning("a worker process ended (%s); what it had in hand is tried again", how)
        often = f"{item} ended its process {ATTEMPTS} times, the last with {how}"
        return None, _Outcome(error=UserError(f"{often}; if memory ran out, take fewer workers"))


def _serve(connection: "Connection[Any, Any]", function: Callable[[Any], Any]) -> None:
    """A process's life: an `_Outcome` for each item that comes.

    Plainly pickled: torch would hand over tensors as shared memory that goes when this process is killed.
    """
    with suppress(EOFError, OSError):  # nobody is there any more
        while True:
            connection.send_bytes(_done(function, pickle.loads(connection.recv_bytes())))


def _done(function: Callable[[Any], Any], item: Any) -> bytes:
    try:
        return pickle.dumps(_Outcome(function(item)))
    except UserError as error:
        return pickle.dumps(_Outcome(error=error))
    except Exception:  # some cannot be pickled, and none brings its traceback along
        return pickle.dumps(_Outcome(error=RuntimeError(f"a worker process failed:\n{format_exc()}")))
