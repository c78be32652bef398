"""Which media files a clip's features were made of, so that other files in their place are noticed.

A file is known by its size, the time of its last change and the SHA-256 of its content. Size and time say at once that
it is the same file; where only the time differs (a copy, a restored backup), the content decides.
"""

import csv
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from avfusion.features.layout import MEDIA, MEDIA_COLUMNS, csv_bytes
from avfusion.system.files import write_atomically


class Sources(NamedTuple):
    """The files of one clip, each as text: size in bytes, time in ns and digest; "" where there was no file.

    The digest is "-" where the content was not read, because the clip ended its reader: then the size decides.
    """

    audio: str = ""
    video: str = ""


UNKNOWN = Sources()
UNREAD = "-"


def sources_of(audio: Path | None, video: Path | None, *, read: bool = True) -> Sources:
    """The files as they are now; their content is left out unless it is to be `read`."""
    known = {path: _source(path, read=read) for path in {audio, video}}  # a muxed clip is read once
    return Sources(known[audio], known[video])


def replaced(known: Sources, audio: Path | None, video: Path | None) -> str:
    """What is there in place of the files that were `known`, in a few words; "" for the same, or for nothing at all.

    A file that is gone was not replaced: the features are still of what it was.
    """
    for before, path in dict.fromkeys(zip(known, (audio, video), strict=True)):
        if path is not None and (change := _change(before, path)):
            return f"{path.name} {change}"
    return ""


def write_sources(folder: Path, rows: Mapping[str, Sources]) -> None:
    """Writes the sources of all clips, by id, into a store."""
    write_atomically(folder / MEDIA, csv_bytes(MEDIA_COLUMNS, [(name, *sources) for name, sources in rows.items()]))


def read_sources(folder: Path) -> dict[str, Sources]:
    """By id the sources of a store's clips; empty where it does not tell: it holds none, or a damaged file."""
    try:
        with (folder / MEDIA).open(encoding="utf-8", newline="") as file:
            return {name: Sources(audio, video) for name, audio, video in list(csv.reader(file))[1:]}
    except (OSError, ValueError, csv.Error):
        return {}


def _source(path: Path | None, *, read: bool) -> str:
    try:
        if path is None or not path.is_file():
            return ""
        status = path.stat()
        return f"{status.st_size} {status.st_mtime_ns} {_digest(path) if read else UNREAD}"
    except OSError:  # as good as none: whoever reads it says so
        return ""


def _change(before: str, path: Path) -> str:
    now = _source(path, read=False)
    if not now:
        return ""
    if not before:
        return "was not there"
    size, time, digest = (*before.split(" "), "", "")[:3]
    size_now, time_now, _ = now.split(" ")
    if size != size_now:
        return f"has {size_now} bytes in place of {size}"
    if time == time_now or digest == UNREAD:
        return ""
    try:
        return "" if digest == _digest(path) else "has other content"
    except OSError:
        return ""


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
