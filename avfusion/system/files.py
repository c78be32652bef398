"""Files that are whole or absent, written under a temporary name and then renamed; JSON files that may be damaged."""

import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from avfusion.errors import UserError

TEMPORARY_SUFFIX = ".tmp"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path in the folder of `path`; on leaving, its file takes the name `path`.

    The bytes reach the disk before the rename, so that neither a kill nor a power cut leaves a
    file that is cut short. If the block raises, the temporary file is removed and `path` stays
    as it was. Host and process id in the name keep two writers apart.
    """
    temporary = path.with_name(f".{path.name}.{platform.node()}-{os.getpid()}{TEMPORARY_SUFFIX}")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)  # noqa: PTH105  (one name for every rename: tests stop here)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_atomically(path: Path, content: bytes) -> None:
    """Writes `content` to `path`, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def remove_temporaries(folder: Path) -> None:
    """Removes what killed writers left in `folder`; call it only while no writer is at work."""
    for leftover in folder.glob(f".*{TEMPORARY_SUFFIX}"):
        leftover.unlink()


def refuse_larger(path: Path, mebibytes: float) -> None:
    """Raises `UserError` for a file that is larger than anything it could be, before any of it is read."""
    if (size := path.stat().st_size) > mebibytes * 2**20:
        raise UserError(f"{path}: {size / 2**20:,.0f} MiB; at most {mebibytes:,} are accepted; is it another file?")


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in `path`.

    Raises OSError if the file cannot be read, and ValueError, of one line, for whatever is no object in UTF-8.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError(f"it holds a {type(found).__name__} in place of an object")
    return found
