"""A CSV list of clips: `clip,label` or `audio,video,label`, with optional `location` and `split`.

Paths are relative to the list's own folder. With the columns `audio` and `video`, either cell (not
both) may be empty, and a column `clip`, if there is one too, only gives the id. Other columns are ignored.
"""

import logging
from pathlib import Path

from avfusion.datasets.dataset import SPLITS, Clip, Dataset, inside, unique_ids
from avfusion.datasets.lists import Line, Listed, Row, check_listed_once, read_rows
from avfusion.errors import UserError

LAYOUT = (
    "a CSV list (.csv, comma-separated) with the columns clip,label or audio,video,label and optionally location,split"
)

_COLUMNS = ("clip", "audio", "video", "label", "location", "split")

_log = logging.getLogger(__name__)


def matches(path: Path) -> bool:
    """Whether `path` is a CSV file."""
    return path.is_file() and path.suffix.lower() == ".csv"


def read(path: Path, *, allow_outside: bool = False) -> Dataset:
    """The clips that the list names.

    Without a location, each clip is its own group: that keeps clips of one recording together only
    if there is one clip per recording, hence the warning.

    Raises:
        UserError: a column is missing or repeats, the list is empty or not UTF-8, a cell cannot be
            used, a clip is listed twice, a file has two labels, or a path leaves the list's folder.
    """
    columns, rows = read_rows(path, ",", _COLUMNS)
    paired = "audio" in columns and "video" in columns
    _require(path, columns, ("audio", "video", "label") if paired else ("clip", "label"))
    if not rows:
        raise UserError(f"{path} lists no clips; it needs one line per clip below the header")
    sources = [(row["audio"], row["video"]) if paired else (row["clip"], row["clip"]) for _, row in rows]
    for row, (audio, video) in zip(rows, sources, strict=True):
        _check(row, audio or video)
    named = paired and all(row.get("clip") for _, row in rows)
    ids = _given_ids(rows) if named else unique_ids([audio or video for audio, video in sources], path)
    root = path.absolute().parent
    files = [
        tuple(inside(root, name, allow_outside=allow_outside) if name else None for name in names) for names in sources
    ]
    check_listed_once(Listed(row.line, row.cells["label"], *named_) for row, named_ in zip(rows, files, strict=True))
    clips = tuple(
        Clip(
            id=clip_id,
            label=row["label"],
            location=row.get("location") or clip_id,
            split=row.get("split", ""),
            audio=audio,
            video=video,
        )
        for clip_id, (_, row), (audio, video) in zip(ids, rows, files, strict=True)
    )
    return Dataset(name=path.stem, root=root, clips=clips, notes=_location_notes(path, rows))


def _given_ids(rows: list[Row]) -> list[str]:
    """The ids of the column `clip`, which must differ."""
    lines: dict[str, Line] = {}
    for line, row in rows:
        first = lines.setdefault(row["clip"], line)
        if first is not line:
            raise UserError(f"{line}: the clip {row['clip']!r} stands on {first.beside(line)} too; ids must differ")
    return list(lines)


def _require(path: Path, columns: list[str], needed: tuple[str, ...]) -> None:
    missing = [name for name in needed if name not in columns]
    if missing:
        found = ", ".join(columns) if columns else "none"
        raise UserError(f"{path} has no column {missing[0]!r}; columns found: {found}; expected {LAYOUT}")


def _check(row: Row, source: str) -> None:
    """Refuses a row that cannot be used."""
    if not Path(source).name:
        raise UserError(f"{row.line}: no file is named")
    if not row.cells["label"]:
        raise UserError(f"{row.line}: the label is empty")
    if row.cells.get("split", "") not in ("", *SPLITS):
        raise UserError(f"{row.line}: split {row.cells['split']!r} is not one of {', '.join(SPLITS)} (or empty)")


def _location_notes(path: Path, rows: list[Row]) -> tuple[str, ...]:
    without = sum(not row.get("location") for _, row in rows)
    if not without:
        return ()
    note = f"{without} of {len(rows)} clips have no location: each is its own group, so splits may part one recording"
    _log.warning("%s: %s", path, note)
    return (note,)
