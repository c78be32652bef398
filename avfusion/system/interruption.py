"""Being told to stop: Ctrl-C, SIGTERM, a closed terminal, or the end of the `mlflow run` that started a job."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))

GRACE = 60.0
"""Seconds for the clean-up, after which the process ends without it: a tracking server may have gone away."""


class Interruption(KeyboardInterrupt):
    """A signal told the process to stop; whatever ends well on Ctrl-C does so on this."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def exit_code(interruption: KeyboardInterrupt) -> int:
    """What shells show for a process that a signal ended: 128 and its number."""
    return 128 + (interruption.number if isinstance(interruption, Interruption) else signal.SIGINT)


@contextmanager
def interruptible(*, parent: bool) -> Iterator[None]:
    """Inside, the first of `SIGNALS` raises `Interruption`; later ones do not disturb the clean-up.

    What was ignored from the start, as SIGHUP under `nohup`, stays so. With `parent`, the end of the parent process
    counts as SIGTERM: `mlflow run` ends at once by it and tells nobody.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread hears signals
        return
    watch = _Watch()
    heard = {number: signal.getsignal(number) for number in SIGNALS}
    heard = {number: handler for number, handler in heard.items() if handler is not signal.SIG_IGN}

    def interrupt(number: int, _: FrameType | None) -> None:
        for other in heard:
            signal.signal(other, signal.SIG_IGN)
        watch.interrupted_by = number
        raise Interruption(number)

    for number in heard:
        signal.signal(number, interrupt)
    threading.Thread(target=watch.look, args=(os.getppid() if parent else None,), daemon=True).start()
    try:
        yield
    finally:
        watch.over = True
        if not watch.interrupted_by:  # else the process is about to end, and `mlflow run` may send a second signal
            for number, handler in heard.items():
                signal.signal(number, handler)


@dataclass
class _Watch:
    """What a thread beside the job looks at. Plain values: a signal handler must not wait for a lock."""

    interrupted_by: int = 0
    over: bool = False
    pause: threading.Event = field(default_factory=threading.Event)
    """Never set; waiting for it leaves other threads alone."""

    def look(self, parent: int | None) -> None:
        """Interrupt when the process `parent` has ended; end this process when its clean-up takes too long."""
        while not self.interrupted_by:
            if self.over:
                return
            if parent is not None and os.getppid() != parent:
                os.kill(os.getpid(), signal.SIGTERM)
            self.pause.wait(0.5)
        self.pause.wait(GRACE)
        os._exit(128 + self.interrupted_by)
