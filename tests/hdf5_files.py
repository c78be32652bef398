"""HDF5 features in both public layouts, with content that follows from the name."""

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

SCENES = ("airport", "bus", "park")
DIM = 4


def features(modality: str, stem: str, n_frames: int = 12) -> NDArray[np.float32]:
    """[n_frames, DIM], others for each modality and stem."""
    random = np.random.default_rng(zlib.crc32(f"{modality} {stem}".encode()))
    return random.normal(2, 3, size=(n_frames, DIM)).astype(np.float32)


def stems(split: str, per_class: int = 2) -> list[tuple[str, str]]:
    """(label, stem) of a split's clips; each is a location of its own."""
    first = {"train": 100, "val": 200, "test": 300}[split]
    return [
        (str(label), f"{scene}-rome-{first + label * 10 + i}-{i}")
        for label, scene in enumerate(SCENES)
        for i in range(per_class)
    ]


def write_course(root: Path, n_frames: int = 12, **storage: Any) -> None:
    """The course's layout; `storage` goes to `create_dataset`, for instance chunks=True."""
    for modality in ("audio", "video"):
        for split in ("train", "val", "test"):
            with new_file(root, modality, split) as file:
                for label, stem in stems(split):
                    values = features(modality, stem, n_frames)
                    file.create_dataset(f"{label}/{modality}/{stem}", data=values, **storage)


def write_baseline(root: Path) -> None:
    """The DCASE baseline's layout: frames of their own in tr and val, whole clips in tt."""
    for modality in ("audio", "video"):
        for split, name in (("train", "tr"), ("val", "val"), ("test", "tt")):
            with new_file(root, modality, name) as file:
                for label, stem in stems(split):
                    values = features(modality, stem)
                    if name == "tt":
                        file[f"{label}/{modality}/{stem}"] = values
                    else:
                        for number, row in enumerate(values):
                            file[f"{label}/{modality}/{stem}/{number}"] = row


def write_moments(root: Path, modality: str, **arrays: NDArray[Any]) -> None:
    """global_mean_std.npz of one modality."""
    moments: Mapping[str, NDArray[Any]] = {"global_mean": np.arange(DIM), "global_std": np.full(DIM, 2.0)}
    named = {name: np.asarray(values, np.float64) for name, values in moments.items()} | arrays
    np.savez(root / f"{modality}_features_data" / "global_mean_std.npz", **named)


def new_file(root: Path, modality: str, name: str) -> h5py.File:
    """An HDF5 file to write; its folder is made."""
    folder = root / f"{modality}_features_data"
    folder.mkdir(parents=True, exist_ok=True)
    return h5py.File(folder / f"{name}.hdf5", "w")


def edit(root: Path, modality: str, name: str) -> h5py.File:
    """The same file again, to change it."""
    return h5py.File(root / f"{modality}_features_data" / f"{name}.hdf5", "r+")
