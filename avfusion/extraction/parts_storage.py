"""Where the parts of an extraction are kept until the store is made of them: a folder, or an fsspec address.

A part is the file of one clip, named after the number of the clip in its dataset.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from avfusion.errors import UserError
from avfusion.features.layout import cannot_write
from avfusion.features.parts import Part, part_name, part_sources, read_part, write_part
from avfusion.features.sources import Sources
from avfusion.media.container import one_line
from avfusion.system.secrets import masked
from avfusion.system.work_folder import WorkFolder

_EXAMPLES = "for instance s3://bucket/folder or file:///shared/folder"


class PartsStorage(Protocol):
    """Holds one part per clip. It can be pickled, and means the same on every machine."""

    def has(self, index: int) -> bool:
        """Whether clip number `index` has a part."""
        ...

    def done(self, n_clips: int) -> set[int]:
        """The numbers of the clips that have a part."""
        ...

    def write(self, index: int, part: Part) -> None:
        """Writes a part, whole or not at all; OSError if that cannot be done."""
        ...

    def read(self, index: int, clip_id: str) -> Part:
        """The part of a clip; UserError for a damaged one, or one of another version, which is removed."""
        ...

    def sources(self, index: int) -> Sources | None:
        """The media that a part was made of, unknown for a damaged one; None for a part of another version."""
        ...

    def remove(self, index: int) -> None:
        """Removes a part."""
        ...

    def complaint(self, error: OSError) -> str:
        """What to tell people when `write` raised `error`, in one line."""
        ...

    def clear(self) -> None:
        """Removes all parts."""
        ...


@dataclass(frozen=True)
class PartsFolder:
    """Parts in a folder that every worker sees under the same path."""

    folder: Path

    def has(self, index: int) -> bool:
        """See `PartsStorage`."""
        return (self.folder / part_name(index)).exists()

    def done(self, n_clips: int) -> set[int]:
        """See `PartsStorage`."""
        present = {path.name for path in self.folder.iterdir()}
        return {index for index in range(n_clips) if part_name(index) in present}

    def write(self, index: int, part: Part) -> None:
        """See `PartsStorage`."""
        write_part(self.folder, index, part)

    def read(self, index: int, clip_id: str) -> Part:
        """See `PartsStorage`."""
        return read_part(self.folder, index, clip_id)

    def sources(self, index: int) -> Sources | None:
        """See `PartsStorage`."""
        return part_sources(self.folder, index)

    def remove(self, index: int) -> None:
        """See `PartsStorage`."""
        (self.folder / part_name(index)).unlink()

    def complaint(self, error: OSError) -> str:
        """See `PartsStorage`."""
        return cannot_write(self.folder.parent, error)

    def clear(self) -> None:
        """Nothing: the folder goes when the store is finished."""


@dataclass(frozen=True)
class PartsAddress:
    """Parts at an address of fsspec, whose file system must move files whole (object stores and shared disks do).

    Parts are written to a temporary name and moved: a reader that sees a name sees all of the part.
    """

    address: str

    def has(self, index: int) -> bool:
        """See `PartsStorage`."""
        return bool(self._files.exists(self._path(index)))

    def done(self, n_clips: int) -> set[int]:
        """See `PartsStorage`."""
        self._files.makedirs(self._root, exist_ok=True)
        self._files.invalidate_cache()
        present = {str(name).rsplit("/", 1)[-1] for name in self._files.ls(self._root, detail=False)}
        return {index for index in range(n_clips) if part_name(index) in present}

    def write(self, index: int, part: Part) -> None:
        """See `PartsStorage`."""
        with WorkFolder() as folder:
            write_part(folder, index, part)
            temporary = f"{self._root}/{folder.name}.tmp"
            try:
                self._files.put_file(str(folder / part_name(index)), temporary)
                self._files.mv(temporary, self._path(index))
            except Exception as error:  # each file system has its own
                raise OSError(one_line(error)) from error

    def read(self, index: int, clip_id: str) -> Part:
        """See `PartsStorage`."""
        with self._fetched(index) as folder:
            try:
                return read_part(folder, index, clip_id)
            except UserError:
                self.remove(index)
                raise

    def sources(self, index: int) -> Sources | None:
        """See `PartsStorage`."""
        with self._fetched(index) as folder:
            return part_sources(folder, index)

    def remove(self, index: int) -> None:
        """See `PartsStorage`."""
        self._files.rm_file(self._path(index))

    def complaint(self, error: OSError) -> str:
        """See `PartsStorage`."""
        return (
            f"cannot write to {masked(self.address)}: {error}; mend that and run the same command again: it continues"
        )

    def clear(self) -> None:
        """See `PartsStorage`."""
        self._files.rm(self._root, recursive=True)

    def check(self) -> None:
        """Raises UserError for an address that no installed file system serves."""
        try:
            self._files.makedirs(self._root, exist_ok=True)
        except Exception as error:  # each file system has its own
            raise UserError(
                f"parts={masked(self.address)} cannot be used ({masked(one_line(error))}); {_EXAMPLES}"
            ) from error

    @contextmanager
    def _fetched(self, index: int) -> Iterator[Path]:
        """A folder of this machine with the file of a part."""
        with WorkFolder() as folder:
            self._files.get_file(self._path(index), str(folder / part_name(index)))
            yield folder

    def _path(self, index: int) -> str:
        return f"{self._root}/{part_name(index)}"

    @property
    def _root(self) -> str:
        return self._opened[1].rstrip("/")

    @property
    def _files(self) -> Any:
        return self._opened[0]

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        from fsspec.core import url_to_fs  # here: local extraction needs none of it

        files, path = url_to_fs(self.address)
        return files, path
