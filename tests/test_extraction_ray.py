"""Extraction on a Ray cluster of this machine: the same stores, whoever dies in between."""

import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import ray
import ray.exceptions
from ray.cluster_utils import Cluster

from avfusion.datasets import Dataset
from avfusion.embedders import Embedder, load_embedder
from avfusion.errors import UserError
from avfusion.extraction import Settings, extract
from avfusion.extraction.ray.ledger import Ledger
from avfusion.features import FeatureStore
from avfusion.system.memory import VARIABLE
from tests.fakes import FakeEmbedder
from tests.ftp import serving
from tests.kills import content, wait_until
from tests.media_files import make_clip
from tests.ray_fakes import Greedy, OddAndGreedy, SlowLoader, n_parts, no_room, refuse
from tests.test_extraction import make_dataset

N_CLIPS = 16
_SPARE = 3 * 2**30  # bytes that may be taken before Ray ends a worker


@contextmanager
def started(**system: object) -> Iterator[Cluster]:
    """A machine with two processors, by these settings of Ray's; it notices within seconds that another is gone."""
    path, os.environ["PYTHONPATH"] = os.environ.get("PYTHONPATH"), str(Path(__file__).parents[1])
    system |= {
        "health_check_initial_delay_ms": 500, "health_check_period_ms": 500, "health_check_failure_threshold": 3,
        "prestart_worker_first_driver": False,  # workers of ours have variables of their own, so that no other serves
        "worker_niceness": 0,  # by itself 15: other tests would take the processors
    }  # fmt: skip
    small = {"object_store_memory": 2**28, "include_dashboard": False, "include_log_monitor": False, "no_monitor": True}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "_system_config": system, **small})
    try:
        yield cluster
    finally:
        cluster.shutdown()  # type: ignore[no-untyped-call]
        del os.environ["PYTHONPATH"]
        if path is not None:
            os.environ["PYTHONPATH"] = path


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster that ends no worker for want of memory, which others on this machine may have taken."""
    with started(memory_monitor_refresh_ms=0) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Pairs of different lengths, one without a file and one without pictures."""
    folder = tmp_path_factory.mktemp("data")
    lines = [make_clip(folder, f"clip{i:02d}", seconds=0.3 + 0.05 * i, frames=3 + i) for i in range(N_CLIPS - 2)]
    lines.insert(2, "missing.wav,missing.avi,a,m")
    lines.insert(5, make_clip(folder, "blind", frames=0))
    return make_dataset(folder, *lines)


