"""Text and tables for Markdown, which show what people named freely as it is: for notes in MLflow, and for pages.

>>> print(markdown_table(["class", "clips"], [["street_<b>", "12"]]))
| class | clips |
|:--|--:|
| street\\_\\<b\\> | 12 |
"""

import re
from collections.abc import Iterable, Sequence

_SPECIAL = re.compile(r"([\\`*_\[\]<>|#&$~])")
_BLANKS = re.compile(r"[ \t\r\n]+")


def markdown(text: str) -> str:
    """`text` on one line, so that Markdown shows it as it is."""
    return _SPECIAL.sub(r"\\\1", " ".join(_BLANKS.split(text.strip())))


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of texts, shown as they are: the first column to the left, the others, mostly numbers, to the right."""
    rule = "|".join([":--", *("--:" for _ in heads[1:])])
    head, *body = ["| " + " | ".join(map(markdown, cells)) + " |" for cells in (heads, *rows)]
    return "\n".join([head, f"|{rule}|", *body])
