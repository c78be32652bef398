"""Cross-validation by location: each clip is in the test part of exactly one fold, and no location is divided.

Small sets are scored on every clip so, and not only on the quarter that `avfusion.datasets.splits` sets aside. The
folds depend on the clips and a seed alone: every variant sees the same.
"""

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from avfusion.datasets.splits import VALIDATION_SHARE, Splits, assign_splits, draw_splits, guard
from avfusion.errors import UserError
from avfusion.system.seeds import derive_seed


@dataclass(frozen=True)
class Fold:
    """Fold `number` (from 1) of `total`."""

    number: int
    total: int

    def __str__(self) -> str:
        return f"fold {self.number} of {self.total}"

    @classmethod
    def each(cls, total: int) -> "Iterator[Fold]":
        """All folds, in order."""
        return (cls(number, total) for number in range(1, total + 1))


def draw_folds(clips: pd.DataFrame, total: int, seed: int) -> list[Splits]:
    """The split of each clip in every fold, whatever split the dataset gives it.

    The test part is the fold's own; of the clips outside it VALIDATION_SHARE of each class are drawn for validation,
    in whole locations.

    Args:
        clips: columns id, label and location (as in a dataset's table or a feature store).
        total: how many folds.
        seed: of the folds; each has others.

    Returns:
        [total] of "train", "val" or "test" for each row.

    Raises:
        UserError: there are too few locations, or a leak (see `guard`).
    """
    locations = {str(label): len(set(group["location"])) for label, group in clips.groupby("label")}
    if few := {label: number for label, number in locations.items() if number < 3}:
        label, number = next(iter(few.items()))
        raise UserError(
            f"folds={total}: class {label!r} has {number} location{'s' * (number != 1)} ({len(few)} such in all); "
            "training, validation and test take at least 3: add some, or leave the class out"
        )
    parts = _parts(clips, total, seed)
    return [_around(clips, parts == fold.number, fold, seed) for fold in Fold.each(total)]


def search_folds(clips: pd.DataFrame, total: int) -> list[Splits]:
    """As `draw_folds`, for a search: the test clips of the dataset's split are those of every fold.

    Each other clip is in the validation part of exactly one fold.
    """
    splits = assign_splits(clips)
    searched = splits != "test"
    parts = np.zeros(len(clips), np.intp)
    parts[searched] = _parts(clips[searched], total, seed=0)
    drawn = (np.where(searched, np.where(parts == fold.number, "val", "train"), "test") for fold in Fold.each(total))
    return [_checked(clips, splits, fold) for splits, fold in zip(drawn, Fold.each(total), strict=True)]


def check_splits(clips: pd.DataFrame, folds: int | None, seeds: Iterable[int]) -> None:
    """Raise `UserError` if `clips` cannot be split as is asked: by the dataset, or in `folds` for each of `seeds`."""
    if folds is None:
        assign_splits(clips)
        return
    for seed in seeds:
        draw_folds(clips, folds, seed)


def _around(clips: pd.DataFrame, tested: NDArray[np.bool_], fold: Fold, seed: int) -> Splits:
    """The splits of the fold that tests the clips `tested`."""
    try:
        drawn = draw_splits(clips[~tested], {"val": VALIDATION_SHARE}, "fold", seed, fold.number)
    except UserError as error:
        raise UserError(f"folds={fold.total}, {fold}, outside its test part: {error}") from error
    others = clips["location"].map(drawn).fillna("test").to_numpy(dtype=np.str_)
    return _checked(clips, np.where(tested, "test", others), fold)


def _parts(clips: pd.DataFrame, total: int, seed: int) -> NDArray[np.intp]:
    """[N] number of the fold, from 1, whose own a clip is: whole locations, the classes shared out evenly."""
    from sklearn.model_selection import StratifiedGroupKFold  # half a second, which --help need not wait for

    n_locations = clips["location"].nunique()
    if (most := min(n_locations, int(clips["label"].value_counts().max()))) < total:
        raise UserError(f"folds={total}: {len(clips)} clips at {n_locations} locations make at most {most}")
    kind = StratifiedGroupKFold(total, shuffle=True, random_state=derive_seed("folds", seed))
    parts = np.zeros(len(clips), np.intp)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        for number, (_, rows) in enumerate(kind.split(parts, clips["label"], clips["location"]), 1):
            parts[rows] = number
    return parts


def _checked(clips: pd.DataFrame, splits: Splits, fold: Fold) -> Splits:
    """`splits`; raises `UserError` for a leak, and where a class has no training clip."""
    try:
        guard(clips, splits)
    except UserError as error:
        raise UserError(f"folds={fold.total}, {fold}: {error}") from error
    if untrained := sorted(set(clips["label"]) - set(clips["label"][splits == "train"])):
        raise UserError(
            f"folds={fold.total}, {fold}: class {untrained[0]!r} has no training clip ({len(untrained)} such in all); "
            "give it more locations, or leave it out"
        )
    return splits
