"""What users type, as Python values: the click types of the table of options that click itself does not have.

Every bad value is a `UserError` of one line, `option=value: expected ...`. `none`, `true` and `false` are the words
that users type for None, True and False.
"""

import math
import os
import re
from pathlib import Path
from typing import Any

import click

from avfusion.errors import UserError
from avfusion.system.project import refuse_relative


class Kind(click.ParamType):  # type: ignore[type-arg]  # generic for type checkers alone
    """One kind of value. `read` turns text into it, and raises ValueError where the text is not what is expected."""

    name: str
    """What stands for a value in --help."""
    annotation: Any
    """The Python type of the value, as a job's signature has it."""
    expected: str
    """What to type, in words that follow "expected"."""

    def read(self, text: str, option: str) -> Any:
        """The value of `option` that `text` writes."""
        raise NotImplementedError

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """See `click.ParamType`; defaults come this way too."""
        option = str(param.name if param else self.name)
        try:
            return self.read(value, option)
        except ValueError:
            raise UserError(f"{option}={value}: expected {self.expected}") from None


class Text(Kind):
    """Text as it is, but not nothing."""

    name, annotation = "TEXT", str

    def __init__(self, expected: str = "text") -> None:
        self.expected = expected

    def read(self, text: str, option: str) -> str:
        """See `Kind`."""
        if not text.strip():
            raise ValueError(text)
        return text


class PathOr(Text):
    """The path of a file or folder, perhaps behind one of some prefixes, or text that is `other` than a path."""

    def __init__(self, other: str, *prefixes: str) -> None:
        super().__init__()
        self._other, self._prefixes = re.compile(other), prefixes

    def read(self, text: str, option: str) -> str:
        """See `Kind`."""
        if not self._other.fullmatch(super().read(text, option)):
            prefix = next(filter(text.startswith, self._prefixes), "")
            refuse_relative(option, text.removeprefix(prefix), prefix)
        return text


class PathName(Kind):
    """The path of a file or folder, there or not; `-` is standard input where there may be one."""

    name, annotation, expected = "PATH", Path, "a path"

    def read(self, text: str, option: str) -> Path:
        """See `Kind`."""
        if not text.strip():
            raise ValueError(text)
        if text != "-":
            refuse_relative(option, text)
        return Path(text)


class OutputFolder(PathName):
    """A folder to write, there or not; one that cannot be one is refused before any work, not after it."""

    name = "FOLDER"

    def read(self, text: str, option: str) -> Path:
        """See `Kind`."""
        folder = super().read(text, option)
        # os.path: Path's own `exists` raises where one may not look
        there = next(place for place in (folder, *folder.absolute().parents) if os.path.exists(place))  # noqa: PTH110
        if not there.is_dir():
            reason = f"{there.absolute()} is a file; name a folder"
        elif not os.access(there, os.W_OK | os.X_OK):
            reason = f"{there.absolute()} cannot be written; name another folder"
        else:
            return folder
        raise UserError(f"{option}={text}: {reason}, as {option}=FOLDER")


class Truth(Kind):
    """Yes or no."""

    name, annotation, expected = "true|false", bool, "true or false"

    def read(self, text: str, option: str) -> bool:
        """See `Kind`."""
        return bool(("false", "true").index(text))


class Whole(Kind):
    """A whole number from `least` on."""

    name, annotation = "N", int

    def __init__(self, least: int) -> None:
        self.least, self.expected = least, f"a whole number of at least {least}"

    def read(self, text: str, option: str) -> int:
        """See `Kind`."""
        if (number := int(text)) < self.least:
            raise ValueError(text)
        return number


class Number(Kind):
    """A number above 0; it may be 0 where `zero` says so."""

    name, annotation = "X", float

    def __init__(self, expected: str, *, zero: bool = False) -> None:
        self.expected, self.zero = expected, zero

    def read(self, text: str, option: str) -> float:
        """See `Kind`."""
        number = float(text)
        if not math.isfinite(number) or number < 0 or (number == 0 and not self.zero):
            raise ValueError(text)
        return number


class Seconds(Number):
    """A stretch of time."""

    name = "SECONDS"


class Seeds(Kind):
    """Different whole numbers from 0 on, with commas, in the order given."""

    name, annotation = "N,N,...", tuple[int, ...]
    expected = "different whole numbers of at least 0 with commas, such as 0,1,2"

    def read(self, text: str, option: str) -> tuple[int, ...]:
        """See `Kind`."""
        seeds = tuple(int(part) for part in text.split(","))
        if min(seeds) < 0 or len(set(seeds)) < len(seeds):
            raise ValueError(text)
        return seeds


class Fractions(Kind):
    """Different numbers in [0, 1], with commas; ascending, whatever the order given."""

    name, annotation = "X,X,...", tuple[float, ...]
    expected = "different numbers in [0, 1] with commas, such as 0.1,0.5"

    def read(self, text: str, option: str) -> tuple[float, ...]:
        """See `Kind`."""
        numbers = tuple(sorted(float(part) for part in text.split(",")))
        if not all(0 <= number <= 1 for number in numbers) or len(set(numbers)) < len(numbers):
            raise ValueError(text)
        return numbers


class Names(Kind):
    """Names with commas, each once, in the order given."""

    name, annotation, expected = "NAME,NAME,...", tuple[str, ...], "names with commas"

    def read(self, text: str, option: str) -> tuple[str, ...]:
        """See `Kind`."""
        names = tuple(dict.fromkeys(name for part in text.split(",") if (name := part.strip())))
        if not names:
            raise ValueError(text)
        return names


class Pairs(Kind):
    """`name=value,name=value` as a mapping of texts; `none` or nothing is an empty one."""

    name, annotation, expected = "NAME=VALUE,...", dict[str, str], "name=value,name=value"

    def read(self, text: str, option: str) -> dict[str, str]:
        """See `Kind`."""
        pairs: dict[str, str] = {}
        for item in text.split(",") if text.strip() not in ("", "none") else ():
            name, _, value = (part.strip() for part in item.partition("="))
            if not (name and value):
                raise UserError(f"{option}: cannot read {item!r}; write {self.expected} without spaces")
            if name in pairs:
                raise UserError(f"{option}: {name!r} is given twice; give it once")
            pairs[name] = value
        return pairs


class OrNone(Kind):
    """A value of another kind, or None for a `word`."""

    def __init__(self, kind: Kind, word: str = "none") -> None:
        self.kind, self.word, self.name = kind, word, kind.name
        self.annotation, self.expected = kind.annotation | None, f"`{word}` or {kind.expected}"

    def read(self, text: str, option: str) -> Any:
        """See `Kind`."""
        return None if text == self.word else self.kind.read(text, option)


class Needed(Kind):
    """A value of another kind that has no default: `none` is refused with the line `missing`."""

    def __init__(self, kind: Kind, missing: str) -> None:
        self.kind, self.missing, self.name = kind, missing, kind.name
        self.annotation, self.expected = kind.annotation, kind.expected

    def read(self, text: str, option: str) -> Any:
        """See `Kind`."""
        if text == "none":
            raise UserError(self.missing)
        return self.kind.read(text, option)
