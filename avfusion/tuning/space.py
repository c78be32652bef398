"""What a study searches: the ranges that a variant's file declares, changed from the command line."""

import hashlib
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, log, prod

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from avfusion.errors import UserError
from avfusion.fusion import FusionNetwork
from avfusion.fusion.hyperparameters import Choice, Hyperparameter, Real, Value, Whole
from avfusion.training.experiment import hyperparameters

GRID_STEPS = 5
"""Values that a grid takes from a range, its ends among them."""


@dataclass(frozen=True)
class Range:
    """The numbers from `low` to `high`, both included; on a log scale if `log`."""

    low: float
    high: float
    log: bool = False
    whole: bool = False

    @property
    def distribution(self) -> BaseDistribution:
        """The same in Optuna's words."""
        if self.whole:
            return IntDistribution(int(self.low), int(self.high), log=self.log)
        return FloatDistribution(self.low, self.high, log=self.log)

    def nearest(self, value: Value) -> Value:
        """The member of the range that is nearest to `value`."""
        inside = min(max(float(value), self.low), self.high)
        return int(inside) if self.whole else inside

    @property
    def grid(self) -> tuple[Value, ...]:
        """`GRID_STEPS` members at equal distances (equal ratios if `log`), fewer where whole numbers coincide."""
        low, high = (log(self.low), log(self.high)) if self.log else (self.low, self.high)
        points = [low + (high - low) * step / (GRID_STEPS - 1) for step in range(GRID_STEPS)]
        values = [self.nearest(exp(point) if self.log else point) for point in points]
        return tuple(dict.fromkeys(values))

    def __str__(self) -> str:
        return f"{self.low:g}:{self.high:g}" + (" (log)" if self.log else "")


@dataclass(frozen=True)
class Choices:
    """A few values, whose order says nothing."""

    values: tuple[Value, ...]

    @property
    def distribution(self) -> BaseDistribution:
        """The same in Optuna's words."""
        return CategoricalDistribution(self.values)

    def nearest(self, value: Value) -> Value:
        """`value` if it is a choice, else the nearest number, else the first choice."""
        if value in self.values or isinstance(value, str):
            return value if value in self.values else self.values[0]
        return min(self.values, key=lambda choice: abs(float(choice) - float(value)))

    @property
    def grid(self) -> tuple[Value, ...]:
        """All choices."""
        return self.values

    def __str__(self) -> str:
        return "|".join(map(str, self.values))


Dimension = Range | Choices


