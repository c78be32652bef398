"""Names of classes, clips and files, which people choose freely: what none may hold, and how they stand elsewhere.

Elsewhere is on a terminal, in MLflow's metrics and on a disk; for Markdown see `avfusion.system.markdown`.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable

from avfusion.errors import UserError

LONGEST_PLAIN = 100
"""Bytes of a plain name: MLflow takes 250 characters with all that stands before it, disks 255 with what they add."""


def check_name(where: str, what: str, name: str) -> None:
    """Raises `UserError`, beginning with `where`, for a name that no table of text can hold."""
    if name.isprintable():  # nearly always, and far faster
        return
    if found := _UNUSABLE.search(name):
        strange = found[0]
        raise UserError(
            f"{where}: the {what} '{escaped(name)}' holds the character '{escaped(strange)}' (U+{ord(strange):04X}); "
            "names hold no tabs, line breaks or other control characters"
        )


def escaped(text: str, *, lines: bool = False) -> str:
    r"""`text` with what `check_name` refuses written as in Python: `\n`, `\u2028`, `\xe9` for a byte that is not UTF-8.

    With `lines`, it is made for a terminal, which shows several lines: line feeds and tabs stay, and marks that turn
    the direction of writing are written out too.

    >>> print(escaped("a\tb"), escaped("a\x1b[2Jb\n", lines=True), end="")
    a\tb a\x1b[2Jb
    """
    return (_OBEYED if lines else _UNUSABLE).sub(lambda found: _escape(found[0]), text)


def metric_name(name: str) -> str:
    """`name` as the last part of a metric's name in MLflow, which takes letters, digits and `_-. ` of a name.

    A name that it takes stays as it is. Any other has `_` in place of what it does not take and a hash behind it, so
    that two names never become one.
    """
    changed = plain(name)
    if changed == name and not _HASHED.search(name):
        return name
    return f"{changed}-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:_DIGITS]}"


def file_names(names: Iterable[str]) -> list[str]:
    """The names, in their order, as file names that every disk takes and none of which meets another."""
    return distinct(map(plain, names))


def plain(name: str) -> str:
    """`name` in at most `LONGEST_PLAIN` bytes: `_` for all but letters, digits and `_-. `, and for dots at its ends."""
    cut = _STRANGE.sub("_", name).encode()[:LONGEST_PLAIN].decode(errors="ignore")
    return _ENDS.sub(lambda found: "_" * len(found[0]), cut) or "_"


def distinct(names: Iterable[str]) -> list[str]:
    """The names, in their order, with a number behind one that stood before, in whatever case or Unicode form."""
    taken: set[str] = set()
    numbers: dict[str, int] = {}
    found = []
    for name in names:
        own = name
        while (folded := _folded(own)) in taken:
            numbers[_folded(name)] = number = numbers.get(_folded(name), 1) + 1
            own = f"{name}-{number}"
        taken.add(folded)
        found.append(own)
    return found


# Control characters with tab and line breaks, the two other line breaks, halves of surrogate pairs: the categories Cc,
# Zl, Zp and Cs, which are settled. "Not printable" is not: it takes in spaces, joined emoji, and what a Python is too
# old to know.
_UNUSABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_DIGITS = 8
_HASHED = re.compile(rf"-[0-9a-f]{{{_DIGITS}}}\Z")
_STRANGE = re.compile(r"[^\w\-. ]")
_ENDS = re.compile(r"\A[. ]+|[. ]+\Z")


def _escape(character: str) -> str:
    # Python's stand-in for a byte of a file name that is not UTF-8
    return f"\\x{ord(character) - 0xDC00:02x}" if 0xDC80 <= ord(character) <= 0xDCFF else ascii(character)[1:-1]


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name.casefold())
