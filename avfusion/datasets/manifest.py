"""A CSV list of clips: `clip,label` or `audio,video,label`, with optional `location` and `split`.

Paths are relative to the list's own folder. With the columns `audio` and `video`, either cell (not
both) may be empty, and a column `clip`, if there is one too, only gives the id. Other columns are ignored.
"""

import csv
import logging
from pathlib import Path

from avfusion.datasets.clips import SPLITS, Clip, Dataset, inside, unique_ids
from avfusion.errors import UserError

LAYOUT = (
    "a CSV list (.csv, comma-separated) with the columns clip,label or audio,video,label and optionally location,split"
)

_log = logging.getLogger(__name__)


def matches(path: Path) -> bool:
    """Whether `path` is a CSV file."""
    return path.is_file() and path.suffix.lower() == ".csv"


def read(path: Path, *, allow_outside: bool = False) -> Dataset:
    """The clips that the list names.

    Without a location, each clip is its own group: that keeps clips of one recording together only
    if there is one clip per recording, hence the warning.

    Raises:
        UserError: a column is missing, the list is empty or not UTF-8, a cell cannot be used, a
            clip is listed twice, or a path leaves the list's folder.
    """
    columns, rows = _rows(path)
    paired = "audio" in columns and "video" in columns
    _require(path, columns, ("audio", "video", "label") if paired else ("clip", "label"))
    if not rows:
        raise UserError(f"{path} lists no clips; it needs one line per clip below the header")
    sources = [(row["audio"], row["video"]) if paired else (row["clip"], row["clip"]) for _, row in rows]
    for (line, row), (audio, video) in zip(rows, sources, strict=True):
        _check(path, line, row, audio or video)
    named = paired and all(row.get("clip") for _, row in rows)
    ids = _given_ids(path, rows) if named else unique_ids([audio or video for audio, video in sources], path)
    root = path.absolute().parent
    clips = tuple(
        Clip(
            id=clip_id,
            label=row["label"],
            location=row.get("location") or clip_id,
            split=row.get("split", ""),
            audio=inside(root, audio, allow_outside=allow_outside) if audio else None,
            video=inside(root, video, allow_outside=allow_outside) if video else None,
        )
        for clip_id, (_, row), (audio, video) in zip(ids, rows, sources, strict=True)
    )
    name = path.stem if path.stem != "manifest" else root.name
    return Dataset(name=name, root=root, clips=clips, notes=_location_notes(path, rows))


def _rows(path: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """The header, and the rows with their line numbers; cells lose the blanks around them."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            columns = [cell.strip() for cell in next(reader, [])]
            rows = []
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    if len(cells) > len(columns):
                        raise UserError(
                            f"{path}, line {reader.line_num}: more cells than columns; quote cells with commas"
                        )
                    padded = [*cells, *[""] * (len(columns) - len(cells))]
                    rows.append((reader.line_num, dict(zip(columns, map(str.strip, padded), strict=True))))
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        raise UserError(f"{path} cannot be read as a UTF-8 CSV file: {error}") from error
    return columns, rows


def _given_ids(path: Path, rows: list[tuple[int, dict[str, str]]]) -> list[str]:
    """The ids of the column `clip`, which must differ."""
    lines: dict[str, int] = {}
    for line, row in rows:
        first = lines.setdefault(row["clip"], line)
        if first != line:
            raise UserError(f"{path}: the clip {row['clip']!r} is on line {first} and on line {line}; ids must differ")
    return list(lines)


def _require(path: Path, columns: list[str], needed: tuple[str, ...]) -> None:
    missing = [name for name in needed if name not in columns]
    if missing:
        found = ", ".join(columns) if columns else "none"
        raise UserError(f"{path} has no column {missing[0]!r}; columns found: {found}; expected {LAYOUT}")


def _check(path: Path, line: int, row: dict[str, str], source: str) -> None:
    """Refuses a row that cannot be used."""
    if not source:
        raise UserError(f"{path}, line {line}: no file is named")
    if not row["label"]:
        raise UserError(f"{path}, line {line}: the label is empty")
    if row.get("split", "") not in ("", *SPLITS):
        raise UserError(f"{path}, line {line}: split {row['split']!r} is not one of {', '.join(SPLITS)} (or empty)")


def _location_notes(path: Path, rows: list[tuple[int, dict[str, str]]]) -> tuple[str, ...]:
    without = sum(not row.get("location") for _, row in rows)
    if not without:
        return ()
    note = f"{without} of {len(rows)} clips have no location: each is its own group, so splits may part one recording"
    _log.warning("%s: %s", path, note)
    return (note,)
