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
    """Peaks in MB over a process and its children, looked at every half second."""

    own: float = 0.0
    """What only these processes hold."""
    files: float = 0.0
    """Mapped pages of files, which the page cache holds anyway; of the process that has most of them."""

    def look(self, pid: int) -> None:
        """Take what the processes hold now into account: a cheap look, which stops none of them."""
        own, files = 0, [0]
        for member in _tree(pid):
            try:
                status = Path(f"/proc/{member}/status").read_text()
            except OSError:  # it has just ended
                continue
            kept = dict(re.findall(r"^Rss(Anon|File|Shmem):\s+(\d+)", status, re.MULTILINE))
            own += int(kept.get("Anon", 0)) + int(kept.get("Shmem", 0))
            files.append(int(kept.get("File", 0)))
        self.own, self.files = max(self.own, own / 1e3), max(self.files, max(files) / 1e3)


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
