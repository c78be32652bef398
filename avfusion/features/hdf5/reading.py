"""Reading one HDF5 file of features, which may come from anyone: see `avfusion.system.hdf5_checks`.

T   frames of a clip; D   features of a frame
"""

import mmap
import re
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from avfusion.errors import UserError
from avfusion.features.hdf5.folder import COURSE_FRAMES
from avfusion.features.parts import Features
from avfusion.system.hdf5_checks import (
    ERRORS,
    attribute,
    check_datasets,
    line,
    names,
    open_dataset,
    open_group,
    open_object,
    read,
)
from avfusion.system.memory import MemoryLimit

OWN_MARK, SYNTHETIC, FRAMES, CLASS, LOCATION, ID = "avfusion", "synthetic", "frames", "class", "location", "id"
"""Attributes that our export adds: three to the file, one to a label, two to a clip."""


class Key(NamedTuple):
    """Where a clip is in a file, but for the modality."""

    label: str
    stem: str


class FeatureFile:
    """One open file. Use it as a context manager.

    Contiguous datasets are read through a memory map at the offset that HDF5 names, which spares
    the library's own way of reading them; others (chunked, compressed) go through h5py.
    """

    def __init__(self, path: Path, modality: str) -> None:
        """Opens `path`.

        Raises:
            UserError: it cannot be read as HDF5.
        """
        self.path, self._modality = path, modality
        try:
            with MemoryLimit():
                self._file = h5py.File(path, "r")
            with path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            self._root = h5py.h5g.open(self._file.id, b"/")
        except ERRORS as error:
            raise UserError(f"{path} cannot be read as HDF5: {line(error)}") from error

    def __enter__(self) -> "FeatureFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()  # the map ends with its last view

    def keys(self) -> list[Key]:
        """The clips, sorted.

        Raises:
            UserError: the file is laid out in another way, damaged, or holds links.
        """
        seen: set[int] = set()
        try:
            with MemoryLimit():
                return [
                    Key(label, stem)
                    for label in names(self._root, seen)
                    if self._modality in names(open_group(self._root, label), seen)
                    for stem in names(open_group(self._root, f"{label}/{self._modality}"), seen)
                ]
        except ERRORS as error:
            expected = f"expected <label>/{self._modality}/<stem>"
            raise UserError(f"{self.path} cannot be used: {line(error)}; {expected}") from error

    def frames(self, key: Key) -> Features:
        """One clip's features, float32 [T, D]; a view of the file where that is possible.

        Raises:
            ValueError: what is there cannot be used; the message is one line.
        """
        try:
            with MemoryLimit():
                features = self._features(open_object(self._root, self.name(key)))
        except ERRORS as error:
            raise ValueError(line(error)) from error
        if features.ndim != 2 or not features.size:
            raise ValueError(f"features of shape {list(features.shape)}; expected [frames, values]")
        return features

    def name(self, key: Key) -> str:
        """The name inside the file."""
        return f"{key.label}/{self._modality}/{key.stem}"

    @property
    def own(self) -> bool:
        """Whether our export wrote it, with attributes on classes, locations and ids."""
        return self.attribute("/", OWN_MARK) != ""

    @property
    def synthetic(self) -> bool:
        """Whether it is our export of synthetic scenes."""
        return self.own and self.attribute("/", SYNTHETIC) == str(True)

    @property
    def first_frames(self) -> int:
        """How many frames of a clip are learned from, 0 for all: what our export says, else as the course does."""
        if not self.own:
            return COURSE_FRAMES
        said = self.attribute("/", FRAMES)
        return int(said) if re.fullmatch("[0-9]{1,9}", said) else 0

    def attribute(self, name: str, attribute_name: str) -> str:
        """An attribute of the object `name` as text; "" if it has none."""
        try:
            with MemoryLimit():
                found = attribute(open_object(self._root, name), attribute_name)
        except ERRORS:  # a damaged one is as good as none
            return ""
        return "" if found is None else str(found)

    def _features(self, found: object) -> Features:
        """The numbers of one dataset, or of a group's datasets, each of which is a frame."""
        if isinstance(found, h5py.h5d.DatasetID):
            check_datasets([found])
            return read(found, self._map)
        if not isinstance(found, h5py.h5g.GroupID):
            raise ValueError("it is neither a dataset nor a group of frames")
        frames = names(found, set())
        strange = next((name for name in frames if not (name.isascii() and name.isdigit())), None)
        if strange is not None or not frames:
            raise ValueError(f"expected frames named by numbers, found {strange or 'none'}")
        rows = [open_dataset(found, name) for name in sorted(frames, key=int)]
        check_datasets(rows)
        return np.stack([read(row, self._map) for row in rows])
