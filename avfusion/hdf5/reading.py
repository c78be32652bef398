"""Reading one HDF5 file of features, which may come from anyone.

Only hard links are followed, and only data inside the file is read: external and soft links, external
storage and virtual datasets could reach any file of this machine. What a header claims is checked
before memory is taken for it.

T   frames of a clip; D   features of a frame
"""

import mmap
import re
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from avfusion.errors import UserError
from avfusion.features.parts import Features
from avfusion.hdf5.folder import COURSE_FRAMES

OWN_MARK, SYNTHETIC, FRAMES, CLASS, LOCATION, ID = "avfusion", "synthetic", "frames", "class", "location", "id"
"""Attributes that our export adds: three to the file, one to a label, two to a clip."""

_LARGEST = 2**31  # bytes of one clip's features, or of one chunk of them


class Key(NamedTuple):
    """Where a clip is in a file, but for the modality."""

    label: str
    stem: str


class FeatureFile:
    """One open file. Use it as a context manager.

    Contiguous datasets are read through a memory map at the place that HDF5 names, which spares
    the library's own way of reading them; others (chunked, compressed) go through h5py.
    """

    def __init__(self, path: Path, modality: str) -> None:
        """Opens `path`.

        Raises:
            UserError: it cannot be read as HDF5.
        """
        self.path, self._modality = path, modality
        try:
            self._file = h5py.File(path, "r")
            with path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise UserError(f"{path} cannot be read as HDF5: {_line(error)}") from error

    def __enter__(self) -> "FeatureFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()  # the map ends with its last view

    def keys(self) -> list[Key]:
        """The clips, sorted.

        Raises:
            UserError: the file is laid out in another way, damaged, or holds links.
        """
        try:
            return [
                Key(label, stem)
                for label in _names(self._file.id)
                if self._modality in _names(self._group(label))
                for stem in _names(self._group(f"{label}/{self._modality}"))
            ]
        except (OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
            expected = f"expected <label>/{self._modality}/<stem>"
            raise UserError(f"{self.path} cannot be used: {_line(error)}; {expected}") from error

    def frames(self, key: Key) -> Features:
        """One clip's features, float32 [T, D]; a view of the file where that is possible.

        Raises:
            ValueError: what is there cannot be used; the message is one line.
        """
        try:
            place = h5py.h5o.open(self._file.id, self.name(key).encode())
            if isinstance(place, h5py.h5d.DatasetID):
                features = self._values(place)
            else:
                names = _names(place)
                strange = next((name for name in names if not (name.isascii() and name.isdigit())), None)
                if strange is not None or not names:
                    raise ValueError(f"expected frames named by numbers, found {strange or 'none'}")
                rows = [self._values(h5py.h5d.open(place, name.encode())) for name in sorted(names, key=int)]
                features = np.stack(rows)
        except (OSError, KeyError, RuntimeError, TypeError) as error:
            raise ValueError(_line(error)) from error
        if features.ndim != 2 or not features.size:
            raise ValueError(f"features of shape {list(features.shape)}; expected [frames, values]")
        return features

    def name(self, key: Key) -> str:
        """The name inside the file."""
        return f"{key.label}/{self._modality}/{key.stem}"

    @property
    def own(self) -> bool:
        """Whether our export wrote it, with attributes on classes, locations and ids."""
        return OWN_MARK in self._file.attrs

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

    def attribute(self, name: str, attribute: str) -> str:
        """An attribute of the object `name` as text; "" if it has none."""
        try:
            return str(self._file[name].attrs.get(attribute, ""))
        except (OSError, KeyError, RuntimeError, TypeError):  # a damaged one is as good as none
            return ""

    def _group(self, name: str) -> Any:
        return h5py.h5g.open(self._file.id, name.encode())

    def _values(self, dataset: Any) -> Features:
        """One dataset's numbers as float32, whatever its layout."""
        dtype, shape = dataset.dtype, dataset.shape
        if dtype.kind != "f":
            raise ValueError(f"values of type {dtype}; expected floating-point numbers")
        n_bytes = int(np.prod(shape, dtype=object)) * dtype.itemsize
        if n_bytes > _LARGEST:
            raise ValueError(f"claims a shape of {list(shape)}; at most {_LARGEST >> 30} GiB per clip are accepted")
        offset = dataset.get_offset()
        if offset is not None:
            if offset + n_bytes > len(self._map):
                raise ValueError("its data lies beyond the end of the file")
            values: NDArray[Any] = np.ndarray(shape, dtype, self._map, offset)
        else:
            _check_storage(dataset, dtype.itemsize)
            values = np.empty(shape, dtype)
            dataset.read(h5py.h5s.ALL, h5py.h5s.ALL, values)
        return values.astype(np.float32, copy=False)


def _check_storage(dataset: Any, itemsize: int) -> None:
    """Refuses data that is not stored in the file, and chunks of any size."""
    plan = dataset.get_create_plist()
    if plan.get_external_count() or plan.get_layout() == h5py.h5d.VIRTUAL:
        raise ValueError("its data lies in another file, which is not followed")
    if dataset.get_storage_size() == 0:
        raise ValueError("it was never written")
    if plan.get_layout() == h5py.h5d.CHUNKED and np.prod(plan.get_chunk(), dtype=object) * itemsize > _LARGEST:
        raise ValueError(f"claims chunks of {list(plan.get_chunk())} values")


def _names(group: Any) -> list[str]:
    """The names in a group, sorted.

    Raises:
        ValueError: one of them is a link to another place.
    """
    names: list[str] = []
    links: list[str] = []

    def visit(name: bytes, info: Any) -> None:
        (names if info.type == h5py.h5l.TYPE_HARD else links).append(name.decode("utf-8", "replace"))

    group.links.iterate(visit, info=True)
    if links:
        raise ValueError(f"{links[0]!r} is a link to another place, which is not followed")
    return sorted(names)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
