"""Peak memory of extraction: a clip of half an hour against one of a minute, a thousand clips against a hundred."""

import json
import logging
import resource
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np

from avfusion.datasets import read_dataset
from avfusion.embedders import load_embedder
from avfusion.extraction import Settings, extract

RATE = 44_100  # must be resampled


def write_clip(path: Path, seconds: int) -> None:
    """One muxed file of noise: stereo sound, and pictures of 160 x 120 at 10 per second."""
    random = np.random.default_rng(seconds)
    noise = random.integers(-8000, 8000, size=(1, RATE * 2), dtype=np.int16)
    pictures = [random.integers(0, 256, size=(120, 160, 3), dtype=np.uint8) for _ in range(10)]
    with av.open(str(path), "w") as container:
        sound = container.add_stream("pcm_s16le", rate=RATE, layout="stereo", format="s16")
        video = container.add_stream("mpeg4", rate=10)
        assert isinstance(sound, av.AudioStream) and isinstance(video, av.VideoStream)
        video.width, video.height, video.pix_fmt = 160, 120, "yuv420p"
        for second in range(seconds):
            block = av.AudioFrame.from_ndarray(noise, "s16", "stereo")
            block.sample_rate, block.pts, block.time_base = RATE, second * RATE, Fraction(1, RATE)
            container.mux(sound.encode(block))
            for number, picture in enumerate(pictures):
                frame = av.VideoFrame.from_ndarray(picture, "rgb24")
                frame.pts = second * 10 + number
                container.mux(video.encode(frame))
        container.mux(sound.encode(None))
        container.mux(video.encode(None))


def measure(folder: Path) -> None:
    """In a process of its own: extracts folder/clips.csv and prints the peaks of driver and worker, in MB."""
    logging.disable(logging.WARNING)
    started = time.monotonic()
    load = partial(load_embedder, "demo", device="cpu")
    store = extract(read_dataset(folder / "clips.csv"), folder / "store", Settings(load, workers=1), progress=False)
    peaks = [resource.getrusage(who).ru_maxrss / 1000 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    n_bytes = (store.audio.nbytes + store.video.nbytes) / 1e6
    print(json.dumps([*peaks, n_bytes, len(store.clips), time.monotonic() - started]))


def main() -> None:
    """Prints a table."""
    print("data                    driver MB  worker MB  features MB  clips  seconds")
    cases = [("1 clip of 1 minute", 60, 1), ("1 clip of 30 minutes", 1800, 1)]
    cases += [("100 clips of 1 s", 1, 100), ("1,000 clips of 1 s", 1, 1000)]
    for name, seconds, count in cases:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            write_clip(folder / "0.mkv", seconds)
            for number in range(1, count):
                (folder / f"{number}.mkv").hardlink_to(folder / "0.mkv")
            lines = [f"{number}.mkv,a,{number}" for number in range(count)]
            (folder / "clips.csv").write_text("\n".join(["clip,label,location", *lines]) + "\n")
            command = [sys.executable, "-m", "benchmarks.robustness.memory", place]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            driver, worker, n_bytes, clips, took = json.loads(output.splitlines()[-1])
            print(f"{name:22} {driver:10.0f} {worker:10.0f} {n_bytes:12.1f} {clips:6} {took:8.0f}", flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(Path(sys.argv[1]))
    else:
        main()
