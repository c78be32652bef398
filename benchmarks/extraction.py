"""How fast is `extract`, with OpenL3's networks and with the pair of `embedder=auto`? Beside the usual ways, in a run.

    python -m benchmarks.extraction                          5 to 10 minutes on two cores
    python -m benchmarks.extraction --precision bf16         a processor with AMX
    python -m benchmarks.extraction --device cuda --precision bf16 --clips 200

Ours is what `extract` runs. It is compared with eager float32 PyTorch (benchmarks/usual_extraction.py), with equal
random weights and checked results, and with the original package `openl3`, if it can be imported. The clip is a 10-s
pair that the script renders: 48 kHz stereo WAV and 720p25 MP4, which make 96 windows and 96 frames (DCASE recipe).
Of such a clip the script also tells where its time goes. `benchmarks.networks` compares the networks alone.
"""

import argparse
import multiprocessing
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from avfusion.embedders import load_embedder
from avfusion.extraction import Settings, clip_features, extract
from avfusion.extraction.prepared import Prepared, prepare_clip
from avfusion.l3.api import load_l3
from avfusion.l3.framing import cut_windows
from avfusion.l3.frontend import Frontend
from avfusion.l3.runtime import choose_precision
from avfusion.media import Samples, VideoReader, stream_sound
from avfusion.system.device import choose_device
from avfusion.system.processes import available_cores
from benchmarks.clips import make_clip, many
from benchmarks.networks import original
from benchmarks.side_by_side import alternate, machine, peak_memory, print_table, smallest_cosine
from benchmarks.usual_extraction import UsualExtraction
from benchmarks.usual_pair import UsualPair

