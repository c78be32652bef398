"""What a server does under load: every good request right, every bad one a 4xx with one line, memory flat.

    python -m benchmarks.serving --model models:/avfusion@champion --clips FOLDER [--clients 8] [--requests 200]

Starts `mlflow models serve` in a folder of its own, asks for clips of FOLDER over HTTP from several threads, every
tenth request with damaged or unusable media, and compares the good answers with those of `predict`. A first part of the
requests warms the server up; memory is that of all its processes after it, and at the end.
"""

import argparse
import base64
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pandas as pd

from avfusion.jobs.predict import PREDICTIONS, predict_job
from avfusion.prediction.clips import find_clips

WARM_UP = 40
"""Requests before memory is measured for the first time."""


def main() -> None:
    """Print what the server did; exit with 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--clips", required=True, type=Path)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--requests", type=int, default=200)
    given = parser.parse_args()
    queries = [query for query in find_clips(str(given.clips)) if query.video][:30]
    expected = _expected(given.model, [str(query.video) for query in queries])
    bodies = {str(query.video): _body(Path(str(query.video)).read_bytes()) for query in queries}
    bad = _bad_bodies(Path(str(queries[0].video)).read_bytes())
    requests: list[tuple[str, bytes, str | None]] = []
    for number in range(given.requests):
        if number % 10 == 9:
            name = list(bad)[number // 10 % len(bad)]
            requests.append((name, bad[name], None))
        else:
            name = list(bodies)[number % len(bodies)]
            requests.append((name, bodies[name], expected[name]))
    with _server(given.model) as (address, process):
        wrong, seconds = [], []
        memory = []
        for part in (requests[:WARM_UP], requests[WARM_UP:]):
            with ThreadPoolExecutor(given.clients) as pool:
                for outcome, took in pool.map(lambda request: _ask(address, *request), part):
                    seconds.append(took)
                    if outcome:
                        wrong.append(outcome)
            memory.append(_resident(process.pid))
    kinds = Counter("bad" if scene is None else "good" for _, _, scene in requests)
    print(f"{kinds['good']} good and {kinds['bad']} bad requests from {given.clients} clients; wrong: {len(wrong)}")
    print(f"median {statistics.median(seconds):.2f} s, longest {max(seconds):.2f} s a request")
    print(f"memory of all processes after {WARM_UP} requests {memory[0]:.0f} MB, at the end {memory[1]:.0f} MB")
    for line in wrong[:10]:
        print("WRONG", line)
    sys.exit(1 if wrong else 0)


def _expected(model: str, files: list[str]) -> dict[str, str]:
    """The scene of each file by `predict`."""
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder) / "clips.txt"
        listed.write_text("\n".join(files) + "\n", encoding="utf-8")
        predict_job(
            model=model, clip=str(listed), audio="none", video="none", output=folder, timeline="none", embedder="none",
            weights="none", device="auto", workers="2", timeout="60",
        )  # fmt: skip
        table = pd.read_csv(Path(folder) / PREDICTIONS)
    return dict(zip(table["clip"], table["scene"], strict=True))


def _body(media: bytes) -> bytes:
    return json.dumps({"dataframe_records": [{"clip": base64.b64encode(media).decode()}]}).encode()


def _bad_bodies(healthy: bytes) -> dict[str, bytes]:
    """Requests that must be refused."""
    records = {
        "a path": {"clip": "/etc/passwd"},
        "nothing": {"other": 1},
        "empty text": {"clip": ""},
        "neither base64 nor a path": {"clip": "???"},
        "half an array": {"audio": [[1.0, 2.0]]},
        "two things": {"clip": "AAAA", "audio": [[1.0]]},
    }
    bodies = {name: json.dumps({"dataframe_records": [record]}).encode() for name, record in records.items()}
    bodies["text, not media"] = _body(b"this is not a clip " * 100)
    bodies["the head of a clip"] = _body(healthy[:500])
    bodies["zeros"] = _body(bytes(5000))
    bodies["a playlist"] = _body(b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n")
    return bodies


def _ask(address: str, name: str, body: bytes, scene: str | None) -> tuple[str, float]:
    """What was wrong with the answer ("" for nothing), and the seconds that it took."""
    started = time.perf_counter()
    try:
        request = Request(f"{address}/invocations", body, {"Content-Type": "application/json"})
        with urlopen(request, timeout=120) as reply:
            status, text = reply.status, reply.read().decode()
    except HTTPError as error:
        status, text = error.code, error.read().decode()
    took = time.perf_counter() - started
    if scene is None:
        right = 400 <= status < 500 and "Traceback" not in text and "stack_trace" not in text
    else:
        right = status == 200 and json.loads(text)["predictions"][0]["scene"] == scene
    return "" if right else f"{name}: {status} {text[:300]}", took


@contextmanager
def _server(model: str) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """Address and process of a server of `model`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["mlflow", "models", "serve", "-m", model, "--env-manager", "local", "--port", str(port)]
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True)
        try:
            address = f"http://127.0.0.1:{port}"
            _wait(address, process, Path(folder) / "log")
            yield address, process
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(20)


def _wait(address: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(240):
        if process.poll() is not None:
            break
        try:
            with urlopen(f"{address}/ping", timeout=2):
                return
        except (URLError, OSError):
            time.sleep(0.5)
    raise RuntimeError(f"the server did not start:\n{log.read_text()}")


def _resident(pid: int) -> float:
    """Megabytes of a process and all that came from it (Linux); shared pages count once for each."""
    total = float(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        total += sum(_resident(int(child)) for child in children.read_text().split())
    return total


if __name__ == "__main__":
    main()
