"""How far work has come: bars on a terminal, few plain lines elsewhere."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from avfusion.system import progress
from avfusion.system.progress import PERIOD, close_all, say, show_progress

ROOT = Path(__file__).parents[1]
WORK = """
import logging
import signal
import sys
from entrypoints import command

def job(**options):
    from avfusion.system.progress import show_progress
    def trained():
        with show_progress("class_weighted_late seed 0", 300, "epoch") as bar:
            for number in range(300):
                bar.update(val_loss="0.512", val_acc="0.812")
                if number == 149:
                    logging.getLogger("avfusion.x").info("a line of the log")
                yield number
    for number in trained():
        if number == 199 and sys.argv[1:] != ["whole"]:
            signal.raise_signal(signal.SIGINT)
    return ["done"]

command.load_job = lambda name: job
command.command("report")([])
"""


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """In place of the system's."""
    found = Clock()
    monkeypatch.setattr(progress, "monotonic", found)
    return found


def test_a_log_gets_a_line_every_ten_seconds_and_at_the_end(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    assert PERIOD == 10
    with show_progress("late seed 0", 100, "epoch") as bar:
        for _ in range(100):
            clock.now += 0.25
            bar.update(val_loss="0.500")
            say("beside it") if clock.now == 11 else None
    assert capsys.readouterr().err.splitlines() == [
        "late seed 0: 40 of 100 epochs, 00:10, 00:15 left, val_loss=0.500",
        "beside it",
        "late seed 0: 80 of 100 epochs, 00:20, 00:05 left, val_loss=0.500",
        "late seed 0: 100 of 100 epochs, 00:25, val_loss=0.500",
    ]


def test_work_that_goes_on_and_bytes_of_an_unknown_number(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with show_progress("extracting", 720, "clip", done=620) as bar:
        bar.update(failed="1")
        clock.now = 20.0
        bar.update(49)
    with show_progress("weights", None, "B") as bar:
        bar.update(18_800_000)
    assert capsys.readouterr().err.splitlines() == [
        "extracting: 670 of 720 clips, 00:20, 00:20 left, failed=1",
        "weights: 18.8MB, 00:00",
    ]


def test_what_is_not_worth_a_line(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    """Work that nobody asked to see, that was done before it began, or that took no time."""
    for options in ({"shown": False}, {"delay": 2.0}):
        with show_progress("reading", 2, "clip", **options) as bar:
            clock.now += 1
            bar.update(2)
    with show_progress("reading", 2, "clip", done=2):
        pass
    close_all()
    assert capsys.readouterr().err.splitlines() == []


@pytest.mark.parametrize("terminal", ["xterm", "dumb"])
def test_ctrl_c_leaves_the_terminal_clean(terminal: str) -> None:
    """The bar of a loop that was left stands whole on its line, and what follows below it."""
    shown = on_terminal(terminal)
    *above, bar, last = [line.split("\r")[-1].rstrip() for line in shown.split("\n")[:-1]]
    assert last == "stopped; the same command begins anew"
    if terminal == "dumb":
        counts = "200 of 300 epochs, 00:00, 00:00 left, val_loss=0.512, val_acc=0.812"
        assert (above, bar) == (["a line of the log"], f"class_weighted_late seed 0: {counts}")
    else:
        assert "a line of the log" in above
        assert bar.startswith("class_weighted_late seed 0 |")
        assert bar.endswith("| 200/300 [00:00, val_loss=0.512, val_acc=0.812]")
        assert len(bar) < 80


def on_terminal(kind: str) -> str:
    """What `WORK` shows on a terminal of 80 columns; line ends as it wrote them."""
    ours, theirs = pty.openpty()
    subprocess.run(["stty", "rows", "24", "cols", "80", "-onlcr"], stdin=theirs, check=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": kind}
    done = subprocess.run([sys.executable, "-c", WORK], stdout=theirs, stderr=theirs, env=environment, check=False)
    os.close(theirs)
    assert done.returncode == 130
    shown = b""
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:  # Linux says so where nobody writes any more
            break
        if not chunk:
            break
        shown += chunk
    os.close(ours)
    return shown.decode()
