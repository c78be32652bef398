"""What AVC pretraining draws its pairs from: each clip's sound at 48 kHz and a few prepared pictures.

Both lie in two flat float16 files that are read through memory maps, so memory does not grow with the data.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avfusion.datasets import Clip, Dataset
from avfusion.errors import UserError
from avfusion.l3.pictures import network_pictures
from avfusion.l3.presets import SAMPLE_RATE, WINDOW, L3Config
from avfusion.l3.sound import mono
from avfusion.media import MediaError, VideoReader, read_sound
from avfusion.system.files import write_atomically
from avfusion.system.memory import MemoryLimit
from avfusion.system.processes import available_cores, spread
from avfusion.system.progress import show_progress

PICTURES = 10
"""Pictures kept of each clip, evenly spaced."""

INDEX, SOUND, PICTURE = "pairs.json", "sound.f16", "pictures.f16"
Half = NDArray[np.float16]


@dataclass(frozen=True)
class Entry:
    """Where one clip lies: sample offset and number of samples; its seconds; its location."""

    id: str
    location: str
    start: int
    samples: int
    seconds: float


@dataclass(frozen=True)
class PairSource:
    """Clips ready to draw pairs from: sound [all samples], pictures [clips, PICTURES, 3, H, W], both float16."""

    entries: list[Entry]
    sound: Half
    pictures: Half

    def pairs(self, clips: NDArray[np.intp], generator: np.random.Generator) -> tuple[NDArray[np.float32], Half]:
        """For each of these clips a one-second window [B, 48000] and a picture [B, 3, H, W] within that second."""
        windows = np.zeros((len(clips), WINDOW), np.float32)
        pictures = []
        for row, clip in enumerate(clips):
            entry, number = self.entries[clip], int(generator.integers(PICTURES))
            moment = number / max(PICTURES - 1, 1) * entry.seconds * SAMPLE_RATE
            earliest, latest = max(0, moment - WINDOW), max(0, min(moment, entry.samples - WINDOW))
            begin = int(generator.uniform(min(earliest, latest), latest))
            piece = self.sound[entry.start + begin : entry.start + min(begin + WINDOW, entry.samples)]
            windows[row, : len(piece)] = piece
            pictures.append(self.pictures[clip, number])
        return windows, np.stack(pictures)


def prepare(dataset: Dataset, config: L3Config, folder: Path) -> PairSource:
    """The pairs of `dataset` for the network `config`, written under `folder` unless it is there already.

    Clips that cannot be used are left out. Raises `UserError` if fewer than two remain.
    """
    plan = {"clips": dataset.digest, "preset": config.preset, "size": config.image.input_size, "pictures": PICTURES}
    index = folder / INDEX
    if not index.is_file() or json.loads(index.read_text())["plan"] != json.loads(json.dumps(plan)):
        folder.mkdir(parents=True, exist_ok=True)
        entries, shape = _write(dataset, config, folder)
        content = {"plan": plan, "shape": shape, "entries": [asdict(entry) for entry in entries]}
        write_atomically(index, json.dumps(content).encode())
    content = json.loads(index.read_text())
    return PairSource(
        [Entry(**entry) for entry in content["entries"]],
        np.memmap(folder / SOUND, np.float16, "r"),
        np.memmap(folder / PICTURE, np.float16, "r").reshape(-1, *content["shape"]),
    )


def _write(dataset: Dataset, config: L3Config, folder: Path) -> tuple[list[Entry], tuple[int, ...]]:
    entries: list[Entry] = []
    shape: tuple[int, ...] = ()
    with (folder / SOUND).open("wb") as sounds, (folder / PICTURE).open("wb") as pictures:
        start = 0
        for clip, found in zip(dataset.clips, _decoded(dataset, config), strict=True):
            if found is not None:
                sound, prepared, seconds = found
                shape = prepared.shape
                entries.append(Entry(clip.id, clip.location, start, len(sound), seconds))
                start += len(sound)
                sounds.write(sound.tobytes())
                pictures.write(prepared.tobytes())
    if len(entries) < 2:
        raise UserError(
            f"{dataset.root}: {len(entries)} clips have sound and pictures; AVC pretraining needs at least 2"
        )
    return entries, shape


def _decoded(dataset: Dataset, config: L3Config) -> Iterator[tuple[Half, Half, float] | None]:
    found = spread(partial(_decode, config=config), dataset.clips, available_cores(), get_context("spawn"))
    with show_progress("preparing", len(dataset.clips), "clip") as bar:
        for one in found:
            bar.update()
            yield one


def _decode(clip: Clip, config: L3Config) -> tuple[Half, Half, float] | None:
    """One clip's sound [n], pictures [PICTURES, 3, H, W] and seconds; None if either cannot be had."""
    if clip.audio is None or clip.video is None:
        return None
    try:
        with MemoryLimit():
            sound = mono(*read_sound(clip.audio), SAMPLE_RATE).astype(np.float16)
            reader = VideoReader(clip.video)
            prepared, positions = reader.sample(PICTURES, lambda frames: list(network_pictures(frames, config)))
    except (MediaError, MemoryError):
        return None
    pictures = np.stack(prepared).transpose(0, 3, 1, 2)[positions].astype(np.float16)
    return sound, pictures, min(reader.seconds, len(sound) / SAMPLE_RATE)
