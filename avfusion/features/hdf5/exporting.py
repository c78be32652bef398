"""A feature store as the course's HDF5 files."""

import logging
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np

from avfusion import __version__
from avfusion.datasets.splits import assign_splits
from avfusion.errors import UserError
from avfusion.features import MODALITIES, FeatureStore, Modality
from avfusion.features.hdf5.folder import COURSE_FRAMES, FOLDERS, MOMENTS, SPLIT_FILES
from avfusion.features.hdf5.moments import RunningMoments, Vector
from avfusion.features.hdf5.reading import CLASS, FRAMES, ID, LOCATION, OWN_MARK, SYNTHETIC
from avfusion.features.layout import cannot_write
from avfusion.system.names import distinct

if TYPE_CHECKING:
    import pandas as pd

_log = logging.getLogger(__name__)


def export_features(store: FeatureStore, output: str | Path) -> Path:
    """Writes `store` to the new folder `output`, whole or not at all; returns it.

    Splits are the store's; those left open are drawn as for training. Labels are class indices in
    alphabetical order. Attributes, which other readers pass over, keep class names, locations, ids and
    how many frames count, so that importing the folder gives every clip and number back.

    Raises:
        UserError: `output` exists and is not empty, or cannot be written.
    """
    output = Path(output)
    clips = store.clips
    if (clips["split"] == "").any():
        clips = clips.assign(split=assign_splits(clips))
    stems = distinct("_" if name == "." else name.replace("/", "_") for name in clips["id"])
    temporary = output.with_name(f".{output.name}.{os.getpid()}.tmp")
    try:
        if output.exists() and (not output.is_dir() or any(output.iterdir())):
            raise UserError(f"{output.absolute()} exists; an export needs a new or empty folder")
        for modality in MODALITIES:
            _export(store, clips, stems, modality, temporary / FOLDERS[modality])
        os.replace(temporary, output)  # noqa: PTH105  (one name for every rename: tests stop here)
    except OSError as error:
        raise UserError(cannot_write(output, error)) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return output


def _export(store: FeatureStore, clips: "pd.DataFrame", stems: list[str], modality: Modality, folder: Path) -> None:
    """The files of one modality."""
    folder.mkdir(parents=True)
    running = RunningMoments()
    n_short = 0
    for split, rows in clips.groupby("split").indices.items():
        with h5py.File(folder / SPLIT_FILES[str(split)][0], "w") as file:
            file.attrs[OWN_MARK] = __version__
            file.attrs[SYNTHETIC] = bool(store.provenance["dataset"]["synthetic"])
            file.attrs[FRAMES] = str(store.first_frames or 0)
            for row in rows:
                features = store.frames(modality, int(row))
                if len(features):
                    _write_clip(file, store, int(row), stems[row], modality, features)
                    n_short += len(features) < COURSE_FRAMES
                    if split == "train":
                        running.add(features)
    moments = store.standardization.get(modality) or running.result()
    if moments is not None:
        _write_moments(folder / MOMENTS, *moments)
    if n_short:
        _log.warning("%s: %d clips have fewer than the course's %d frames", modality, n_short, COURSE_FRAMES)


def _write_clip(
    file: h5py.File, store: FeatureStore, row: int, stem: str, modality: Modality, features: Vector
) -> None:
    """One contiguous dataset, which readers can map into memory."""
    clip = store.clips.iloc[row]
    label = str(store.classes.index(clip["label"]))
    dataset = file.create_dataset(f"{label}/{modality}/{stem}", data=features)
    file[label].attrs[CLASS] = clip["label"]
    dataset.attrs[LOCATION] = clip["location"]
    if stem != clip["id"]:
        dataset.attrs[ID] = clip["id"]


def _write_moments(file: Path, mean: Vector, std: Vector) -> None:
    with file.open("wb") as stream:
        np.savez(stream, global_mean=mean, global_std=std)
