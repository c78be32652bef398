"""The digest of a store's content, which is read whole only once.

Hashing TAU's 4.8 GB takes 4 s of a core with SHA instructions, and several times that without. So whoever has hashed a
large store leaves a note in it: the digest, and size, inode and both times of every file. As long as these are the
same, the note is believed; it is left out where the folder cannot be written. A note that was forged, or copied along
with files that were made to look alike, is worth what a forged store.json is worth: who can write into a store can make
it say anything.
"""

import hashlib
import json
import logging
from contextlib import suppress
from pathlib import Path

from avfusion.features.layout import CONTENT, STANDARDIZATION
from avfusion.system.files import read_object, write_atomically

NOTE = ".digest.json"
WORTH_A_NOTE = 2**26
"""Bytes. A smaller store is hashed each time, which takes less than 0.1 s. It takes longer than the ticks of a file
system's clock to hash a larger one, so that no file can change after it was hashed and keep its time."""
_LONG = 2**30  # bytes whose hashing people should be told of

_log = logging.getLogger(__name__)


def content_digest(folder: Path) -> str:
    """SHA-256 (hexadecimal) over the names, sizes and bytes of the clips, failures, arrays and standardisation.

    Raises OSError for a file that is missing or cannot be read.
    """
    files = [name for name in CONTENT if name != STANDARDIZATION or (folder / name).exists()]
    facts = {name: _facts(folder / name) for name in files}
    n_bytes = sum(size for size, *_ in facts.values())
    noted = n_bytes >= WORTH_A_NOTE
    if noted and (digest := _recall(folder, facts)):
        return digest
    if n_bytes >= _LONG:
        _log.info("reading %s once, %.1f GB, to see that it is as it was written", folder, n_bytes / 1e9)
    digest = _hash(folder, files)
    if noted:
        with suppress(OSError):  # a folder of somebody else's
            write_atomically(folder / NOTE, json.dumps({"digest": digest, "files": facts}).encode())
    return digest


def _hash(folder: Path, files: list[str]) -> str:
    total = hashlib.sha256()
    for name in files:
        path = folder / name
        total.update(f"{name} {path.stat().st_size}\n".encode())
        with path.open("rb") as file:
            hashlib.file_digest(file, lambda: total)
    return total.hexdigest()


def _facts(path: Path) -> list[int]:
    """Size, inode, and the times of the last change of the bytes and of anything: the latter cannot be set."""
    status = path.stat()
    return [status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns]


def _recall(folder: Path, facts: dict[str, list[int]]) -> str:
    """The digest that was noted for files of just these facts, or ""."""
    try:
        note = read_object(folder / NOTE)
    except (OSError, ValueError):
        return ""
    return str(note.get("digest", "")) if note.get("files") == facts else ""