Result = TypeVar("Result")
SINGLE = "ours, one worker of all threads"


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precision", default="float32", help="of our side")
    parser.add_argument("--device", default="cpu", help="of both sides")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--clips", type=int, default=6, help="clips that ours extracts at a time")
    given = parser.parse_args()
    device = choose_device(given.device)
    precision = choose_precision(given.precision, device)
    print(machine("av", "scikit-image"))
    print(
        f"ours: precision={precision}, device={device.type}; usual: eager float32 PyTorch, NCHW, device={device.type}"
    )
    with tempfile.TemporaryDirectory() as temporary:
        sound, pictures = make_clip(Path(temporary))
        preparation(sound, pictures, given.repeats)
        if device.type == "cpu":
            pair(sound, pictures, given.repeats)
            steps(sound, pictures, given.repeats)
        whole_clip(sound, pictures, device, precision, given.clips, max(1, given.repeats // 2))


def pair(sound: Path, pictures: Path, repeats: int) -> None:
    """EfficientNet-Lite0 and YAMNet, from files to features of a clip, both sides on one core."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    ours, usual = load_embedder("efficientnet_lite0+yamnet", device="cpu"), UsualPair()
    part = clip_features(ours, "clip", sound, pictures)
    theirs = usual.embed_clip(sound, pictures, len(part.video))
    sides: dict[str, Callable[[], Any]] = {
        "ours": partial(clip_features, ours, "clip", sound, pictures),
        "usual": partial(usual.embed_clip, sound, pictures, len(part.video)),
    }
    seconds = alternate(sides, repeats)
    torch.set_num_threads(n_threads)
    row = [f"{len(part.audio)} windows, {len(part.video)} pictures"]
    row += [*(f"{seconds[name]:.2f}" for name in sides), f"{seconds['usual'] / seconds['ours']:.2f}"]
    row += [f"{smallest_cosine(mine, other):.5f}" for mine, other in zip((part.audio, part.video), theirs, strict=True)]
    header = ["s per clip, one core", "ours", "eager PyTorch, all frames decoded", "times"]
    header += ["smallest cosine, sound", "pictures"]
    print_table("The pair of embedder=auto, decoding included", header, [row])


def preparation(sound: Path, pictures: Path, repeats: int) -> None:
    """From files to what the networks take, on one process."""
    embedder: Any = load_embedder("openl3", weights="untrained", device="cpu")
    usual = UsualExtraction(torch.device("cpu"))
    prepared: Any = prepare_clip(embedder, "clip", sound, pictures)
    spectrograms, frames = usual.prepare(sound, pictures)
    assert isinstance(prepared, Prepared) and prepared.taken.pictures is not None
    assert len(spectrograms) == len(prepared.taken.positions) == 96
    difference = np.abs(prepared.taken.pictures[prepared.taken.positions] - frames).max()
    seconds = alternate(
        {"ours": lambda: prepare_clip(embedder, "clip", sound, pictures), "usual": lambda: usual.read(sound, pictures)},
        repeats,
    )
    row = ["decode and prepare, s per clip", *(f"{seconds[name]:.2f}" for name in ("ours", "usual"))]
    row += [f"{seconds['usual'] / seconds['ours']:.1f}", f"{difference:.0e}"]
    header = ["96 of 250 frames", "ours", "all frames decoded, scikit-image", "times", "largest difference"]
    print_table("Decoding and preparation, one process", header, [row])


def steps(sound: Path, pictures: Path, repeats: int) -> None:
    """Where the processor's time goes in a clip, on one thread, step by step."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    l3 = load_l3("openl3", weights="untrained", device="cpu")
    frontend = Frontend(l3.config.frontend, original_rounding=True)

    def audio(watch: Stopwatch) -> None:
        blocks, rate = watch("sound: decoding", lambda: decoded(stream_sound(sound)))
        pieces = watch("sound: resampling", lambda: list(l3.prepare_audio(blocks, rate)))
        windows = [torch.from_numpy(batch.copy()) for batch in cut_windows(pieces, l3.hop, l3.centred, 1)]
        spectrograms = watch("sound: spectrograms", lambda: [frontend(batch) for batch in windows])
        watch("sound: network", lambda: list(l3.runner("audio").stream(spectrograms)))

    def video(watch: Stopwatch) -> None:
        frames = watch("pictures: decoding", lambda: VideoReader(pictures).sample(96, list)[0])
        prepared = watch("pictures: scaling and cropping", lambda: list(l3.prepare_video(frames)))
        batches = [torch.from_numpy(picture).permute(2, 0, 1)[None] for picture in prepared]
        watch("pictures: network", lambda: list(l3.runner("image").stream(batches)))

    def decoded(stream: tuple[Iterator[Samples], int]) -> tuple[list[Samples], int]:
        return list(stream[0]), stream[1]

    turns: list[dict[str, float]] = []
    for _ in range(repeats):
        watch = Stopwatch()
        audio(watch)
        video(watch)
        turns.append(watch.seconds)
    torch.set_num_threads(n_threads)
    seconds = {name: float(np.median([turn[name] for turn in turns])) for name in turns[0]}
    whole = sum(seconds.values())
    rows = [[name, f"{taken:.2f}", f"{taken / whole:.1%}"] for name, taken in seconds.items()]
    print_table("A clip on one thread", ["step", "s", "share"], [*rows, ["all", f"{whole:.2f}", ""]])


class Stopwatch:
    """Processor seconds of named pieces of work."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def __call__(self, name: str, work: Callable[[], Result]) -> Result:
        """Does `work` and keeps its time."""
        begun = time.process_time()
        result = work()
        self.seconds[name] = time.process_time() - begun
        return result


def whole_clip(sound: Path, pictures: Path, device: torch.device, precision: str, n_clips: int, repeats: int) -> None:
    """From files to stored features, everything included: `extract` with its default workers, and with a single one."""
    load = partial(load_embedder, "openl3", weights="untrained", precision=precision, device=device.type)
    measured: dict[str, tuple[float, int]] = {}

    def stored(name: str, settings: Settings) -> None:
        with tempfile.TemporaryDirectory() as folder, _Memory() as memory:
            begun = time.perf_counter()
            extract(many(sound, pictures, n_clips), Path(folder) / "store", settings, progress=False)
            seconds = time.perf_counter() - begun
        measured[name] = (seconds / n_clips, memory.peak)

    single = Settings(load, workers=1, threads=available_cores())
    sides: dict[str, Callable[[], Any]] = {
        name: partial(stored, name, settings) for name, settings in (("ours", Settings(load)), (SINGLE, single))
    }
    for name in ("usual", *(["original"] if original() is not None else [])):
        sides[name] = partial(_apart, measured, name, sound, pictures, device.type)
    taken: dict[str, list[tuple[float, int]]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, call in sides.items():
            call()
            taken[name].append(measured[name])
    seconds = {name: float(np.median([pair[0] for pair in pairs])) for name, pairs in taken.items()}
    memory = {name: max(pair[1] for pair in pairs) for name, pairs in taken.items()}
    rows = [
        [
            name, f"{seconds[name]:.2f}", f"{3600 / seconds[name]:.0f}", f"{memory[name] / 1e6:.0f}",
            f"{seconds[name] / seconds['ours']:.2f}", f"{memory['ours'] / memory[name]:.2f}",
        ]
        for name in sides
    ]  # fmt: skip
    header = ["whole clip", "s per clip", "clips per hour", "peak resident MB", "times as long as ours", "our memory"]
    print_table(f"From files to stored features (ours: start included, {n_clips} clips at a time)", header, rows)


class _Memory:
    """The peak of this process's children's resident memory, all together, while it is entered."""

    peak = 0

    def __enter__(self) -> "_Memory":
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._end.wait(0.2):
            pids = [child.pid for child in multiprocessing.active_children() if child.pid]
            self.peak = max(self.peak, sum(peak_memory(pid) for pid in pids))


def _apart(measured: dict[str, tuple[float, int]], name: str, sound: Path, pictures: Path, device: str) -> None:
    """One clip in a process of its own, so that its memory can be told; loading is not counted."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_one_clip, args=(there, name, sound, pictures, device))
    process.start()
    measured[name] = here.recv()
    process.join()


def _one_clip(connection: Any, name: str, sound: Path, pictures: Path, device: str) -> None:
    embed: Callable[[], object]
    if name == "usual":
        embed = partial(UsualExtraction(torch.device(device)).embed_clip, sound, pictures)
    else:
        embed = partial(clip_features, load_embedder("openl3-original"), "clip", sound, pictures)
    begun = time.perf_counter()
    embed()
    connection.send((time.perf_counter() - begun, peak_memory()))


if __name__ == "__main__":
    main()
