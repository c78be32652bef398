"""What is checked in an HDF5 file, which may come from anyone, before anything in it is followed or read.

Only hard links are followed, and only data inside the file is read: external and soft links, external storage and
virtual datasets could reach any file of this machine. What a header claims is checked before memory is taken for it.
What the library takes by itself, for instance for a compressed block that expands a thousandfold, is left to the
`MemoryLimit` around it.

All functions take objects of h5py's low level and raise one of `ERRORS`, of which `line` makes one line.
"""

from collections.abc import Iterable
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from avfusion.system.memory import too_large

ERRORS = (OSError, ValueError, KeyError, RuntimeError, TypeError, MemoryError)
"""What these checks raise, and h5py for damaged files."""

MOST_VALUES = 2**26
"""Numbers that are read at once: 256 MiB as float32."""

_MOST_ENTRIES, _LONGEST_ENTRY = 4096, 1024  # of an attribute; bytes
_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32, h5py.h5z.FILTER_LZF}


def line(error: BaseException) -> str:
    """The error in one short line."""
    return too_large() if isinstance(error, MemoryError) else " ".join(str(error).split())[:160]


def names(group: Any, seen: set[int]) -> list[str]:
    """The names in a group, sorted; each must be the only name of its object.

    `seen` are addresses of objects that were listed before; those of this group are added. Without that, a file with
    a thousand names for one group of a thousand names would list a million.
    """
    found: list[str] = []
    problems: list[str] = []

    def visit(name: bytes, info: Any) -> None:
        text = name.decode("utf-8", "replace")
        found.append(text)
        if info.type != h5py.h5l.TYPE_HARD:
            problems.append(_link(text))
        elif info.u in seen:
            problems.append(f"{text!r} is one more name of something that has a name")
        seen.add(info.u)

    group.links.iterate(visit, info=True)
    if problems:
        raise ValueError(problems[0])
    return sorted(found)


def open_object(group: Any, path: str) -> Any:
    """The object at `path` in a group, reached by hard links alone."""
    found = group
    for name in filter(None, path.split("/")):
        _of_kind(h5py.h5g.GroupID, found, f"what should hold {name!r} is no group")
        if found.links.get_info(name.encode()).type != h5py.h5l.TYPE_HARD:
            raise ValueError(_link(name))
        found = h5py.h5o.open(found, name.encode())
    return found


def open_group(group: Any, path: str) -> Any:
    """The group at `path` in a group."""
    return _of_kind(h5py.h5g.GroupID, open_object(group, path), f"{path!r} is no group")


def open_dataset(group: Any, path: str) -> Any:
    """The dataset at `path` in a group."""
    return _of_kind(h5py.h5d.DatasetID, open_object(group, path), f"{path!r} is no dataset")


def attribute(owner: Any, name: str) -> Any:
    """The attribute `name` of a group or dataset, text or a truth value or a few of them; None if it has none."""
    if not h5py.h5a.exists(owner, name.encode()):
        return None
    found = h5py.h5a.open(owner, name.encode())
    dtype, count = found.dtype, _product(found.shape)
    if count and dtype.kind not in "Sb" and not h5py.check_string_dtype(dtype):
        raise ValueError(f"its attribute {name!r} is of type {dtype}; expected text")
    if count > _MOST_ENTRIES or dtype.itemsize > _LONGEST_ENTRY:
        raise ValueError(f"its attribute {name!r} claims {count} entries of {dtype.itemsize} bytes")
    high_level = h5py.Dataset(owner) if isinstance(owner, h5py.h5d.DatasetID) else h5py.Group(owner)
    return high_level.attrs[name]


def check_datasets(datasets: Iterable[Any], most: int = MOST_VALUES) -> None:
    """Refuses datasets that are not floating-point numbers in this file, or claim more than `most` in all."""
    total = 0
    for dataset in datasets:
        dtype, shape = dataset.dtype, list(dataset.shape)
        if dtype.kind != "f":
            raise ValueError(f"values of type {dtype}; expected floating-point numbers")
        properties = dataset.get_create_plist()
        if properties.get_external_count() or properties.get_layout() == h5py.h5d.VIRTUAL:
            raise ValueError("its data lies in another file, which is not followed")
        if dataset.get_storage_size() == 0:
            raise ValueError("it was never written")
        total += _product(shape)
        if total > most:
            raise ValueError(f"claims a shape of {shape}; at most {most} values are accepted")
        if properties.get_layout() == h5py.h5d.CHUNKED:
            _check_chunks(properties, most)


def read(dataset: Any, content: Any = None) -> NDArray[np.float32]:
    """A dataset that was checked, as float32.

    `content` is the file's, mapped into memory: numbers that lie there in one piece are not copied.
    """
    dtype, shape, offset = dataset.dtype, dataset.shape, dataset.get_offset()
    if content is not None and offset is not None:
        if offset + _product(shape) * dtype.itemsize > len(content):
            raise ValueError("its data lies beyond the end of the file")
        values: NDArray[Any] = np.ndarray(shape, dtype, content, offset)
    else:
        values = np.empty(shape, dtype)
        dataset.read(h5py.h5s.ALL, h5py.h5s.ALL, values)
    return values.astype(np.float32, copy=False)


def _check_chunks(properties: Any, most: int) -> None:
    """Refuses blocks of any size, and filters that the library would have to find and load."""
    if _product(properties.get_chunk()) > most:
        raise ValueError(f"claims chunks of {list(properties.get_chunk())} values; at most {most} are accepted")
    for number in range(properties.get_nfilters()):
        code = properties.get_filter(number)[0]
        if code not in _FILTERS:
            raise ValueError(
                f"it is packed by the HDF5 filter {code}; expected gzip, lzf or none (h5repack unpacks it)"
            )


def _of_kind(kind: type, found: Any, complaint: str) -> Any:
    if not isinstance(found, kind):
        raise ValueError(complaint)
    return found


def _link(name: str) -> str:
    return f"{name!r} is a link to another place, which is not followed"


def _product(sizes: Iterable[int]) -> int:
    return int(np.prod(list(sizes), dtype=object))
