"""What worker processes do in tests; imports little, since each process imports it anew."""

import os
import signal
import sys
import time
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

from avfusion.errors import UserError
from avfusion.system.processes import Worker


def square_unless_killed(folder: Path, number: int) -> int:
    """The square of `number`; 2 kills its process the first time, 13 each time, and 7 cannot be done."""
    if number == 13 or (number == 2 and not (folder / "killed").exists()):
        (folder / "killed").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 7:
        raise UserError("7 is odd")
    return number * number


def stay(mark: Path) -> str:
    """Makes the file `mark`, and does not come to an end."""
    mark.touch()
    while True:
        time.sleep(0.01)


def wait_for_ever(connection: Connection) -> None:
    """Says its process id, and that it is there again after anything that did not end it."""
    connection.send(os.getpid())
    while True:
        time.sleep(0.01)


if __name__ == "__main__":  # starts two workers, says who they are, and waits
    workers = [Worker(get_context(name), wait_for_ever) for name in ("spawn", "forkserver")]
    sys.stdout.write(" ".join(str(worker.connection.recv()) for worker in workers) + "\n")
    sys.stdout.flush()
    sys.stdin.read()
