"""Features of TAU's size for benchmarks, and the usual way to read them: one HDF5 read per clip, through a DataLoader.

The features are random numbers; a class shifts one dimension of the sound by 0.2 standard deviations. The HDF5 files
are of the layout that the field's users hold: a dataset for each clip, in `train.hdf5`, `val.hdf5` and `test.hdf5`.
"""

import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from avfusion.datasets import Clip
from avfusion.datasets import Dataset as Clips
from avfusion.features import FeatureStore
from avfusion.features.hdf5 import export_features
from avfusion.features.parts import Part
from avfusion.features.writer import writing

DIM, N_CLASSES, BATCH = 512, 10, 128
COURSE = "course"
Batch = tuple[Tensor, Tensor, Tensor]
"""Audio [B, T, DIM], video [B, T, DIM] and labels [B]."""


def make_features(folder: Path, n_train: int, n_held_out: int, n_frames: int) -> None:
    """A feature store and HDF5 files with the same random features in `folder`, unless they are there."""
    if (folder / COURSE).is_dir():
        return
    splits = ["train"] * n_train + ["val"] * n_held_out + ["test"] * N_CLASSES
    clips = tuple(
        Clip(
            f"clip-{row:05d}",
            f"class-{row % N_CLASSES}",
            f"place-{row:05d}",
            split,
            Path(f"{row}.wav"),
            Path(f"{row}.mp4"),
        )
        for row, split in enumerate(splits)
    )
    dataset = Clips("benchmark", Path(), clips, synthetic=True)
    plan = {
        "dataset": {"name": "benchmark", "synthetic": True, "digest": dataset.digest},
        "embedder": {"name": "random numbers", "trained": False},
    }
    folder.mkdir(parents=True, exist_ok=True)
    with writing(folder / "store") as writer:
        writer.begin(plan)
        writer.pack(dataset, _parts(clips, n_frames))
        writer.close(dataset, plan)
    export_features(FeatureStore.open(folder / "store"), folder / COURSE)


def _parts(clips: tuple[Clip, ...], n_frames: int) -> Iterator[Part]:
    generator = np.random.default_rng(0)
    for row, clip in enumerate(clips):
        audio, video = generator.standard_normal((2, n_frames, DIM), np.float32)
        audio[:, row % N_CLASSES] += 0.2
        yield Part(clip.id, audio=audio, video=video)


def warm(folder: Path) -> None:
    """Read all files once, so that they are in the page cache for whoever comes next."""
    for path in (*(folder / COURSE).rglob("*.hdf5"), *(folder / "store").glob("*.npy")):
        with path.open("rb") as file:
            while file.read(2**24):
                pass


class PerItem(Dataset[tuple[Tensor, Tensor, int]]):
    """The clips of one split, each read and standardised when it is asked for; files are opened in each worker."""

    def __init__(self, folder: Path, split: str) -> None:
        self.paths = {name: folder / COURSE / f"{name}_features_data" for name in ("audio", "video")}
        self.split, self.files = split, dict[str, h5py.File]()
        self.moments = {name: dict(np.load(path / "global_mean_std.npz")) for name, path in self.paths.items()}
        with h5py.File(self.paths["audio"] / f"{split}.hdf5") as file:
            self.keys = [(label, stem) for label in file for stem in file[label]["audio"]]

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, int]:
        if not self.files:
            self.files = {name: h5py.File(path / f"{self.split}.hdf5") for name, path in self.paths.items()}
        label, stem = self.keys[index]
        audio, video = (
            torch.from_numpy(
                (file[f"{label}/{name}/{stem}"][:] - self.moments[name]["global_mean"])
                / self.moments[name]["global_std"]
            )
            for name, file in self.files.items()
        )
        return audio, video, int(label)


def usual_loaders(folder: Path, n_workers: int) -> list[Iterable[Batch]]:
    """Loaders of the training clips, in batches of the study, and of the held-out ones."""
    train, held_out = PerItem(folder, "train"), PerItem(folder, "val")
    context = "fork" if n_workers else None  # Linux's default, also in a process that was itself spawned
    return [
        DataLoader(train, BATCH, shuffle=True, num_workers=n_workers, multiprocessing_context=context),
        DataLoader(held_out, BATCH, num_workers=n_workers, multiprocessing_context=context),
    ]


def best_workers(clips: PerItem, n_batches: int = 8) -> int:
    """The number of loader workers with which some batches come fastest, the second time."""
    seconds = {}
    for n_workers in range(len(os.sched_getaffinity(0)) + 1):
        loader = DataLoader(clips, BATCH, shuffle=True, num_workers=n_workers)
        for _ in range(2):
            started = time.perf_counter()
            for _, _batch in zip(range(n_batches), loader, strict=False):
                pass
            seconds[n_workers] = time.perf_counter() - started
    return min(seconds, key=seconds.__getitem__)
