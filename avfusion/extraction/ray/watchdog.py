"""Ends a worker process whose decoder hangs, after it has written down why."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from avfusion.extraction.worker import DecodeClock, Task

_LOOK_EVERY = 0.25  # seconds between two looks at the clock


class Watchdog:
    """A thread beside the one that decodes.

    FFmpeg is called without Python's global lock, so the thread runs while a decoder hangs.
    """

    def __init__(self, timeout: float, give_up: Callable[[Task, str], None]) -> None:
        """`give_up` writes down that a clip was given up, with the reason, before the process ends."""
        self.clock = DecodeClock([0.0] * DecodeClock.N_CELLS)
        self._timeout, self._give_up = timeout, give_up
        self._lock = threading.Lock()
        self._task: Task | None = None
        threading.Thread(target=self._look, daemon=True).start()

    @contextmanager
    def watching(self, task: Task) -> Iterator[DecodeClock]:
        """Inside, decoding timed by the clock may take `timeout` seconds."""
        self.clock.reset()
        self._task = task
        try:
            yield self.clock
        finally:
            with self._lock:  # not while the process is being ended because of this clip
                self._task = None

    def _look(self) -> None:
        pause = threading.Event()
        while not pause.wait(_LOOK_EVERY):
            with self._lock:
                if self._task is not None and self.clock.spent() > self._timeout:
                    self._give_up(self._task, f"decoding took more than {self._timeout:g} s")
                    os._exit(1)
