"""A document as Markdown, its pictures as files beside it."""

import re

from avfusion.report.document import Absent, Block, Document, Picture, Table, sentence

SPECIAL = re.compile(r"([\\`*_\[\]<>|#])")


def to_markdown(document: Document, folder: str) -> str:
    """The text; pictures are linked as `folder`/<file>."""
    parts = [f"# {_escaped(document.title)}", _escaped(document.subtitle)]
    if document.warning:
        parts.append(f"> **{_escaped(document.warning)}**")
    for section in document.sections:
        parts.append(f"## {_escaped(section.title)}")
        parts += [_block(block, folder) for block in section.blocks]
    return "\n\n".join(parts) + "\n"


def _block(block: Block, folder: str) -> str:
    if isinstance(block, str):
        return _escaped(block)
    caption = f"**{block.key}.** {_escaped(sentence(block.caption))}"
    if isinstance(block, Absent):
        return f"{caption} *{_escaped(sentence(block.reason))}*"
    notes = [f"*{_escaped(note)}*" for note in block.notes]
    if isinstance(block, Picture):
        return "\n\n".join([f"![{_escaped(block.caption)}]({folder}/{block.file})", caption, *notes])
    return "\n\n".join([caption, _table(block), *notes])


def _table(table: Table) -> str:
    groups = [text for text, width in table.spans for _ in range(width)] or [""] * len(table.columns)
    heads = [
        f"{group}: {name}" if group and name else group or name
        for group, name in zip(groups, table.columns, strict=True)
    ]
    lines = [heads, *([cell.text for cell in row] for row in table.rows)]
    rule = "|".join([":--", *("--:" for _ in table.columns[1:])])
    rows = ["| " + " | ".join(_escaped(text) for text in line) + " |" for line in lines]
    return "\n".join([rows[0], f"|{rule}|", *rows[1:]])


def _escaped(text: str) -> str:
    return SPECIAL.sub(r"\\\1", " ".join(text.split()))
