"""HDF5 features at the full size of TAU 2021 (12,291 clips of [96, 512] twice): import, pooling, and h5py beside it.

Takes about 10 GB in the folder that it is given, which it empties again.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from avfusion.features import FeatureStore
from avfusion.features.hdf5 import import_features
from avfusion.training.split_features import SplitFeatures

SPLITS = {"train": 7907, "val": 739, "test": 3645}  # clips, as the baseline's script divides them
SCENES = ("airport", "bus", "metro", "metro_station", "park", "public_square", "shopping_mall", "street_pedestrian",
          "street_traffic", "tram")  # fmt: skip
SHAPE = (96, 512)


def write_features(root: Path, share: float) -> None:
    """The course's files with random features; `share` of all clips."""
    noise = np.random.default_rng(0).standard_normal((SHAPE[0] + 1000, SHAPE[1])).astype(np.float32)
    for modality in ("audio", "video"):
        folder = root / f"{modality}_features_data"
        folder.mkdir(parents=True)
        for number, (split, count) in enumerate(SPLITS.items()):
            with h5py.File(folder / f"{split}.hdf5", "w") as file:
                for clip in range(int(count * share)):
                    label = clip % len(SCENES)
                    stem = f"{SCENES[label]}-city{clip % 12}-{number}{clip // 20:04d}-{clip}"
                    file[f"{label}/{modality}/{stem}"] = noise[clip % 1000 :][: SHAPE[0]]


def pooled_by_h5py(root: Path) -> dict[str, NDArray[np.float32]]:
    """Mean over time of every clip, read as the course's loader reads."""
    means = {}
    for path in sorted(root.glob("*/*.hdf5")):
        with h5py.File(path) as file:
            for label in file:
                for modality in file[label]:
                    for stem, dataset in file[label][modality].items():
                        means[f"{modality} {stem}"] = dataset[:].mean(axis=0, dtype=np.float64).astype(np.float32)
    return means


@contextmanager
def timed(name: str, n_bytes: int) -> Iterator[None]:
    """Prints seconds and the rate."""
    started = time.perf_counter()
    yield
    seconds = time.perf_counter() - started
    print(f"{name:48} {seconds:7.1f} s {n_bytes / seconds / 1e9:6.2f} GB/s", flush=True)


def plain_copy(root: Path, target: Path) -> None:
    """What the disk can do: the same bytes read and written once, and forced to the disk."""
    with target.open("wb") as out:
        for path in sorted(root.glob("*/*.hdf5")):
            with path.open("rb") as file:
                while block := file.read(2**24):
                    out.write(block)
        os.fsync(out.fileno())
    target.unlink()


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", help="where there is room; a temporary folder by default")
    parser.add_argument("--share", type=float, default=1.0, help="of all clips")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as place:
        root = Path(place) / "features"
        write_features(root, options.share)
        n_bytes = sum(path.stat().st_size for path in root.glob("*/*.hdf5"))
        print(f"{n_bytes / 1e9:.2f} GB of HDF5")
        with timed("copy of the files (the disk's own speed)", n_bytes):
            plain_copy(root, Path(place) / "copy")
        with timed("import into a store", n_bytes):
            store = import_features(root, Path(place) / "store", progress=False)
        with timed("import again (opens what is there)", n_bytes):
            import_features(root, Path(place) / "store", progress=False)
        task = SplitFeatures(FeatureStore.open(store.path))
        with timed("pooling from the store, with mean squares", n_bytes):
            pooled = {name: moments.mean.astype(np.float32) for name, moments in task.statistics.moments.items()}
        with timed("pooling through h5py", n_bytes):
            expected = pooled_by_h5py(root)
        for modality, means in pooled.items():
            for stem, mean in zip(store.clips["id"], means, strict=True):
                assert np.array_equal(mean, expected[f"{modality} {stem}"])
        print(f"{len(store.clips)} clips, {len(store.failures)} failures; pooled features bit-identical to h5py's")


if __name__ == "__main__":
    main()
