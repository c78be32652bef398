"""What a server does under load: every good request right, every bad one a 4xx with one line, memory flat.

    python -m benchmarks.serving --model models:/avfusion@champion --clips FOLDER [--clients 8] [--requests 200]

Starts `mlflow models serve` in a folder of its own, asks for clips of FOLDER over HTTP from several threads, every
tenth request with damaged or unusable media, and compares the good answers with those of `predict`. A first part of the
requests warms the server up; memory is that of all its processes after it, and at the end.

The load comes in turns, alone and beside two more clients who send, without a pause, what shall keep a server busy:
sounds of two hours and of ten minutes, requests of 300 MB, lists of a million empty lists, and clips that they do not
wait for. With them the median of good requests may be at most twice what it is without.
"""

import argparse
import itertools
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pandas as pd

from avfusion.jobs.predict import PREDICTIONS, predict_job
from avfusion.serving.queries import find_queries
from benchmarks.serving_requests import LEFT, bad_bodies, hostile_bodies, with_clip

WARM_UP = 40
"""Requests before memory is measured for the first time."""
Asked = tuple[str, bytes, str | None]
"""Name and body of a request, and the scene that is right; None if it must be refused."""
PARTS = 4
"""Turns with and without hostile clients."""
TOLERATED = 2.0
"""Times that hostile clients may lengthen the median of good requests."""


def main() -> None:
    """Print what the server did; exit with 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--clips", required=True, type=Path)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--requests", type=int, default=200)
    given = parser.parse_args()
    queries = [query for query in find_queries(given.clips) if query.video][:30]
    expected = _expected(given.model, [str(query.video) for query in queries])
    bodies = {str(query.video): with_clip(Path(str(query.video)).read_bytes()) for query in queries}
    bad = bad_bodies(Path(str(queries[0].video)).read_bytes())
    requests: list[Asked] = []
    for number in range(given.requests):
        if number % 10 == 9:
            name = list(bad)[number // 10 % len(bad)]
            requests.append((name, bad[name], None))
        else:
            name = list(bodies)[number % len(bodies)]
            requests.append((name, bodies[name], expected[name]))
    hostile = hostile_bodies()
    wrong: list[str] = []
    with _server(given.model) as (address, process):
        _load(address, requests[:WARM_UP], given.clients, wrong)
        memory = [_resident(process.pid)]
        attack, alone, beside = _Attack(), [], []
        for part in range(PARTS):
            block = requests[WARM_UP + part :: PARTS]
            alone += _load(address, block, given.clients, wrong)
            memory.append(_resident(process.pid))
            with attack.going_on(address, process.pid, hostile):
                beside += _load(address, block, given.clients, wrong)
        memory.append(_resident(process.pid))
    kinds = Counter("bad" if scene is None else "good" for _, _, scene in requests)
    print(f"{kinds['good']} good and {kinds['bad']} bad requests from {given.clients} clients; wrong: {len(wrong)}")
    for name, seconds in (("alone", alone), ("beside hostile clients", beside)):
        print(f"good requests {name}: median {statistics.median(seconds):.2f} s, longest {max(seconds):.2f} s")
    times = statistics.median(beside) / statistics.median(alone)
    print(f"hostile clients make that {times:.2f} times; {sum(attack.answers.values())} requests of theirs:")
    for (name, answer), count in sorted(attack.answers.items()):
        print(f"  {count:5} {name}: {answer}")
    print(
        f"memory of all processes after {WARM_UP} requests {memory[0]:.0f} MB, after more {memory[1]:.0f} MB, "
        f"after the hostile ones {memory[-1]:.0f} MB, at most {attack.memory:.0f} MB"
    )
    for line in wrong[:10]:
        print("WRONG", line)
    sys.exit(1 if wrong or times > TOLERATED else 0)


def _load(address: str, requests: Sequence[Asked], clients: int, wrong: list[str]) -> list[float]:
    """Send `requests` from `clients` threads; returns the seconds of the good ones, adds to `wrong` what went wrong."""
    seconds = []
    with ThreadPoolExecutor(clients) as pool:
        for (_, _, scene), (outcome, took) in zip(
            requests, pool.map(lambda asked: _ask(address, *asked), requests), strict=True
        ):
            if scene is not None:
                seconds.append(took)
            if outcome:
                wrong.append(outcome)
    return seconds


class _Attack:
    """Hostile clients: what they were answered, and the most memory that the server took meanwhile, in MB."""

    def __init__(self) -> None:
        self.answers: Counter[tuple[str, str]] = Counter()
        self.memory = 0.0
        self.over = threading.Event()

    def send(self, address: str, bodies: dict[str, bytes], first: int) -> None:
        """One body after the other, until it is over."""
        names = list(bodies)
        for number in itertools.count(first):
            if self.over.is_set():
                return
            name = names[number % len(names)]
            self.answers[name, _answer(address, bodies[name], 0.2 if name == LEFT else 120.0)] += 1

    def watch(self, pid: int) -> None:
        """Look at the memory, until it is over."""
        while not self.over.wait(0.1):
            with suppress(OSError):  # a process may end while it is looked at
                self.memory = max(self.memory, _resident(pid))

    @contextmanager
    def going_on(self, address: str, pid: int, bodies: dict[str, bytes]) -> Iterator[None]:
        """Two hostile clients for the time of the block."""
        self.over.clear()
        threads = [threading.Thread(target=self.send, args=(address, bodies, first)) for first in (0, 3)]
        threads.append(threading.Thread(target=self.watch, args=(pid,)))
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.over.set()
            for thread in threads:
                thread.join()


def _answer(address: str, body: bytes, timeout: float) -> str:
    """Status and the end of the last line of a refusal."""
    try:
        request = Request(f"{address}/invocations", body, {"Content-Type": "application/json"})
        with urlopen(request, timeout=timeout) as reply:
            return str(reply.status)
    except HTTPError as error:
        line = str(json.loads(error.read())["message"]).splitlines()[-1]
        return f"{error.code} {line[:100]}"
    except OSError as error:
        return type(error).__name__


def _expected(model: str, files: list[str]) -> dict[str, str]:
    """The scene of each file by `predict`."""
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder) / "clips.txt"
        listed.write_text("\n".join(files) + "\n", encoding="utf-8")
        predict_job(
            model=model, clip=listed, audio=None, video=None, output=Path(folder), timeline=None, embedder=None,
            weights=None, device="auto", workers=2, timeout=60.0,
        )  # fmt: skip
        table = pd.read_csv(Path(folder) / PREDICTIONS)
    return dict(zip(table["clip"], table["scene"], strict=True))


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
