"""Which clips are asked for: a file, a folder, a list, a sound file with a video."""

import csv
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from avfusion.errors import UserError

SOUND_SUFFIXES = frozenset((".wav", ".flac", ".mp3", ".m4a", ".aac", ".ogg", ".oga", ".opus", ".wma", ".aif", ".aiff"))
PICTURE_SUFFIXES = frozenset(
    (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".wmv", ".flv", ".3gp", ".ogv")
)
LIST_SUFFIXES = (".csv", ".txt")
STANDARD_INPUT = "-"


@dataclass(frozen=True)
class Query:
    """One clip whose scene is asked for; both files are the same where one file holds sound and pictures."""

    id: str
    audio: Path | None
    video: Path | None


def find_clips(clip: str, audio: str = "none", video: str = "none") -> list[Query]:
    """The clips that the options name.

    `clip` is a media file; a folder, of which all media files are taken, a sound file and a video of the same name (in
    one folder, or in folders `audio` and `video`) together; a list: a CSV file with a column `clip` or columns `audio`
    and `video`, or a text file with a path (or a sound file, a tab and a video) on each line; or `-` for such lines on
    standard input. Paths in a list are relative to its folder. Otherwise `audio` and `video` name the files of one
    clip, or one of the two.

    Raises `UserError` if nothing is named, too much is, or it is not there.
    """
    if clip != "none" and (audio, video) != ("none", "none"):
        raise UserError("clip, and audio or video, were given; name the clip one way")
    if clip == STANDARD_INPUT:
        return _some(_listed(sys.stdin, Path(), "standard input"), "standard input")
    if clip != "none":
        return _at(Path(clip))
    files = [None if name == "none" else _existing(Path(name)) for name in (audio, video)]
    named = next((file for file in reversed(files) if file is not None), None)
    if named is None:
        raise UserError("no clip given; name a media file, a folder or a list as clip=PATH, or - for a list on stdin")
    return [Query(named.name, files[0], files[1])]


def _at(path: Path) -> list[Query]:
    if path.is_dir():
        return _some(_in_folder(path), f"the folder {path.absolute()}")
    _existing(path)
    if path.suffix.lower() not in LIST_SUFFIXES:
        return [Query(path.name, path, path)]
    try:
        text = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise UserError(f"the list {path.absolute()} is not text in UTF-8") from None
    found = _tabled(text, path) if path.suffix.lower() == ".csv" else _listed(text, path.parent, str(path.absolute()))
    return _some(found, f"the list {path.absolute()}")


def _existing(path: Path) -> Path:
    if not path.exists():
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
    files = [file for file in sorted(folder.rglob("*")) if file.suffix.lower() in known and file.is_file()]
    by_stem: dict[Path, list[Path]] = {}
    for file in files:
        place = file.parent.parent if file.parent.name in ("audio", "video") and file.parent != folder else file.parent
        by_stem.setdefault(place / file.stem, []).append(file)
    for stem, group in by_stem.items():
        sounds = [file for file in group if file.suffix.lower() in SOUND_SUFFIXES]
        if len(group) == 2 and len(sounds) == 1:
            (pictures,) = set(group) - set(sounds)
            yield Query(stem.relative_to(folder).as_posix(), sounds[0], pictures)
        else:
            yield from (Query(file.relative_to(folder).as_posix(), file, file) for file in group)


def _listed(lines: Iterable[str], folder: Path, where: str) -> Iterator[Query]:
    for number, line in enumerate(lines, 1):
        names = [name.strip() for name in line.strip().split("\t")]
        if len(names) > 2:
            raise UserError(f"{where}, line {number}: {len(names)} columns; expected a path, or sound, tab, video")
        if any(names):
            yield _named(names[0], names[-1], folder)


def _tabled(lines: list[str], path: Path) -> Iterator[Query]:
    table = csv.DictReader(lines)
    columns = table.fieldnames or []
    paired = bool({"audio", "video"} & set(columns))  # a column `clip` beside them only gives the name
    if "clip" not in columns and not paired:
        found = ", ".join(columns) or "none"
        raise UserError(f"{path.absolute()}: no column clip, audio or video; found {found}")
    for row in table:
        clip = (row.get("clip") or "").strip()
        audio, video = ((row.get(name) or "").strip() for name in ("audio", "video")) if paired else (clip, clip)
        if audio or video:
            yield _named(audio, video, path.parent, clip)


def _named(audio: str, video: str, folder: Path, name: str = "") -> Query:
    files = (folder / file if file else None for file in (audio, video))
    return Query(name or video or audio, *files)
