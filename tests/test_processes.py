"""Worker processes: a killed one costs nothing but time, and none outlives who started it."""

import multiprocessing
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from avfusion.errors import UserError
from avfusion.system.processes import spread
from tests.at_work import square_unless_killed
from tests.kills import ROOT, alive, wait_until

SPAWN = multiprocessing.get_context("spawn")


def refuse(*_: object, **__: object) -> None:
    raise OSError(30, "Read-only file system", "/dev/shm/x")


def test_a_killed_process_costs_its_item_only_and_that_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where there are neither semaphores nor shared memory."""
    monkeypatch.setattr("multiprocessing.synchronize.SemLock.__init__", refuse)
    monkeypatch.setattr("multiprocessing.heap.Arena.__init__", refuse)
    items = [1, 2, 3, 4, 5]
    assert list(spread(partial(square_unless_killed, tmp_path), items, 2, SPAWN)) == [1, 4, 9, 16, 25]
    assert caplog.text.count("a worker process ended (SIGKILL)") == 1


def test_what_cannot_be_done_ends_the_work(tmp_path: Path) -> None:
    found = spread(partial(square_unless_killed, tmp_path), [1, 13, 3], 1, SPAWN)
    assert next(found) == 1
    with pytest.raises(UserError, match=r"^13 ended its process 3 times, the last with SIGKILL; .* fewer workers$"):
        next(found)
    with pytest.raises(UserError, match=r"^7 is odd$"):
        list(spread(partial(square_unless_killed, tmp_path), [7, 1], 1, SPAWN))
    with pytest.raises(RuntimeError, match="TypeError"):
        list(spread(partial(square_unless_killed, tmp_path), ["one"], 1, SPAWN))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_workers_leave_ctrl_c_to_their_parent_and_end_with_it(number: int) -> None:
    command = [sys.executable, "-m", "tests.at_work"]
    parent = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None and parent.stdin is not None
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    for pid in pids:
        os.kill(pid, signal.SIGINT)
        os.kill(pid, signal.SIGHUP)
    assert len(pids) == 2 and all(map(alive, pids))
    parent.send_signal(number)
    assert parent.wait(60) == -number
    wait_until(lambda: not any(map(alive, pids)))
    parent.stdin.close()
    parent.stdout.close()
