"""Joining a Ray cluster, quietly, and leaving it."""

import io
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

from avfusion.errors import UserError
from avfusion.extraction.ray import ray

_ANSWER = 10.0  # seconds in which the cluster's port must take a connection
_HOW = "start one with `ray start --head --port=6379` and name it as address=HOST:6379"
_TOKEN = "set RAY_AUTH_MODE=token, and copy the file ~/.ray/auth_token from the machine where it was started"

SHARED = Path("/dev/shm")
"""Where Ray keeps what its processes share."""

_log = logging.getLogger(__name__)


class Size(NamedTuple):
    """How many processors and GPUs the cluster has, busy or not."""

    cpus: int
    gpus: int


class _ToLog(io.TextIOBase):
    """A stream for what Ray prints about lost workers, tens of lines at a time: the first goes to the debug log."""

    def write(self, text: str) -> int:
        """Logs the first line of `text`."""
        if text.strip():
            _log.debug("%s", text.strip().splitlines()[0])
        return len(text)


@contextmanager
def connected(address: str | None) -> Iterator[Size]:
    """Joins the cluster at `address`, quietly.

    Args:
        address: HOST:PORT; `auto` for the cluster that this machine is part of; None for the one that the
            variable RAY_ADDRESS names or, without it, for a Ray of this machine's own, which ends with the
            block. A connection that is there already is used and left.

    Raises:
        UserError: nobody answers there.
    """
    ours = not ray.is_initialized()
    if ours:
        _join(os.environ.get("RAY_ADDRESS", "local") if address is None else address)
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        with redirect_stdout(_ToLog() if sys.stdout is not None else None):
            resources = ray.cluster_resources()  # type: ignore[no-untyped-call]
            yield Size(int(resources.get("CPU", 0)), int(resources.get("GPU", 0)))
    finally:
        if ours:
            ray.shutdown()


def _join(address: str) -> None:
    if "://" in address:
        raise UserError(f"address={address}: run this on a machine of the cluster, with address=auto or HOST:PORT")
    host, colon, port = address.rpartition(":")
    try:
        if colon:  # Ray itself would try for minutes
            socket.create_connection((host, int(port)), timeout=_ANSWER).close()
        elif address not in ("auto", "local"):
            raise ValueError("expected HOST:PORT")
        own: Any = {"include_dashboard": False} if address == "local" else {}
        if own and SHARED.is_dir() and not os.access(SHARED, os.W_OK):
            raise UserError(f"Ray needs {SHARED}, which cannot be written here; make it writable, or executor=local")
        answer = signal.getsignal(signal.SIGTERM)  # Ray puts its own in the place
        ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL, **own)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, answer)
    except ray.exceptions.AuthenticationError as error:
        raise UserError(f"the Ray cluster at address={address} wants its token; {_TOKEN}") from error
    except (OSError, ValueError, RuntimeError) as error:
        text = " ".join(str(error).split())[:160]
        raise UserError(f"no Ray cluster answers at address={address} ({text}); {_HOW}") from error
