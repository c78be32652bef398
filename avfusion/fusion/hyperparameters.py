"""Hyperparameters: what values are legal, which is the default, where a search looks.

A variant declares its own in its class, as `{"alpha": Real(0.5, low=0, high=1, search=(0.1, 0.9))}`;
the training recipe declares those that all variants share. Users write `alpha=0.25,dropout=0.3`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from avfusion.errors import UserError

Value = float | int | bool | str


@dataclass(frozen=True)
class Real:
    """A real number in [low, high].

    A search draws from `search`: two ends of a range, on a log scale if `log`, or more numbers to choose among.
    """

    default: float
    low: float
    high: float
    search: tuple[float, ...]
    log: bool = False

    @property
    def expected(self) -> str:
        """The legal values in words."""
        return f"a number in [{self.low:g}, {self.high:g}]"

    def parse(self, text: str) -> float:
        """The value that `text` writes; ValueError where it is not legal."""
        value = float(text)
        if not self.low <= value <= self.high:
            raise ValueError(text)
        return value


@dataclass(frozen=True)
class Whole:
    """A whole number in [low, high]; a search chooses among `search` (no search where it is empty)."""

    default: int
    low: int
    high: int
    search: tuple[int, ...] = ()

    @property
    def expected(self) -> str:
        """The legal values in words."""
        return f"a whole number in [{self.low}, {self.high}]"

    def parse(self, text: str) -> int:
        """The value that `text` writes; ValueError where it is not legal."""
        value = int(text)
        if not self.low <= value <= self.high:
            raise ValueError(text)
        return value


@dataclass(frozen=True)
class Switch:
    """Yes or no, written as a word; never searched."""

    default: bool
    expected: str = "true or false"

    def parse(self, text: str) -> bool:
        """The value that `text` writes; ValueError where it is not legal."""
        words = {"true": True, "false": False}
        if text.lower() not in words:
            raise ValueError(text)
        return words[text.lower()]


@dataclass(frozen=True)
class Choice:
    """One of a few words; a search chooses among `search` (no search where it is empty)."""

    default: str
    words: tuple[str, ...]
    search: tuple[str, ...] = ()

    @property
    def expected(self) -> str:
        """The legal values in words."""
        return f"one of {', '.join(self.words)}"

    def parse(self, text: str) -> str:
        """The value that `text` writes; ValueError where it is not legal."""
        if text not in self.words:
            raise ValueError(text)
        return text


Hyperparameter = Real | Whole | Switch | Choice
Table = Mapping[str, Hyperparameter]


def with_default(entry: Hyperparameter, value: Value) -> Hyperparameter:
    """The same hyperparameter with another default, which must be legal."""
    return replace(entry, default=entry.parse(str(value)))  # type: ignore[arg-type]


def resolve(table: Table, given: Mapping[str, str]) -> dict[str, Value]:
    """The value of each hyperparameter in `table`: as given where given, else its default.

    Names in `given` that `table` lacks are ignored (see `check_known`); an illegal value is a UserError.
    """
    values: dict[str, Value] = {name: entry.default for name, entry in table.items()}
    for name in given.keys() & table.keys():
        try:
            values[name] = table[name].parse(given[name])
        except ValueError:
            raise UserError(
                f"{name}={given[name]}: expected {table[name].expected}; the default is {table[name].default}"
            ) from None
    return values


def check_known(tables: Sequence[Table], given: Iterable[str], option: str = "params") -> None:
    """Raise a UserError, listing the choices, for a name in `given` that none of `tables` has."""
    known = sorted({name for table in tables for name in table})
    for name in given:
        if name not in known:
            raise UserError(f"{option}: unknown hyperparameter {name!r}; choose from: {', '.join(known)}")
