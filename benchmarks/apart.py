"""Functions in a process of their own, and how much memory they took."""

import multiprocessing
import re
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Self, TypeVar

Answer = TypeVar("Answer")


@dataclass
class Memory:
    """Peaks in MB over a process and its children, looked at every half second, shared pages counted once (PSS)."""

    own: float = 0.0
    """What only these processes hold."""
    files: float = 0.0
    """Mapped pages of files, which the page cache holds anyway."""

    def look(self, pid: int) -> None:
        """Take what the processes hold now into account."""
        sums = {"Pss_Anon": 0, "Pss_File": 0, "Pss_Shmem": 0}
        for member in _tree(pid):
            try:
                rollup = Path(f"/proc/{member}/smaps_rollup").read_text()
            except OSError:  # it has just ended
                continue
            for name in sums:
                sums[name] += sum(map(int, re.findall(rf"^{name}: +(\d+)", rollup, re.MULTILINE)))
        self.own = max(self.own, (sums["Pss_Anon"] + sums["Pss_Shmem"]) / 1e3)
        self.files = max(self.files, sums["Pss_File"] / 1e3)


def _tree(pid: int) -> list[int]:
    try:
        listed = [path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        return []
    return [pid, *(member for children in listed for child in children for member in _tree(int(child)))]


class Apart:
    """A process of its own that calls functions for us, while its memory is watched."""

    def __init__(self) -> None:
        self.memory = Memory()
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,))

    def __enter__(self) -> Self:
        self._process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join()

    def __call__(self, function: Callable[..., Answer], *arguments: object) -> Answer:
        """What `function` returns over there."""
        self._connection.send((function, arguments))
        while not self._connection.poll(0.5):
            self.memory.look(self._process.pid or 0)
            if not self._process.is_alive():
                raise RuntimeError(f"{function.__name__} ended with exit code {self._process.exitcode}")
        answer: Answer = self._connection.recv()
        return answer


def _serve(connection: Connection) -> None:
    while True:
        function, arguments = connection.recv()
        connection.send(function(*arguments))
