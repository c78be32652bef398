"""The locations of a set of clips, ready for resampling."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from avfusion.errors import UserError


@dataclass(frozen=True, eq=False)
class Locations:
    """Which clips belong together, and which locations are drawn from one another (strata)."""

    names: tuple[str, ...]
    """[G] names of the locations."""
    members: NDArray[np.int64]
    """[N] location of each clip, an index into `names`."""
    labels: NDArray[np.int64]
    """[N] true class of each clip, in 0 .. C - 1."""
    n_classes: int
    strata: NDArray[np.int64]
    """[G] stratum of each location, 0 .. H - 1: the classes, small ones joined (see `of`)."""

    @classmethod
    def of(cls, locations: Sequence[str], labels: NDArray[np.int64], n_classes: int) -> "Locations":
        """The layout of N clips at these `locations` [N] with true classes `labels` [N].

        The stratum of a location is the class of most of its clips. Classes with a single location have nothing to be
        drawn from: they make one stratum together, or join the smallest other one if there is only one such class.
        """
        if len(locations) != len(labels):
            raise UserError(f"{len(locations)} locations for {len(labels)} clips; every clip needs one")
        members, names = pd.factorize(np.asarray(locations, dtype=object))
        sizes = _sums(members, labels, np.ones(len(labels)), len(names), n_classes)
        return cls(
            tuple(map(str, names)), np.asarray(members, np.int64), labels, n_classes, _joined(sizes.argmax(axis=1))
        )

    def __len__(self) -> int:
        return len(self.names)

    @property
    def n_strata(self) -> int:
        """How many strata there are."""
        return int(self.strata.max()) + 1

    @cached_property
    def sizes(self) -> NDArray[np.float64]:
        """[G, C] clips of each class at each location."""
        return self.sums(np.ones(len(self.members)))

    @cached_property
    def locations_per_stratum(self) -> NDArray[np.int64]:
        """[H] locations in each stratum."""
        return np.bincount(self.strata)

    def sums(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """[G, C] sums of [N] values of the clips of each class at each location."""
        return _sums(self.members, self.labels, values, len(self), self.n_classes)

    def without_each(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """[G, C] totals of `sums` [G, C], in each row without one location; others of its stratum stand in for it."""
        counts = self.locations_per_stratum.astype(np.float64)
        grown = (counts / np.maximum(counts - 1, 1))[self.strata, None]
        of_strata = (self._membership.T @ sums)[self.strata]
        # In this order whole numbers stay exact: a class that is lost with its location has 0 clips, not 1e-15.
        totals: NDArray[np.float64] = (sums.sum(axis=0) - of_strata) + grown * (of_strata - sums)
        return totals

    @cached_property
    def _membership(self) -> NDArray[np.float64]:
        """[G, H] 1 where a location is in a stratum."""
        return np.eye(self.n_strata)[self.strata]

    def in_strata(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """[..., H] sums over the locations of each stratum of values [..., G]."""
        summed: NDArray[np.float64] = values @ self._membership
        return summed


def _sums(
    members: NDArray[np.int64], labels: NDArray[np.int64], values: NDArray[np.floating], n_rows: int, n_classes: int
) -> NDArray[np.float64]:
    flat = np.bincount(members * n_classes + labels, weights=values, minlength=n_rows * n_classes)
    return flat.astype(np.float64).reshape(n_rows, n_classes)


def _joined(classes: NDArray[np.int64]) -> NDArray[np.int64]:
    """[G] strata numbered from 0, each of at least two locations wherever there are two."""
    counts = np.bincount(classes)
    alone = np.flatnonzero(counts == 1)
    strata = classes.copy()
    if len(alone):
        others = np.flatnonzero(counts > 1)
        home = others[counts[others].argmin()] if len(alone) == 1 and len(others) else alone[0]
        strata[np.isin(classes, alone)] = home
    return np.asarray(np.unique(strata, return_inverse=True)[1], np.int64)
