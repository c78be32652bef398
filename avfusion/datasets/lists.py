"""Reading a list of clips as a table of text, and what every list must keep to."""

import csv
import io
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from avfusion.errors import UserError
from avfusion.system.names import check_name

_KINDS = {",": "CSV", "\t": "tab-separated"}


class Line(NamedTuple):
    """A line of a list, for messages."""

    path: Path
    number: int

    def __str__(self) -> str:
        """File and line."""
        return f"{self.path}, line {self.number}"

    def beside(self, other: "Line") -> str:
        """The line as a message on `other` names it."""
        return f"line {self.number}" if self.path == other.path else f"{self.path.name}, line {self.number}"


class Row(NamedTuple):
    """What stands on one line of a list."""

    line: Line
    cells: dict[str, str]
    """By column, without the blanks around them; "" for a cell that the line lacks."""


class Listed(NamedTuple):
    """The files and the label that one line gives to a clip."""

    line: Line
    label: str
    audio: Path | None
    video: Path | None


def read_rows(path: Path, delimiter: str, used: Iterable[str]) -> tuple[list[str], list[Row]]:
    """The columns of a list, and its lines but for blank ones; `used` are the columns whose cells become names.

    Raises:
        UserError: the list cannot be read, is not UTF-8 or no such table, a column repeats, or a name holds a control
            character or a line break.
    """
    kind = _KINDS[delimiter]
    try:
        content = path.read_bytes()
        lines = io.StringIO(content.decode("utf-8-sig"), newline="")
    except UnicodeDecodeError as error:
        line = Line(path, content.count(b"\n", 0, error.start) + 1)
        raise UserError(
            f"{line}: cannot be read as a UTF-8 {kind} file, which never holds the byte "
            f"{content[error.start]:#04x} there; save it as UTF-8"
        ) from error
    except OSError as error:
        raise UserError(f"{path} cannot be read as a UTF-8 {kind} file: {error}") from error
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    rows = []
    try:
        columns = [cell.strip() for cell in next(reader, [])]
        _check_columns(path, columns)
        checked = [(column, number) for number, column in enumerate(columns) if column in used]
        number = reader.line_num + 1
        for cells in reader:
            line, number = Line(path, number), reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            if any(cell.strip() for cell in cells[len(columns) :]):
                quoting = "; quote cells with commas" if delimiter == "," else ""
                raise UserError(f"{line}: more cells than columns{quoting}")
            padded = [*cells, *[""] * (len(columns) - len(cells))]
            for column, position in checked:
                check_name(str(line), column, padded[position].strip(" \t"))
            rows.append(Row(line, dict(zip(columns, map(str.strip, padded), strict=False))))
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: cannot be read as a UTF-8 {kind} file: {error}") from error
    return columns, rows


def _check_columns(path: Path, columns: list[str]) -> None:
    if repeated := [name for name, count in Counter(columns).items() if name and count > 1]:
        raise UserError(f"{path}: the column {repeated[0]!r} is there {columns.count(repeated[0])} times; keep one")


def check_listed_once(clips: Iterable[Listed]) -> None:
    """Raises `UserError` if two lines name one clip, or one file with two labels, under whatever spelling or link."""
    folders: dict[Path, str] = {}
    pairs: dict[tuple[str, ...], Listed] = {}
    files: dict[str, Listed] = {}
    for clip in clips:
        named = {path: _real(path, folders) for path in (clip.audio, clip.video) if path is not None}
        for path, real in named.items():
            first = files.setdefault(real, clip)
            if first.label != clip.label:
                raise UserError(
                    f"{clip.line}: the file {path.name!r} is {clip.label!r} here and {first.label!r} on "
                    f"{first.line.beside(clip.line)}; give it one label, once"
                )
        first = pairs.setdefault(tuple(named.values()), clip)
        if first is not clip:
            raise UserError(
                f"{clip.line}: the clip {path.name!r} stands on {first.line.beside(clip.line)} too; list it once"
            )


def _real(path: Path, folders: dict[Path, str]) -> str:
    """`path` without links and detours; `folders` remembers those of folders, so that a file costs one look."""
    if path.name == "..":
        return os.path.realpath(path)
    if path.parent not in folders:
        folders[path.parent] = os.path.realpath(path.parent)
    joined = os.path.join(folders[path.parent], path.name)  # noqa: PTH118  (text: a Path costs more than the look)
    return os.path.realpath(joined) if os.path.islink(joined) else joined  # noqa: PTH114
