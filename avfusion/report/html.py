"""A document as one HTML page that needs nothing else, by the template page.html, which escapes every text."""

import base64
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from avfusion.report.document import Absent, Cell, Document, Picture, Table, sentence

LONG = 24
"""Characters from which a cell's text is set like text, to the left."""
LONGEST_LABEL = 34
"""Characters up to which the name of a row stays on one line."""
SHORT_TABLE = 25
"""Rows up to which a table is kept on one page of paper."""

Shown = tuple[str, str]
"""The style classes of a cell, and its text."""


def to_html(document: Document, pictures: Mapping[str, bytes]) -> str:
    """The page; `pictures` are PNG files by the picture's key."""
    encoded = {key: base64.b64encode(png).decode("ascii") for key, png in pictures.items()}
    return _template().render(document=document, pictures=encoded)


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"sentence": sentence, "anchor": _anchor}
    environment.tests |= {
        "absent": lambda block: isinstance(block, Absent),
        "picture": lambda block: isinstance(block, Picture),
    }
    environment.globals |= {"heads": _heads, "rows": _rows, "SHORT_TABLE": SHORT_TABLE}
    return environment.get_template("page.html")


def _heads(table: Table) -> Iterator[Shown]:
    """The headings of a table's columns."""
    starts = _starts(table)
    for index, name in enumerate(table.columns):
        yield _classes(index, starts, "label" if _is_text(table, index) else ""), name


def _rows(table: Table) -> Iterator[list[Shown]]:
    """The cells of a table, row by row."""
    starts, texts = _starts(table), [_is_text(table, index) for index in range(len(table.columns))]
    for row in table.rows:
        yield [(_classes(index, starts, _kind(cell, texts[index])), cell.text) for index, cell in enumerate(row)]


def _starts(table: Table) -> set[int]:
    """The columns where a new heading of `spans` begins."""
    starts, column = set(), 0
    for text, width in table.spans:
        if text:
            starts.add(column)
        column += width
    return starts


def _is_text(table: Table, index: int) -> bool:
    """Whether a column holds names or sentences rather than numbers."""
    return index == 0 or any(_is_sentence(row[index]) for row in table.rows)


def _is_sentence(cell: Cell) -> bool:
    named = cell.kind in ("fact", "holds", "fails", "open") and any(character.isalpha() for character in cell.text)
    return named or len(cell.text) > LONG


def _kind(cell: Cell, text: bool) -> str:
    if cell.kind in ("holds", "fails", "open"):
        return f"verdict {cell.kind}"
    return cell.kind + (" long" if text and (cell.kind != "label" or len(cell.text) > LONGEST_LABEL) else "")


def _classes(index: int, starts: set[int], names: str) -> str:
    return f"{names} start".strip() if index in starts else names


def _anchor(key: str) -> str:
    return "".join(character if character.isalnum() else "-" for character in key.lower())
