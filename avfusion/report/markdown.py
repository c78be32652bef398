"""A document as Markdown, its pictures as files beside it."""

from avfusion.report.document import Absent, Block, Document, Picture, Table, sentence
from avfusion.system.markdown import markdown, markdown_table


def to_markdown(document: Document, folder: str) -> str:
    """The text; pictures are linked as `folder`/<file>."""
    parts = [f"# {markdown(document.title)}", markdown(document.subtitle)]
    if document.warning:
        parts.append(f"> **{markdown(document.warning)}**")
    for section in document.sections:
        parts.append(f"## {markdown(section.title)}")
        parts += [_block(block, folder) for block in section.blocks]
    return "\n\n".join(parts) + "\n"


def _block(block: Block, folder: str) -> str:
    if isinstance(block, str):
        return markdown(block)
    caption = f"**{block.key}.** {markdown(sentence(block.caption))}"
    if isinstance(block, Absent):
        return f"{caption} *{markdown(sentence(block.reason))}*"
    notes = [f"*{markdown(note)}*" for note in block.notes]
    if isinstance(block, Picture):
        return "\n\n".join([f"![{markdown(block.caption)}]({folder}/{block.file})", caption, *notes])
    return "\n\n".join([caption, _table(block), *notes])


def _table(table: Table) -> str:
    groups = [text for text, width in table.spans for _ in range(width)] or [""] * len(table.columns)
    heads = [
        f"{group}: {name}" if group and name else group or name
        for group, name in zip(groups, table.columns, strict=True)
    ]
    return markdown_table(heads, ([cell.text for cell in row] for row in table.rows))