@dataclass(frozen=True)
class Space:
    """What is searched, and the value of everything else."""

    searched: Mapping[str, Dimension]
    fixed: Mapping[str, Value]
    """Every hyperparameter that is not searched."""
    defaults: Mapping[str, Value]
    """The configuration that the result is compared with: the variant's own, whether or not it lies in the space."""

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """The searched dimensions in Optuna's words."""
        return {name: dimension.distribution for name, dimension in self.searched.items()}

    @property
    def scales(self) -> dict[str, str]:
        """For figures: each dimension `choice`, `log` or `linear`."""
        return {
            name: "choice" if isinstance(dimension, Choices) else "log" if dimension.log else "linear"
            for name, dimension in self.searched.items()
        }

    @property
    def first(self) -> dict[str, Value]:
        """The first point to try: the defaults, or what is nearest to them in the space."""
        return {name: dimension.nearest(self.defaults[name]) for name, dimension in self.searched.items()}

    @property
    def has_defaults(self) -> bool:
        """Whether the defaults lie in the space, so that `first` is them."""
        return self.complete(self.first) == dict(self.defaults)

    @property
    def digest(self) -> str:
        """Fixed by everything in the space; 16 hexadecimal digits."""
        return hashlib.sha256(json.dumps(self.in_words, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def in_words(self) -> dict[str, str]:
        """Each hyperparameter in words: the values that are searched, or the one that it has."""
        return {name: str({**self.fixed, **self.searched}[name]) for name in self.defaults}

    def complete(self, point: Mapping[str, Value]) -> dict[str, Value]:
        """All hyperparameters at `point`, which has the searched ones; in the order of the defaults."""
        return {name: {**self.fixed, **point}[name] for name in self.defaults}

    def each(self, name: str) -> list[dict[str, Value]]:
        """The defaults once for each value that `name` can take; `name` must not be searched over a range."""
        dimension = self.searched.get(name)
        values = dimension.grid if dimension else (self.fixed[name],)
        return [{**self.defaults, name: value} for value in values]

    @property
    def grid_size(self) -> int:
        """Points of the whole grid."""
        return prod(len(dimension.grid) for dimension in self.searched.values())

    def grid(self, n_points: int, seed: int) -> list[dict[str, Value]]:
        """Up to `n_points` different points of the grid, in an order that `seed` fixes."""
        axes = {name: dimension.grid for name, dimension in self.searched.items()}
        points = []
        for number in random.Random(seed).sample(range(self.grid_size), min(n_points, self.grid_size)):
            point, rest = {}, number
            for name, values in axes.items():
                rest, position = divmod(rest, len(values))
                point[name] = values[position]
            points.append(point)
        return points

    def __str__(self) -> str:
        return ", ".join(f"{name}={dimension}" for name, dimension in self.searched.items())


def make_space(variant: type[FusionNetwork], given: Mapping[str, str]) -> Space:
    """The space of `variant`, with `given` in place of what it declares.

    `given` maps names to `low:high` (a range), `a|b|c` (choices) or a single value, which fixes it; names that the
    variant lacks are ignored (see `avfusion.fusion.hyperparameters.check_known`). Raises `UserError` for what is
    illegal, an empty range, or if nothing is left to search.
    """
    searched: dict[str, Dimension] = {}
    table = hyperparameters(variant)
    defaults: dict[str, Value] = {name: entry.default for name, entry in table.items()}
    fixed = dict(defaults)
    for name, entry in table.items():
        text = given.get(name)
        if text is None:
            if (dimension := _declared(entry)) is not None:
                searched[name] = dimension
        elif ":" in text:
            searched[name] = _range(name, entry, text)
        elif "|" in text:
            searched[name] = _choices(name, entry, text)
        else:
            fixed[name] = _parse(name, entry, text, text)
    if not searched:
        raise UserError(f"space: every hyperparameter of {variant.id} is fixed; leave at least one to search")
    return Space(searched, {name: value for name, value in fixed.items() if name not in searched}, defaults)


def _declared(entry: Hyperparameter) -> Dimension | None:
    """What the variant's file says; None where a hyperparameter is not searched by itself."""
    if isinstance(entry, Real) and len(entry.search) == 2:
        return Range(*entry.search, log=entry.log)
    if isinstance(entry, Real | Whole | Choice) and entry.search:
        return Choices(entry.search)
    return None


def _range(name: str, entry: Hyperparameter, text: str) -> Range:
    if not isinstance(entry, Real | Whole):
        raise UserError(f"space: {name}={text}: expected {entry.expected}, not a range; give choices as a|b")
    ends = text.split(":")
    low, high = (float(_parse(name, entry, end, text)) for end in (ends if len(ends) == 2 else ("", "")))
    if low >= high:
        raise UserError(
            f"space: {name}={text}: an empty range; write low:high with low < high, or one value to fix {name}"
        )
    scaled = isinstance(entry, Real) and entry.log and low > 0
    return Range(low, high, log=scaled, whole=isinstance(entry, Whole))


def _choices(name: str, entry: Hyperparameter, text: str) -> Choices:
    values = tuple(_parse(name, entry, part, text) for part in text.split("|"))
    if len(set(values)) != len(values):
        raise UserError(f"space: {name}={text}: a choice is given twice; give each once")
    return Choices(values)


def _parse(name: str, entry: Hyperparameter, part: str, text: str) -> Value:
    try:
        return entry.parse(part.strip())
    except ValueError:
        raise UserError(
            f"space: {name}={text}: expected {entry.expected}, as low:high, a|b|c or one value; "
            f"the default is {entry.default}"
        ) from None
