"""The commands that the documentation gives, and what a page of it is: Markdown with blocks of `bash`."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path for pattern in ("*.md", "docs/*.md", "benchmarks/*.md", "avfusion/**/README.md") for path in ROOT.glob(pattern)
)

BLOCK = re.compile(r"^```bash\n(.*?)^```", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"(?<!`)`((?:python -m|mlflow|make|pip install|pytest) [^`]+)`(?!`)")
ASSIGNMENT = re.compile(r"[A-Z_]+=.*")
OPERATORS = "();|&<>"


@dataclass(frozen=True)
class Command:
    """One program with its arguments, as a page gives it."""

    page: str
    words: tuple[str, ...]
    whole: bool
    """Whether it stands in a block, to be typed as it is; in the text there may be dots for what is left out."""

    def __str__(self) -> str:
        return f"{self.page}: {shlex.join(self.words)}"


def commands() -> Iterator[Command]:
    """Every command of every page."""
    for path in PAGES:
        name, text = path.relative_to(ROOT).as_posix(), path.read_text()
        for block in BLOCK.findall(text):
            for words in programs(block):
                yield Command(name, words, whole=True)
        for line in INLINE.findall(BLOCK.sub("", text)):
            for words in programs(line):
                yield Command(name, words, whole=False)


def programs(script: str) -> Iterator[tuple[str, ...]]:
    """The words of each program that a script starts, without what the shell itself does."""
    for line in re.sub(r"\\\n\s*|(?<=\|)\n\s*", " ", script).splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=OPERATORS)
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if word.strip(OPERATORS):
                if words or not ASSIGNMENT.fullmatch(word):
                    words.append(word)
            elif words:
                yield tuple(words)
                words = []
