"""Memory of this process: how much the reading of a foreign file may take, and memory kept for the next tensors.

A file of a few kilobytes can make the libraries that read it ask for any amount: tables that claim millions of
entries, streams that expand a thousandfold. So what reads one does it inside a `MemoryLimit`, where the system refuses
more; that is an error of this file, and nothing else.
"""

import ctypes
import math
import os
import sys
import threading
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from avfusion.errors import UserError

if sys.platform == "linux":
    import resource

VARIABLE = "AVFUSION_WORKER_GIGABYTES"
"""Environment variable: GiB that one file may take, a number above 0; `inf` for no limit."""

DEFAULT = 1.75
"""Measured: 8K video takes up to 1.0 (H.264, HEVC, VP9, AV1, five reference frames), 1.6 in 4:4:4 with 10 bits;
OpenL3 in float32 on a CPU 0.1."""

_STATISTICS = Path("/proc/self/statm")
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # of glibc's malloc.h


def gigabytes(environment: Mapping[str, str] = os.environ) -> float:
    """The limit in GiB; raises UserError for a setting that is no number above 0."""
    text = environment.get(VARIABLE, str(DEFAULT))
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not value > 0:
        raise UserError(f"{VARIABLE}={text}: expected GiB above 0, or inf for no limit")
    return value


def too_large() -> str:
    """What is said of a file that needed more."""
    return f"it needs more than {gigabytes():g} GiB of memory ({VARIABLE})"


class MemoryLimit:
    """Inside, this process may have `gigabytes()` more address space than when the object was made.

    Beyond that, memory is refused as if there were none: Python raises MemoryError, libraries fail or end the process.
    Address space is what Linux can limit, and is never less than the memory in use. Other systems have no limit.
    Where several are entered, in one thread or in many, the lowest is in force until all are left.
    """

    def __init__(self) -> None:
        self._start = _address_space()
        self._room = gigabytes() * 2**30
        self._on = sys.platform == "linux" and self._start > 0 and math.isfinite(self._room)

    @property
    def worn(self) -> bool:
        """Whether half of the room stays taken although nothing is being read."""
        return self._on and _address_space() - self._start > self._room / 2

    def __enter__(self) -> None:
        if self._on:
            _ENTERED.add(self._most)

    def __exit__(self, *_: object) -> None:
        if self._on:
            _ENTERED.remove(self._most)

    @property
    def _most(self) -> int:
        return int(self._start + self._room)


class _Entered:
    """The limits in force, in bytes of address space, and what this process was allowed before the first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._limits: list[int] = []
        self._before = (0, 0)

    def add(self, limit: int) -> None:
        with self._lock:
            if not self._limits:
                self._before = resource.getrlimit(resource.RLIMIT_AS)
            self._limits.append(limit)
            self._apply()

    def remove(self, limit: int) -> None:
        with self._lock:
            self._limits.remove(limit)
            self._apply()

    def _apply(self) -> None:
        soft, hard = self._before
        if self._limits:
            others = [limit for limit in self._before if limit != resource.RLIM_INFINITY]
            soft = min(*self._limits, *others, sys.maxsize)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


_ENTERED = _Entered()


def _address_space() -> int:
    """Bytes that this process has; 0 where the system does not say."""
    try:
        return int(_STATISTICS.read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


@lru_cache(maxsize=1)
def keep_freed_memory() -> None:
    """From now on this process keeps memory that it frees, for its next tensors.

    By default glibc gives a large tensor back to the system at once, and every page of the next one is zeroed and
    mapped again: a quarter of the time of an LSTM's training step here (benchmarks/README.md). Does nothing with
    other C libraries.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_MMAP_MAX, 0)
    mallopt(_TRIM_THRESHOLD, 2**31 - 1)
    mallopt(_TOP_PAD, 2**26)
