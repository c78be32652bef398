"""Which clips are asked for: a file, a folder, a list, a sound file with a video."""

import csv
import io
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

from avfusion.errors import UserError
from avfusion.system.names import escaped

SOUND_SUFFIXES = frozenset((".wav", ".flac", ".mp3", ".m4a", ".aac", ".ogg", ".oga", ".opus", ".wma", ".aif", ".aiff"))
PICTURE_SUFFIXES = frozenset(
    (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".wmv", ".flv", ".3gp", ".ogv")
)
LIST_SUFFIXES = (".csv", ".txt")
STANDARD_INPUT = "-"
BLANKS = " \t"
"""What may stand around the names of a list; anything else may belong to a name."""


@dataclass(frozen=True)
class Query:
    """One clip whose scene is asked for; both files are the same where one file holds sound and pictures."""

    id: str
    """Its name on one line of text, whatever characters and bytes the file's has."""
    audio: Path | None
    video: Path | None
    note: str = ""
    """What a reader should know of the name."""


def find_queries(clip: str, audio: str = "none", video: str = "none") -> list[Query]:
    """The clips that the options name.

    `clip` is a media file; a folder, of which all media files are taken, a sound file and a video of the same name (in
    one folder, or in folders `audio` and `video`) together; a list: a CSV file with a column `clip` or columns `audio`
    and `video`, or a text file with a path (or a sound file, a tab and a video) on each line; or `-` for such lines on
    standard input. Paths in a list are relative to its folder. Otherwise `audio` and `video` name the files of one
    clip, or one of the two.

    A file of a folder or a list need not be there, nor be readable: that is seen when its turn comes. Raises
    `UserError` if nothing is named, too much is, or what is named alone is not there.
    """
    if clip != "none" and (audio, video) != ("none", "none"):
        raise UserError("clip, and audio or video, were given; name the clip one way")
    if clip == STANDARD_INPUT:
        return _some(_listed(_lines(sys.stdin), Path(), "standard input"), "standard input")
    if clip != "none":
        return _at(Path(clip))
    files = [None if name == "none" else _existing(Path(name)) for name in (audio, video)]
    named = next((file for file in reversed(files) if file is not None), None)
    if named is None:
        raise UserError("no clip given; name a media file, a folder or a list as clip=PATH, or - for a list on stdin")
    return [_query(named.name, *files)]


def _at(path: Path) -> list[Query]:
    if _existing(path).is_dir():
        return _some(_in_folder(path), f"the folder {path.absolute()}")
    if path.suffix.lower() not in LIST_SUFFIXES:
        return [_query(path.name, path, path)]
    # A name in another encoding is a name that its file may have.
    text = path.read_bytes().decode("utf-8-sig", "surrogateescape")
    if "\0" in text:
        raise UserError(f"the list {path.absolute()} is not text in UTF-8")
    lines = io.StringIO(text, newline="")
    found = (
        _tabled(lines, path)
        if path.suffix.lower() == ".csv"
        else _listed(_lines(lines), path.parent, str(path.absolute()))
    )
    return _some(found, f"the list {path.absolute()}")


def _lines(text: TextIO) -> Iterator[str]:
    """Lines that end in a line feed alone, or after a carriage return: names may hold what else breaks lines."""
    if isinstance(text, io.TextIOWrapper):
        text.reconfigure(errors="surrogateescape", newline="\n")
    yield from (line.removesuffix("\r") for line in text.read().split("\n"))


def _existing(path: Path) -> Path:
    try:
        found = path.exists()
    except OSError as error:  # a name that is too long, a folder that may not be entered
        raise UserError(f"clip cannot be looked up: {path.absolute()}: {error.strerror}") from error
    if not found:
        raise UserError(f"clip not found: {path.absolute()}")
    return path


def _some(queries: Iterable[Query], where: str) -> list[Query]:
    found = list(queries)
    if not found:
        raise UserError(f"{where} names no clip; expected media files")
    return found


def _in_folder(folder: Path) -> Iterator[Query]:
    """One query per media file; a lone sound and a lone video of the same name are one clip."""
    known = SOUND_SUFFIXES | PICTURE_SUFFIXES
    closed: list[OSError] = []
    walked = os.walk(folder, onerror=closed.append)
    named = (Path(parent, name) for parent, _, names in walked for name in names)
    files = sorted(file for file in named if file.suffix.lower() in known)
    by_stem: dict[Path, list[Path]] = {}
    for file in files:
        parent = file.parent.parent if file.parent.name in ("audio", "video") and file.parent != folder else file.parent
        by_stem.setdefault(parent / file.stem, []).append(file)
    for stem, group in by_stem.items():
        sounds = [file for file in group if file.suffix.lower() in SOUND_SUFFIXES]
        if len(group) == 2 and len(sounds) == 1:
            (pictures,) = set(group) - set(sounds)
            yield _query(stem.relative_to(folder).as_posix(), sounds[0], pictures)
        else:
            yield from (_query(file.relative_to(folder).as_posix(), file, file) for file in group)
    for error in closed:
        unread = Path(error.filename)
        query = _query(f"{unread.relative_to(folder).as_posix()}/", unread, unread)
        yield replace(query, note=f"this folder cannot be listed: {error.strerror}")


def _listed(lines: Iterable[str], folder: Path, where: str) -> Iterator[Query]:
    for number, line in enumerate(lines, 1):
        names = [name.strip(BLANKS) for name in line.strip(BLANKS).split("\t")]
        if len(names) > 1 and os.path.lexists(folder / line):
            names = [line]  # a file with a tab in its name
        if len(names) > 2:
            raise UserError(f"{where}, line {number}: {len(names)} columns; expected a path, or sound, tab, video")
        if any(names):
            yield _named(names[0], names[-1], folder)


def _tabled(lines: TextIO, path: Path) -> Iterator[Query]:
    try:
        table = csv.DictReader(lines)
        columns, rows = table.fieldnames or [], list(table)
    except csv.Error as error:
        raise UserError(f"the list {path.absolute()} cannot be read as CSV: {error}") from error
    if repeated := [name for name in ("clip", "audio", "video") if columns.count(name) > 1]:
        raise UserError(f"{path.absolute()}: the column {repeated[0]!r} repeats; keep one")
    paired = bool({"audio", "video"} & set(columns))  # a column `clip` beside them only gives the name
    if "clip" not in columns and not paired:
        found = ", ".join(columns) or "none"
        raise UserError(f"{path.absolute()}: no column clip, audio or video; found {found}")
    for row in rows:
        clip = (row.get("clip") or "").strip(" ")
        audio, video = ((row.get(name) or "").strip(" ") for name in ("audio", "video")) if paired else (clip, clip)
        if audio or video:
            yield _named(audio, video, path.parent, clip)


def _named(audio: str, video: str, folder: Path, name: str = "") -> Query:
    files = (folder / file if file else None for file in (audio, video))
    return _query(name or video or audio, *files)


def _query(name: str, audio: Path | None, video: Path | None) -> Query:
    shown = escaped(name)
    return Query(shown, audio, video, "the name is shown with escapes" if shown != name else "")
