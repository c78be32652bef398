"""A report as data: sections of tables, pictures and text, before it becomes HTML or Markdown."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from matplotlib.figure import Figure

Kind = Literal["label", "published", "ours", "difference", "fact", "holds", "fails", "open"]


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    `ours` is what follows from the predictions; a `fact` does not depend on who is right; `holds`, `fails` and `open`
    are what became of a claim.
    """

    text: str
    kind: Kind


@dataclass(frozen=True)
class Table:
    """A table of the study (`Table 1`) or of our own (`Table A`)."""

    key: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()
    spans: tuple[tuple[str, int], ...] = ()
    """A second heading above the columns: texts and how many columns each covers."""


@dataclass(frozen=True)
class Picture:
    """A figure of the study (`Figure 2`) or of our own (`Figure A`)."""

    key: str
    caption: str
    figure: Figure
    notes: tuple[str, ...] = ()

    @property
    def file(self) -> str:
        """Name of its PNG file."""
        return f"{self.key.lower().replace(' ', '-')}.png"


@dataclass(frozen=True)
class Absent:
    """A table or figure that cannot be shown, and why."""

    key: str
    caption: str
    reason: str


Block = Table | Picture | Absent | str


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it; a plain string is a paragraph."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Document:
    """A whole report."""

    title: str
    subtitle: str
    warning: str
    """Shown above everything, in a box; empty for none."""
    sections: tuple[Section, ...]

    def blocks(self) -> Iterator[Block]:
        """Every block, in order."""
        for section in self.sections:
            yield from section.blocks

    def cells(self, kind: Kind) -> dict[tuple[str, str, str], str]:
        """The text of every cell of `kind`, by table, row (its first cell) and column."""
        return {
            (table.key, row[0].text, f"{index} {table.columns[index]}"): cell.text
            for table in self.blocks()
            if isinstance(table, Table)
            for row in table.rows
            for index, cell in enumerate(row)
            if cell.kind == kind
        }

    @property
    def pictures(self) -> list[Picture]:
        """Every picture, in order."""
        return [block for block in self.blocks() if isinstance(block, Picture)]


NOTHING = "–"
"""Text of a cell without a value."""


def label(text: str) -> Cell:
    """The name of a row."""
    return Cell(text, "label")


def fact(value: object) -> Cell:
    """Something that does not depend on who is right."""
    return Cell(str(value), "fact")


def ours(value: float | str | None, decimals: int = 3) -> Cell:
    """A result: a number with that many decimals, or a text."""
    if isinstance(value, str):
        return Cell(value, "ours")
    return blank() if value is None else Cell(f"{value:.{decimals}f}", "ours")


def blank() -> Cell:
    """A cell in which nothing can stand."""
    return Cell(NOTHING, "fact")


def printed(value: float | str | None, decimals: int = 3) -> Cell:
    """What the study printed; None where it prints nothing."""
    if value is None:
        return Cell(NOTHING, "published")
    return Cell(value if isinstance(value, str) else f"{value:.{decimals}f}", "published")


def difference(value: float | None, reference: float | None, decimals: int = 3) -> Cell:
    """Ours minus published, both as they stand on the page, so that a reader's subtraction agrees."""
    if value is None or reference is None:
        return Cell(NOTHING, "difference")
    return Cell(signed(round(value, decimals) - round(reference, decimals), decimals), "difference")


def signed(value: float, decimals: int = 3) -> str:
    """A number with its sign; zero without."""
    rounded = round(value, decimals)
    return f"{0:.{decimals}f}" if rounded == 0 else f"{rounded:+.{decimals}f}".replace("-", "−")


def sentence(caption: str) -> str:
    """A text with a capital letter and a full stop."""
    return caption[:1].upper() + caption[1:] + ("" if caption.endswith(("?", ".")) else ".")


def listed(names: Sequence[str]) -> str:
    """`a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
