"""Damage by number: what becomes of a file, how its reader takes it, and how to try the same again."""

import re
import shutil
import signal
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from multiprocessing import active_children
from pathlib import Path
from traceback import format_exc
from typing import NamedTuple

import numpy as np

from avfusion.errors import UserError
from avfusion.media import MediaError
from avfusion.system.seeds import derive_seed

Read = Callable[[Path], None]

LONGEST = 30.0
"""Seconds that the reading of one small file may take."""
_HEADER = 512  # bytes in which half of the damage falls: what a file claims stands there
_LONGEST_RUN = 6  # of bytes, as a power of two

_TOKEN = re.compile(rb"""[A-Za-z_][\w.]*|[-+]?\d[\w.]*|"[^"\n]*"|'[^'\n]*'""")
_ODD = (
    *(b"", b"0", b"-1", b"1.5", b"7", b"1e999", b"nan", b"NaN", b"-Infinity", b"9" * 20, b"9" * 5000),
    *(b"null", b"None", b"true", b"[]", b"{}", b'""', b'"x"', b"[[1]]", b'{"a": 1}', b"__import__", b"><", b"int64"),
    *(b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80", b'"\\ud800"', b"\r", b"\n", b"\r\n", b"\t", b'"', b"'"),
    *(b",", b";", b"=", b":", b"\\", b"#", b"%s", b"{0}", b"\xe2\x80\xa8", b"\xc2\xb2", b"\x1b[2J", b"../..", b"/dev"),
    *(b"[" * 100_000, b'{"a":' * 20_000, b"x" * 100_000, b"," * 100_000, b"\n" * 1000),
)
"""What is put into text, and in place of a word or a number of it."""
_INTEGERS = (0, 1, 2**7 - 1, 2**7, 2**15 - 1, 2**15, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1)


class Target(NamedTuple):
    """A kind of file, and what reads it.

    Attributes:
        write: fills a folder and names the files of it that are to be damaged, each of which can be read as it is.
        reading: gives the reader, which raises `UserError` or `MediaError` for a file that cannot be used, and whatever
            else only by a mistake; the context may hold processes that serve all cases.
    """

    write: Callable[[Path], Sequence[Path]]
    reading: Callable[[], AbstractContextManager[Read]]


class Attempt(NamedTuple):
    """What became of one damaged file: `line` is why it was refused, "" if it was read."""

    number: int
    line: str = ""
    mistake: str = ""
    """A traceback, or what is wrong with the line; "" if all is well."""
    rise: int = 0
    """Bytes by which the peak of memory has risen since the first damaged file, that of child processes included."""


def attempts(target: Target, numbers: Iterable[int], folder: Path) -> Iterator[Attempt]:
    """Reads the healthy files of `target`, then a damaged one for each number, each in a fresh copy of its folder.

    Raises what the reader raises for a healthy file.
    """
    healthy, place = folder / "healthy", folder / "damaged"
    healthy.mkdir()
    names = [path.relative_to(healthy) for path in target.write(healthy)]
    contents = [(healthy / name).read_bytes() for name in names]
    with target.reading() as read:
        for name in names:
            shutil.copytree(healthy, place)
            read(place / name)
            shutil.rmtree(place)
        baseline = _peak()
        for number in numbers:
            shutil.copytree(healthy, place)
            path = place / names[number % len(names)]
            path.write_bytes(damaged(contents[number % len(names)], number, contents))
            line, mistake = _outcome(read, path)
            shutil.rmtree(place)
            yield Attempt(number, line, mistake, _peak() - baseline)


def _outcome(read: Read, path: Path) -> tuple[str, str]:
    """Line and mistake of an `Attempt`."""
    try:
        with _alarm():
            read(path)
    except (UserError, MediaError) as error:
        line = str(error)
        return line, "" if line.strip() and not re.search(r"[\r\n]", line) else f"no line: {line!r}"
    except (Exception, _HangError):
        return "", format_exc()
    return "", ""


class _HangError(BaseException):
    """Reading takes too long; no reader catches this."""


@contextmanager
def _alarm() -> Iterator[None]:
    def ring(*_: object) -> None:
        raise _HangError(f"more than {LONGEST:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, LONGEST)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _peak() -> int:
    """Bytes of memory that this process and its children had at most."""
    total = 0
    for process in ("self", *(child.pid for child in active_children())):
        status = Path(f"/proc/{process}/status").read_text()
        total += int(status.partition("VmHWM:")[2].split()[0]) * 1024
    return total


def damaged(content: bytes, number: int, others: Sequence[bytes] = ()) -> bytes:
    """`content` with one to three kinds of damage, which follow from `number`; `others` lend their bytes."""
    random = np.random.default_rng(derive_seed("damage", number))
    data = content
    for kind in random.choice(len(_KINDS), size=random.choice([1, 1, 2, 3])):
        reach = min(len(data), _HEADER) if random.random() < 0.5 else len(data)
        data = _KINDS[kind](random, data, int(random.integers(0, reach + 1)), others)
    return data if data != content else data[:-1]


Damage = Callable[[np.random.Generator, bytes, int, Sequence[bytes]], bytes]
"""Draws, the file, a place in it, other files -> the file with damage at or behind that place."""


def _cut(_: np.random.Generator, data: bytes, place: int, __: Sequence[bytes]) -> bytes:
    return data[:place]


def _flip(random: np.random.Generator, data: bytes, place: int, _: Sequence[bytes]) -> bytes:
    changed = bytearray(data)
    for offset in random.integers(0, 200, size=random.choice([1, 2, 30])):
        if place + offset < len(data):
            changed[place + offset] ^= 1 << int(random.integers(0, 8))
    return bytes(changed)


def _overwrite(random: np.random.Generator, data: bytes, place: int, _: Sequence[bytes]) -> bytes:
    run = len(data[place : place + _run(random)])
    new = random.bytes(run) if random.random() < 0.5 else bytes([random.choice([0, 255])]) * run
    return data[:place] + new + data[place + run :]


def _remove(random: np.random.Generator, data: bytes, place: int, _: Sequence[bytes]) -> bytes:
    return data[:place] + data[place + _run(random) :]


def _repeat(random: np.random.Generator, data: bytes, place: int, _: Sequence[bytes]) -> bytes:
    end = place + _run(random)
    return data[:end] + data[place:end] * int(random.choice([1, 2, 1000])) + data[end:]


def _splice(random: np.random.Generator, data: bytes, place: int, others: Sequence[bytes]) -> bytes:
    other = others[int(random.integers(0, len(others)))] if others else data
    start = int(random.integers(0, len(other) + 1))
    return data[:place] + other[start:] if random.random() < 0.5 else data[:place] + other[place:]


def _integer(random: np.random.Generator, data: bytes, place: int, _: Sequence[bytes]) -> bytes:
    width, order = random.choice(["B", "H", "I", "Q"]), random.choice(["<", ">"])
    size = struct.calcsize(width)
    place -= place % size if random.random() < 0.5 else 0
    number = struct.pack(f"{order}{width}", _INTEGERS[random.integers(0, len(_INTEGERS))] % 256**size)
    return (data[:place] + number + data[place + size :])[: len(data)]


def _token(random: np.random.Generator, data: bytes, place: int, _: Sequence[bytes]) -> bytes:
    """Something else in place of a word or number; spaces behind it make up for its length, which a format may know."""
    found = _TOKEN.search(data, place) or _TOKEN.search(data)
    if found is None:
        return data
    new = _ODD[random.integers(0, len(_ODD))]
    rest, more = data[found.end() :], len(new) - len(found[0])
    if random.random() < 0.5:
        blanks = rest.find(b" " * max(more, 2))
        if blanks >= 0:
            rest = rest[:blanks] + (rest[blanks + more :] if more > 0 else b" " * -more + rest[blanks:])
    return data[: found.start()] + new + rest


def _insert(random: np.random.Generator, data: bytes, place: int, _: Sequence[bytes]) -> bytes:
    return data[:place] + _ODD[random.integers(0, len(_ODD))] + data[place:]


def _lines(random: np.random.Generator, data: bytes, place: int, _: Sequence[bytes]) -> bytes:
    """A line twice, gone, or in another's place."""
    lines = data.splitlines(keepends=True) or [b""]
    first, second = (int(number) for number in random.integers(0, len(lines), size=2))
    first = first if random.random() < 0.5 else data.count(b"\n", 0, place) % len(lines)
    match random.integers(0, 3):
        case 0:
            lines.insert(second, lines[first])
        case 1:
            del lines[first]
        case _:
            lines[first], lines[second] = lines[second], lines[first]
    return b"".join(lines)


_KINDS: tuple[Damage, ...] = (
    _cut, _flip, _overwrite, _remove, _repeat, _splice, _integer, _token, _token, _insert, _lines
)  # fmt: skip


def _run(random: np.random.Generator) -> int:
    """Few bytes, mostly."""
    return int(2 ** random.uniform(0, _LONGEST_RUN))
