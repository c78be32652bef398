"""How far long work has come: a bar on a terminal; in a log file, or on a terminal that moves no cursor, plain lines.

Everything that is shown while work goes on comes through here, so that bars and other lines do not mix.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from tqdm import tqdm

PERIOD = 10.0
"""Seconds between two lines about the same work."""

GOING = "{desc} |{bar}| {n_fmt}/{total_fmt} [<{remaining}{postfix}]"
ENDED = GOING.replace("<{remaining}", "{elapsed}")
"""What a bar says, in the words of tqdm: as much as fits into 80 columns with the longest name of a variant."""


class Progress:
    """What shows how far some work has come; this one shows nothing."""

    def __init__(self, done: int) -> None:
        self.done = done
        """How many are done."""

    def update(self, n: int = 1, **values: str) -> None:
        """`n` more are done; `values` stand beside their number until others come."""
        self.done += n

    def close(self) -> None:
        """Leave what is shown as it is, and let the next line begin below it; a second call does nothing."""
        if self in _open:
            _open.remove(self)
            self._end()

    def _end(self) -> None:
        pass


@contextmanager
def show_progress(
    title: str, total: int | None, unit: str, *, done: int = 0, delay: float = 0.0, shown: bool = True
) -> Iterator[Progress]:
    """Shows how many of `total` (None: unknown) are done, beginning with `done`.

    Work of less than `delay` seconds is not shown, nor any that is not to be `shown`. `unit` is the word for one of
    them; `B` is bytes.
    """
    if not shown:
        yield Progress(done)
        return
    kind = _Bar if sys.stderr.isatty() and os.environ.get("TERM") != "dumb" else _Lines
    bar = kind(title, total, unit, done, delay)
    _open.append(bar)
    try:
        yield bar
    finally:
        bar.close()


def say(text: str) -> None:
    """Write a line to standard error, above the bars that are there."""
    if any(isinstance(bar, _Bar) for bar in _open):
        tqdm.write(text, file=sys.stderr)
    else:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def close_all() -> None:
    """Close every bar, also those of loops that an exception has left and its traceback keeps."""
    for bar in _open[:]:
        bar.close()


class _Bar(Progress):
    def __init__(self, title: str, total: int | None, unit: str, done: int, delay: float) -> None:
        super().__init__(done)
        self._bar = tqdm(
            desc=title, total=total, initial=done, unit_scale=unit == "B", delay=delay,
            dynamic_ncols=True, mininterval=0.5, bar_format=GOING,
        )  # fmt: skip

    def update(self, n: int = 1, **values: str) -> None:
        super().update(n)
        if values:
            self._bar.set_postfix(values, refresh=False)
        self._bar.update(n)

    def _end(self) -> None:
        self._bar.bar_format = ENDED
        self._bar.close()


class _Lines(Progress):
    """A line each `PERIOD` seconds, and one at the end."""

    def __init__(self, title: str, total: int | None, unit: str, done: int, delay: float) -> None:
        super().__init__(done)
        self._title, self._total, self._unit, self._delay = title, total, unit, delay
        self._first = self._said = done
        self._values: dict[str, str] = {}
        self._begun = self._last = monotonic()

    def update(self, n: int = 1, **values: str) -> None:
        super().update(n)
        self._values = values or self._values
        if monotonic() - self._last >= PERIOD:
            self._write()

    def _end(self) -> None:
        if self.done > self._said and monotonic() - self._begun >= self._delay:
            self._write()

    def _write(self) -> None:
        self._last, self._said = monotonic(), self.done
        seconds, here = self._last - self._begun, self.done - self._first
        parts = [" of ".join(map(self._count, filter(None, (self.done, self._total)))), tqdm.format_interval(seconds)]
        if self._unit != "B":
            parts[0] += f" {self._unit}s"
        if self._total and here > 0 and self.done < self._total:
            parts.append(f"{tqdm.format_interval(seconds / here * (self._total - self.done))} left")
        parts += [f"{name}={value}" for name, value in self._values.items()]
        say(f"{self._title}: {', '.join(parts)}")

    def _count(self, number: int) -> str:
        return str(tqdm.format_sizeof(number, "B")) if self._unit == "B" else str(number)


_open: list[Progress] = []
"""What is shown now."""