@pytest.fixture(scope="module")
def expected(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The store of `data` by this machine's own processes."""
    folder = tmp_path_factory.mktemp("expected") / "store"
    extract(data, folder, Settings(FakeEmbedder, workers=1), progress=False)
    return content(folder)


def _memory(name: str) -> int:
    """An entry of /proc/meminfo, in bytes."""
    line = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


def run(
    cluster: Cluster, data: Dataset, output: Path, load: Callable[[], Embedder], *, timeout: float = 60,
    parts: str | None = None, workers: int | None = None,
) -> FeatureStore:  # fmt: skip
    settings = Settings(load, timeout=timeout, workers=workers, executor="ray", address=cluster.address, parts=parts)
    return extract(data, output, settings, progress=False)


@contextmanager
def meanwhile(condition: Callable[[], bool], act: Callable[[], object]) -> Iterator[None]:
    """Acts once, in another thread, when the condition holds."""
    acted = []

    def watch() -> None:
        wait_until(condition)
        act()
        acted.append(True)

    thread = threading.Thread(target=watch)
    thread.start()
    yield
    thread.join()
    assert acted


def test_clips_that_end_their_worker(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a crash, once or always, by hanging, or for want of memory; parts go to a file server, and are gone then."""
    monkeypatch.setenv(VARIABLE, "0.25")
    (tmp_path / "served").mkdir()
    fine = [make_clip(tmp_path, name, loudness=0.1) for name in ("fine", "once", "well")]
    odd = [
        make_clip(tmp_path, "loud", loudness=1.0),
        *(make_clip(tmp_path, name, loudness=0.1) for name in ["crash", "hang"]),
    ]
    data = make_dataset(tmp_path, *odd, *fine)
    with serving(tmp_path / "served") as address:
        store = run(cluster, data, tmp_path / "store", OddAndGreedy(tmp_path), timeout=0.6, parts=f"{address}/parts")
    assert store.failures.to_dict("list") == {
        "id": ["loud", "crash", "hang"],
        "reason": [
            f"it needs more than 0.25 GiB of memory ({VARIABLE})",
            "the clip ended its worker process 3 times",
            "decoding took more than 0.6 s",
        ],
    }
    local = extract(
        make_dataset(tmp_path, *fine), tmp_path / "local", Settings(FakeEmbedder, workers=1), progress=False
    )
    assert store.clips["id"].tolist() == ["fine", "once", "well"] and store.clips.equals(local.clips)
    assert np.array_equal(store.audio, local.audio) and np.array_equal(store.video, local.video)
    assert content(tmp_path / "served") == {}


def test_a_killed_worker(cluster: Cluster, data: Dataset, tmp_path: Path, expected: dict[str, bytes]) -> None:
    load, output = SlowLoader(tmp_path), tmp_path / "store"

    def kill() -> None:
        os.kill(next(load.workers())[0], signal.SIGKILL)

    with meanwhile(lambda: n_parts(output, N_CLIPS) > 3 and len(list(load.workers())) == 2, kill):
        run(cluster, data, output, load)
    assert content(output) == expected


def test_a_killed_driver(cluster: Cluster, data: Dataset, tmp_path: Path, expected: dict[str, bytes]) -> None:
    load, output = SlowLoader(tmp_path), tmp_path / "store"
    driver = multiprocessing.get_context("spawn").Process(target=run, args=(_Address(cluster), data, output, load))
    driver.start()
    wait_until(lambda: n_parts(output, N_CLIPS) > 5)
    driver.kill()
    driver.join()
    samples = [round(48_000 * (0.3 + 0.05 * i)) for i in range(N_CLIPS - 2)]
    samples.insert(2, 0)
    samples.insert(5, 0)
    done = [samples[i] for i in range(N_CLIPS) if (output / "parts" / f"{i:07d}.safetensors").exists() and samples[i]]
    run(cluster, data, output, load)
    assert content(output) == expected
    counts = Counter(load.embedded())
    assert set(counts) == set(samples) - {0}  # nothing lost
    assert len(done) > 3 and {counts[number] for number in done} == {1}  # nothing twice


class _Address:
    """What another process needs of the cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self.address = cluster.address


def test_a_removed_node(cluster: Cluster, data: Dataset, tmp_path: Path, expected: dict[str, bytes]) -> None:
    load, output = SlowLoader(tmp_path), tmp_path / "store"
    node = cluster.add_node(num_cpus=1, object_store_memory=2**28)

    def busy_there() -> bool:
        return n_parts(output, N_CLIPS) > 5 and node.node_id in [place for _, place in load.workers()]

    with meanwhile(busy_there, lambda: cluster.remove_node(node, allow_graceful=False)):
        run(cluster, data, output, load)
    assert content(output) == expected
    assert len({file.name.split(".")[1] for file in tmp_path.glob("*.worker")}) == 2


def test_preparation_apart_from_the_network(cluster: Cluster, tmp_path: Path) -> None:
    """Where there are GPUs, processors prepare; a node that only says that it has one shows that bits stay the same."""
    lines = [make_clip(tmp_path, f"clip{i}", seconds=0.4 + 0.2 * i, frames=3 + i) for i in range(3)]
    lines += [make_clip(tmp_path, "long", seconds=31.0, frames=3), "missing.wav,missing.avi,a,m"]
    data = make_dataset(tmp_path, *lines)
    load = partial(load_embedder, "demo", device="cpu")
    extract(data, tmp_path / "local", Settings(load, workers=1), progress=False)
    node = cluster.add_node(num_cpus=1, num_gpus=1, object_store_memory=2**28)
    try:
        run(cluster, data, tmp_path / "store", load)
    finally:
        cluster.remove_node(node)
    assert content(tmp_path / "store") == content(tmp_path / "local")


def test_what_ends_an_extraction(cluster: Cluster, data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^weights not found: nowhere\.h5 \[\]$"):
        run(cluster, data, tmp_path / "store", refuse)
    with pytest.raises(UserError, match=r"cannot write to .*store: No space left on device; .*the same command again"):
        run(cluster, data, tmp_path / "store", no_room, workers=1)
    assert not list((tmp_path / "store").glob("*.npy"))


def test_clusters_that_do_not_answer(data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{free.getsockname()[1]}"
    for address, message in (
        (nobody, f"no Ray cluster answers at address={nobody} .*; start one with `ray start --head"),
        ("nowhere", "no Ray cluster answers at address=nowhere"),
        ("ray://head:10001", "address=ray://head:10001: run this on a machine of the cluster"),
    ):
        started = time.monotonic()
        with pytest.raises(UserError, match=message):
            extract(data, tmp_path / "store", Settings(FakeEmbedder, executor="ray", address=address))
        assert time.monotonic() - started < 15
    with pytest.raises(UserError, match="unknown executor 'spark'; choose from: local, ray"):
        Settings(FakeEmbedder, executor="spark")
    with pytest.raises(UserError, match="address=head:6379 is for a cluster: add executor=ray"):
        Settings(FakeEmbedder, address="head:6379")
    for name in [name for name in sys.modules if name.startswith("avfusion.extraction.ray.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"executor=ray needs Ray .*: pip install -e '\.\[ray\]' in avfusion's clone"):
        extract(data, tmp_path / "store", Settings(FakeEmbedder, executor="ray"))


def test_a_cluster_that_wants_a_token(data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unauthorised(**options: object) -> None:
        raise ray.exceptions.AuthenticationError("InvalidAuthToken")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", unauthorised)
    with pytest.raises(UserError, match="the Ray cluster at address=auto wants its token; set RAY_AUTH_MODE=token"):
        extract(data, tmp_path / "store", Settings(FakeEmbedder, executor="ray", address="auto"))


def test_the_ledger_forgives_what_a_lost_node_did(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger, alive = Ledger(), {"a", "b"}
    monkeypatch.setattr("ray.nodes", lambda: [{"NodeID": name, "Alive": name in alive} for name in "ab"])
    assert [ledger.begin(0, node) for node in "abab"] == [0, 1, 2, 3]
    alive.remove("a")
    assert ledger.begin(0, "b") == 2
    ledger.end(0)
    assert ledger.begin(0, "b") == 0


def test_out_of_memory_without_a_limit_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then Ray ends workers, here as soon as the machine has taken a little more than it has now."""
    monkeypatch.setenv(VARIABLE, "inf")
    total, available = (_memory(name) for name in ("MemTotal", "MemAvailable"))
    with started(memory_usage_threshold=min(0.95, (total - available + _SPARE) / total)) as cluster:
        lines = [make_clip(tmp_path, "loud", loudness=1.0)]
        lines += [make_clip(tmp_path, f"quiet{i}", loudness=0.1) for i in range(2)]
        store = run(cluster, make_dataset(tmp_path, *lines), tmp_path / "store", Greedy, workers=1)
    assert store.failures.to_dict("list") == {"id": ["loud"], "reason": ["the clip ended its worker process 3 times"]}
    assert len(store.clips) == 2
