"""Where clips come from: data sets with labels, in several layouts; synthetic scenes; their splits.

A layout is one module of this package with three public names, and nothing else registers it:
`LAYOUT` (one line for error messages), `matches(path)`, and `read(path, allow_outside=...)`.
Nothing here opens a media file.
"""

import importlib
import pkgutil
from pathlib import Path
from typing import Protocol, cast

from avfusion.datasets.dataset import SPLITS, Clip, Dataset
from avfusion.errors import UserError

__all__ = ["SPLITS", "Clip", "Dataset", "layouts", "read_dataset"]


class Layout(Protocol):
    """A reader module of this package."""

    LAYOUT: str

    def matches(self, path: Path) -> bool:
        """Whether `path` (which exists) has this layout."""

    def read(self, path: Path, *, allow_outside: bool = False) -> Dataset:
        """The clips at `path`."""


def layouts() -> dict[str, Layout]:
    """The readers of this package by module name."""
    found = {}
    for module in pkgutil.iter_modules(__path__):
        if not module.ispkg:
            reader = importlib.import_module(f"{__name__}.{module.name}")
            if hasattr(reader, "LAYOUT"):
                found[module.name] = cast("Layout", reader)
    return found


def read_dataset(path: str | Path, *, allow_outside: bool = False) -> Dataset:
    """The clips at `path`, in whichever layout it has.

    Args:
        path: a folder or a list of clips.
        allow_outside: accept media paths that lead out of the data folder.

    Raises:
        UserError: nothing is there, no layout fits, or the lists have a mistake.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"data not found: {path.absolute()} (relative paths are taken from {Path.cwd()})")
    readers = layouts()
    fitting = [name for name, reader in readers.items() if reader.matches(path)]
    if len(fitting) == 1:
        return readers[fitting[0]].read(path, allow_outside=allow_outside)
    known = "; ".join(f"{name}: {reader.LAYOUT}" for name, reader in readers.items())
    problem = f"fits several layouts ({', '.join(fitting)})" if fitting else f"has no known layout ({_found(path)})"
    raise UserError(f"{path.absolute()} {problem}; expected one of: {known}")


def _found(path: Path) -> str:
    """What is at `path`, in a few words."""
    if not path.is_dir():
        return f"a file ending in {path.suffix!r}"
    names = sorted(entry.name for entry in path.iterdir())
    return f"a folder with {', '.join(names[:6])}{', ...' if len(names) > 6 else ''}" if names else "an empty folder"
