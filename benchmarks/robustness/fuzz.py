"""A thousand damaged files of every kind: each is read, or refused in one line, in bounded memory and time.

    python -m benchmarks.robustness.fuzz [KIND [FIRST [END]]]

Kinds are those of tests/fuzz_targets.py. Each is read in a process of its own, and in another one after a crash.
"""

import faulthandler
import json
import logging
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from avfusion.system.processes import available_cores
from tests.fuzz_targets import TARGETS
from tests.fuzzing import LONGEST, Attempt, attempts

N_FILES = 1000
MOST = 2e9
"""Bytes of memory above what the healthy files took."""
_READER = "reader"  # first argument of the processes that read


def main(kinds: list[str], first: int, end: int) -> int:
    """Prints a line per kind, and what went wrong with which number; returns how often something did."""
    print(f"{'kind':24} files  read  refused  mistakes  crashes  MB more  seconds")
    with ThreadPoolExecutor(available_cores()) as threads:
        return sum(threads.map(partial(_fuzz, first=first, end=end), kinds))


def _fuzz(kind: str, first: int, end: int) -> int:
    started = time.monotonic()
    counts: Counter[str] = Counter()
    most = 0
    for attempt in _attempts(kind, first, end):
        wrong = attempt.mistake or (f"{attempt.rise / 1e6:.0f} MB" if attempt.rise > MOST else "")
        outcome = "crashes" if attempt.rise < 0 else "mistakes" if wrong else "refused" if attempt.line else "read"
        counts[outcome] += 1
        most = max(most, attempt.rise)
        if wrong:
            print(f"python -m benchmarks.robustness.fuzz {kind} {attempt.number}\n{wrong}", flush=True)
    numbers = [end - first, counts["read"], counts["refused"], counts["mistakes"]]
    numbers += [counts["crashes"], round(most / 1e6), round(time.monotonic() - started)]
    widths = (5, 5, 8, 9, 8, 8, 8)
    print(
        f"{kind:24} {' '.join(f'{number:{width}}' for number, width in zip(numbers, widths, strict=True))}", flush=True
    )
    return counts["mistakes"] + counts["crashes"]


def _attempts(kind: str, first: int, end: int) -> Iterator[Attempt]:
    """Those of other processes; for a file that ends its process, `rise` is -1."""
    while first < end:
        command = [sys.executable, "-m", "benchmarks.robustness.fuzz", _READER, kind, str(first), str(end)]
        with (
            tempfile.TemporaryFile("w+") as said,
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True) as reader,
        ):
            assert reader.stdout is not None
            for line in reader.stdout:
                if line.startswith("["):  # libraries may print, too
                    yield Attempt(*json.loads(line))
                    first += 1
            code = reader.wait()
            said.seek(0)
            if first < end:
                yield Attempt(first, mistake=f"exit code {code}\n{said.read()[-2000:]}", rise=-1)
                first += 1


def _read(kind: str, first: int, end: int) -> None:
    """Prints what becomes of each file; ends the process over one that hangs where Python cannot break in."""
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        for attempt in attempts(TARGETS[kind], range(first, end), Path(folder)):
            print(json.dumps(attempt), flush=True)
            faulthandler.dump_traceback_later(3 * LONGEST, exit=True)
    faulthandler.cancel_dump_traceback_later()


if __name__ == "__main__":
    if sys.argv[1:2] == [_READER]:
        _read(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    else:
        chosen = sys.argv[1:2] or list(TARGETS)
        begin = int(sys.argv[2]) if len(sys.argv) > 2 else 0
        last = int(sys.argv[3]) if len(sys.argv) > 3 else begin + 1 if len(sys.argv) > 2 else N_FILES
        sys.exit(min(1, main(chosen, begin, last)))
