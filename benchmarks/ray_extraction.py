"""Does the cost of `executor=ray` grow in a straight line with the clips, and what does it cost beside the work itself?

    python -m benchmarks.ray_extraction                             about five minutes on two cores
    python -m benchmarks.ray_extraction --workers 2 --clips 50 200

A Ray of this machine extracts a short clip (0.2 s, 720p) many times, with the network `demo`. Seconds run from
the call of `extract` to the finished store, with Ray started before. The work itself is decoding, preparation and
network, timed in a process that does nothing else; what is left of the time of all workers is said to be outside it:
Ray's bookkeeping, parts, packing, and waiting for a processor that is busy with these. `start` is that part of a run
that does not grow with the clips: loading the network twice, and Ray Data's first task.
"""

import argparse
import logging
import os
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch

from avfusion.datasets import Dataset
from avfusion.embedders import Embedder, load_embedder
from avfusion.extraction import Settings, clip_features, extract
from avfusion.extraction.ray import ray
from benchmarks.clips import make_clip, many
from benchmarks.side_by_side import machine, print_table

SECONDS = 0.2  # of a clip
LOAD = partial(load_embedder, "demo", device="cpu")


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, nargs="+", default=[100, 500, 2000])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    given = parser.parse_args()
    print(machine("ray", "av"))
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as temporary:
        sound, pictures = make_clip(Path(temporary), SECONDS)
        busy = work(LOAD(), sound, pictures)
        print(f"decoding, preparation and network: {1000 * busy:.1f} ms a clip, alone")
        for n_workers in given.workers:
            seconds = measure(n_workers, [many(sound, pictures, count) for count in given.clips])
            show(n_workers, given.clips, seconds, busy)


def work(embedder: Embedder, sound: Path, pictures: Path) -> float:
    """Seconds of the work itself for one clip, on one thread."""
    torch.set_num_threads(1)
    for repeats in (3, 30):  # the first do not count
        begun = time.perf_counter()
        for _ in range(repeats):
            part = clip_features(embedder, "clip", sound, pictures)
        seconds = (time.perf_counter() - begun) / repeats
    assert not part.reason
    return seconds


def measure(n_workers: int, datasets: list[Dataset]) -> list[float]:
    """Seconds for each dataset, on a Ray with so many processors."""
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])

    seconds = []
    ray.init(address="local", num_cpus=n_workers, include_dashboard=False, log_to_driver=False)
    with tempfile.TemporaryDirectory() as temporary:
        for number, dataset in enumerate(datasets):
            begun = time.perf_counter()
            store = extract(dataset, Path(temporary, str(number)), Settings(LOAD, executor="ray"), progress=False)
            seconds.append(time.perf_counter() - begun)
            assert len(store.clips) == len(dataset.clips)
    ray.shutdown()
    return seconds


def show(n_workers: int, counts: list[int], seconds: list[float], busy: float) -> None:
    """The table for one number of workers, with the straight line through it."""
    slope, start = (float(value) for value in np.polyfit(counts, seconds, 1))
    rows = []
    for count, taken in zip(counts, seconds, strict=True):
        line = start + slope * count
        outside = 1 - count * busy / (n_workers * taken)
        rows.append(
            [str(count), f"{taken:.1f}", f"{line:.1f}", f"{100 * (taken / line - 1):+.1f} %", f"{100 * outside:.0f} %"]
        )
    print_table(
        f"{n_workers} workers: {1000 * slope:.1f} ms a clip and {start:.1f} s to start; once started, "
        f"{100 * (1 - busy / (n_workers * slope)):.0f} % of the workers' time is outside decoding and network",
        ["clips", "seconds", "straight line", "difference", "outside, start included"],
        rows,
    )


if __name__ == "__main__":
    main()
