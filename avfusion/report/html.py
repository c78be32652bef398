"""A document as one HTML page that needs nothing else: pictures inside, style inside, readable on paper."""

import base64
from collections.abc import Mapping
from html import escape

from avfusion.report.document import Absent, Block, Cell, Document, Picture, Section, Table, sentence

STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.45 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; color: #1a1a1a; background: #fff;
  max-width: 62rem; margin: 2rem auto; padding: 0 1.2rem; }
h1 { font-size: 1.6rem; margin-bottom: .3rem; } h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; }
h2 { border-bottom: 1px solid #bbb; padding-bottom: .2rem; }
.warning { border: 2px solid #D55E00; padding: .6rem .9rem; font-weight: 600; }
.block { margin: 1.3rem 0; } .scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .86rem; font-variant-numeric: tabular-nums; }
p.caption, figcaption { margin: 0 0 .35rem; font-size: .92rem; }
figcaption { margin: .35rem 0 0; }
th, td { padding: .2rem .55rem; text-align: right; vertical-align: top; border-bottom: 1px solid #e2e2e2; }
thead th { border-bottom: 1.5px solid #555; font-weight: 600; vertical-align: bottom; }
thead tr.spans th { border-bottom: none; text-align: center; padding-bottom: 0; }
.start { border-left: 1px solid #aaa; }
td.label, th.label, td.fact.long, td.ours.long { text-align: left; }
td.label { white-space: nowrap; } td.label.long { white-space: normal; }
td.ours { font-weight: 600; } td.ours.long { font-weight: 400; }
td.published { color: #555; } td.verdict { font-weight: 700; text-align: left; white-space: nowrap; }
td.verdict.holds { color: #00674a; } td.verdict.fails { color: #a8430a; } td.verdict.open { color: #555; }
figure { margin: 1.3rem 0; } figure img { max-width: 100%; height: auto; width: calc(var(--inches) * 120px); }
.notes { color: #444; font-size: .82rem; margin: .3rem 0 0; max-width: 55rem; overflow-wrap: anywhere; }
.absent { border-left: 3px solid #bbb; padding-left: .7rem; color: #444; }
@page { size: A4; margin: 14mm; }
@media print {
  body { font-size: 9.5pt; max-width: none; margin: 0; padding: 0; }
  h1 { font-size: 15pt; } h2 { margin-top: 1rem; } h2, .caption, thead { break-after: avoid; }
  figure img { width: calc(var(--inches) * 1in); }
  figure, tr, .absent, .block.short { break-inside: avoid; }
  thead { display: table-header-group; } .scroll { overflow: visible; }
  th, td { padding: .12rem .35rem; } table { font-size: .8rem; }
}
"""

LONG = 24
"""Characters from which a cell's text is set like text, to the left."""
LONGEST_LABEL = 34
"""Characters up to which the name of a row stays on one line."""
SHORT_TABLE = 25
"""Rows up to which a table is kept on one page of paper."""


def to_html(document: Document, pictures: Mapping[str, bytes]) -> str:
    """The page; `pictures` are PNG files by the picture's key."""
    parts = [
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(document.title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>",
        f"<h1>{escape(document.title)}</h1>\n<p>{escape(document.subtitle)}</p>",
    ]
    if document.warning:
        parts.append(f'<p class="warning">{escape(document.warning)}</p>')
    parts += [_section(section, pictures) for section in document.sections]
    return "\n".join([*parts, "</body>\n</html>\n"])


def _section(section: Section, pictures: Mapping[str, bytes]) -> str:
    blocks = [_block(block, pictures) for block in section.blocks]
    return "\n".join([f"<section>\n<h2>{escape(section.title)}</h2>", *blocks, "</section>"])


def _block(block: Block, pictures: Mapping[str, bytes]) -> str:
    if isinstance(block, Table):
        return _table(block)
    if isinstance(block, Picture):
        return _picture(block, pictures[block.key])
    if isinstance(block, Absent):
        return f'<p class="absent" id="{_anchor(block.key)}">{_caption(block)} {escape(sentence(block.reason))}</p>'
    return f"<p>{escape(block)}</p>"


def _table(table: Table) -> str:
    short = " short" if len(table.rows) <= SHORT_TABLE else ""
    starts = _starts(table)
    name = _anchor(table.key)
    lines = [f'<div class="block{short}" id="{name}">\n<p class="caption" id="{name}-caption">{_caption(table)}</p>']
    lines.append(f'<div class="scroll"><table aria-labelledby="{name}-caption">\n<thead>')
    if table.spans:
        cells = "".join(
            f'<th colspan="{width}" class="{"start" if text else ""}">{escape(text)}</th>'
            for text, width in table.spans
        )
        lines.append(f'<tr class="spans">{cells}</tr>')
    if any(table.columns):
        heads = (
            f'<th class="{_classes(index, starts, "label" if _is_text(table, index) else "")}">{escape(name)}</th>'
            for index, name in enumerate(table.columns)
        )
        lines.append(f"<tr>{''.join(heads)}</tr>")
    lines.append("</thead>\n<tbody>")
    for row in table.rows:
        cells = "".join(
            f'<td class="{_classes(index, starts, _kind(cell, _is_text(table, index)))}">{escape(cell.text)}</td>'
            for index, cell in enumerate(row)
        )
        lines.append(f"<tr>{cells}</tr>")
    lines.append(f"</tbody></table></div>\n{_notes(table.notes)}</div>")
    return "\n".join(lines)


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
    named = cell.kind in ("fact", "verdict") and any(character.isalpha() for character in cell.text)
    return named or len(cell.text) > LONG


def _kind(cell: Cell, text: bool) -> str:
    verdict = {"holds": " holds", "does not": " fails", "cannot tell": " open"}
    if cell.kind == "verdict":
        return cell.kind + verdict[cell.text]
    return cell.kind + (" long" if text and (cell.kind != "label" or len(cell.text) > LONGEST_LABEL) else "")


def _classes(index: int, starts: set[int], names: str) -> str:
    return f"{names} start".strip() if index in starts else names


def _picture(picture: Picture, png: bytes) -> str:
    style = f"--inches: {picture.figure.get_figwidth():g}"
    data = base64.b64encode(png).decode("ascii")
    return (
        f'<figure id="{_anchor(picture.key)}"><img style="{style}" alt="{escape(picture.caption)}" '
        f'src="data:image/png;base64,{data}">\n<figcaption>{_caption(picture)}</figcaption>{_notes(picture.notes)}</figure>'
    )


def _caption(block: Table | Picture | Absent) -> str:
    return f"<strong>{escape(block.key)}.</strong> {escape(sentence(block.caption))}"


def _notes(notes: tuple[str, ...]) -> str:
    return "".join(f'<p class="notes">{escape(note)}</p>' for note in notes)


def _anchor(key: str) -> str:
    return "".join(character if character.isalnum() else "-" for character in key.lower())
