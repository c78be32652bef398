"""The C library's allocator, set for programs that free and take the same large tensors again and again."""

import ctypes
from functools import lru_cache

# Names of glibc's malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4


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
