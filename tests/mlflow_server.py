"""MLflow's own server, with its UI, on loopback, for tests."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.request import urlopen

PATIENCE = 60.0
"""Seconds that the server may take to answer."""


@contextmanager
def mlflow_server(store: str, folder: Path) -> Iterator[str]:
    """The address of MLflow's server over a tracking store; `folder` gets its log, and artifacts that come by HTTP."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--backend-store-uri", store, "--port", str(port), "--workers", "1", "--serve-artifacts"]
    options += ["--artifacts-destination", str(folder / "artifacts")]
    command = [sys.executable, "-m", "mlflow", "server", *options]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    environment |= {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    address = f"http://127.0.0.1:{port}"
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
        try:
            _wait_for(server, address, folder / "server.log")
            yield address
        finally:
            with suppress(ProcessLookupError):
                os.killpg(server.pid, 15)
            server.wait(30)


def _wait_for(server: "subprocess.Popen[bytes]", address: str, log: Path) -> None:
    """Until a question about the store is answered: the first ones, when many come at once, may fail in MLflow."""
    question, end = f"{address}/api/2.0/mlflow/experiments/search?max_results=1", time.monotonic() + PATIENCE
    while time.monotonic() < end:
        assert server.poll() is None, log.read_text()
        with suppress(OSError), urlopen(question, timeout=5) as answer:
            json.load(answer)
            return
        time.sleep(0.2)
    raise AssertionError(f"{address} does not answer: {log.read_text()}")
