"""Train, validation and test without a location in two of them.

Clips of one location are alike in ways that have nothing to do with their class (a room's echo, a
view), so a location seen in training makes its test clips too easy (Wang et al., ICASSP 2021).
"""

from collections.abc import Mapping
from itertools import islice

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from avfusion.datasets.dataset import SPLITS
from avfusion.errors import UserError
from avfusion.system.seeds import derive_seed

# Aims, as shares of the clips of each class; whole locations are taken, and at least one.
TEST_SHARE = 0.25
VALIDATION_SHARE = 0.2
TRAINING_SHARE = 0.5
"""Of each class's clips at least this share is for training, wherever whole locations allow it."""
_ATTEMPTS = 50  # for locations with several classes: a draw can leave one class without a split

Splits = NDArray[np.str_]


def assign_splits(clips: pd.DataFrame) -> Splits:
    """The split of each clip: those given are kept, and missing ones are drawn by location.

    A split that no clip is given is drawn from the clips with split ""; if there are none, from
    those with "train". Of them, VALIDATION_SHARE and TEST_SHARE of the clips of each class are
    taken, in whole locations, and the others are for training: at least TRAINING_SHARE, or where
    whole locations do not allow that (`short_of_training` tells), as much as they do. A clip with
    split "" whose location has a given split follows it. The draw depends on the clips alone: every
    run and every seed of a study sees the same splits, whatever the order of the rows.

    Args:
        clips: columns id, label, location and split (as in a dataset's table or a feature store).

    Returns:
        "train", "val" or "test" for each row.

    Raises:
        UserError: a class has too few locations or no training clip, no draw gives each class a clip
            in each split, or the given splits leak (see `guard`).
    """
    table = clips[["label", "location", "split"]].reset_index(drop=True)
    followed = {row.location: row.split for row in table.itertuples() if row.split}
    named = [row.split or followed.get(row.location, "") for row in table.itertuples()]
    splits = pd.Series(named, table.index, dtype=object)
    shares = {
        name: share for name, share in (("test", TEST_SHARE), ("val", VALIDATION_SHARE)) if not (splits == name).any()
    }
    pool = splits == "" if (splits == "").any() else splits == "train"
    if shares:
        drawn = draw_splits(table[pool], shares)
        splits = splits.where(~pool, table["location"].map(drawn))
    assigned = splits.replace("", "train").to_numpy(dtype=np.str_)
    guard(clips, assigned)
    untrained = sorted(set(table["label"]) - set(table["label"][assigned == "train"]))
    if untrained:
        raise UserError(
            f"class {untrained[0]!r} has no clip in the train split ({len(untrained)} such in all); "
            "give it training clips, or leave it out of the list"
        )
    return assigned


def guard(clips: pd.DataFrame, splits: Splits) -> None:
    """Stops a run whose splits share a clip or a location.

    Args:
        clips: columns id and location; the files in audio and video are compared too, if given.
        splits: the split of each row.

    Raises:
        UserError: something is in two splits (a leak), or a split is empty or unknown.
    """
    unknown = sorted(set(splits.tolist()) - set(SPLITS))
    if unknown:
        raise UserError(f"unknown split {unknown[0]!r}; expected {', '.join(SPLITS)}")
    empty = [name for name in SPLITS if name not in splits]
    if empty:
        raise UserError(f"no clip is in the {empty[0]} split; each of {', '.join(SPLITS)} needs clips")
    frame = clips.assign(split=splits)
    for column in ("location", "id", "audio", "video"):
        if column in frame:
            named = frame[frame[column] != ""]
            counts = named.groupby(column)["split"].nunique()
            leaking = sorted(counts.index[counts > 1])
            if leaking:
                found = sorted(set(named.loc[named[column] == leaking[0], "split"]))
                raise UserError(
                    f"leak: the {column} {leaking[0]!r} is in the splits {' and '.join(found)} "
                    f"({len(leaking)} such in all); keep each {column} in one split"
                )


def short_of_training(clips: pd.DataFrame, splits: Splits) -> dict[str, float]:
    """Share of a class's clips that are for training, of those classes where it is below TRAINING_SHARE; by class.

    Args:
        clips: column label.
        splits: the split of each row; rows of other words than `SPLITS` do not count.
    """
    used = np.isin(splits, SPLITS)
    training = pd.Series(splits[used] == "train").groupby(clips["label"].to_numpy()[used]).mean()
    return {str(label): float(share) for label, share in training.items() if share < TRAINING_SHARE}


def draw_splits(pool: pd.DataFrame, shares: Mapping[str, float], *seed: str | int) -> dict[str, str]:
    """Location -> split, for every location of `pool`, which has the columns label and location.

    `shares` are those of the splits but train, of each class's clips; other `seed` parts give other draws. Raises
    `UserError` where no class-wise draw by location is found.
    """
    sizes = {
        str(label): {str(location): int(size) for location, size in group["location"].value_counts().items()}
        for label, group in pool.groupby("label", sort=True)
    }
    needed = len(shares) + 1
    for label, locations in sizes.items():
        if len(locations) < needed:
            names = [*shares, "train"]
            raise UserError(
                f"class {label!r} has {len(locations)} location{'s' * (len(locations) != 1)}; splitting it into "
                f"{', '.join(sorted(names, key=SPLITS.index))} without a shared location takes at least {needed}"
            )
    for attempt in range(_ATTEMPTS):
        drawn = _one_draw(sizes, shares, (*seed, attempt))
        if all(len({drawn[location] for location in locations}) == needed for locations in sizes.values()):
            return drawn
    raise UserError(
        "the classes share locations in a way that leaves no split by location with every class in each of "
        f"{', '.join([*shares, 'train'])}; give the splits in the column split"
    )


def _one_draw(
    sizes: dict[str, dict[str, int]], shares: Mapping[str, float], seed: tuple[str | int, ...]
) -> dict[str, str]:
    """Takes locations class by class, those with the fewest locations first."""
    drawn: dict[str, str] = {}
    for label in sorted(sizes, key=lambda name: (len(sizes[name]), name)):
        order = sorted(sizes[label])
        np.random.default_rng(derive_seed("splits", label, *seed)).shuffle(order)
        _draw_class({location: sizes[label][location] for location in order}, shares, drawn)
    return {location: drawn.get(location, "train") for locations in sizes.values() for location in locations}


def _draw_class(sizes: dict[str, int], shares: Mapping[str, float], drawn: dict[str, str]) -> None:
    """Adds to `drawn` the locations of one class that are not for training, trying them in the order of `sizes`.

    A location is passed over if training could not get its share any more, or what is possible where that is less: so
    the smallest that is free can always be taken.
    """
    total = sum(sizes.values())
    taken = {split: sum(sizes[location] for location in sizes if drawn.get(location) == split) for split in shares}
    free = dict.fromkeys(location for location in sorted(sizes, key=sizes.__getitem__) if location not in drawn)
    order, rest = [location for location in sizes if location in free], list(shares)

    def left_for_training(size: int, but: str = "") -> int:
        """Clips, after `size` more are taken and the smallest other locations go to the splits that have none yet."""
        others = (sizes[location] for location in free if location != but)
        return total - sum(taken.values()) - size - sum(islice(others, sum(not taken[split] for split in rest)))

    least = min(TRAINING_SHARE * total, left_for_training(0))
    for split, share in shares.items():
        rest.remove(split)
        for location in order:
            size, aim = sizes[location], share * total
            closer = abs(taken[split] + size - aim) < abs(taken[split] - aim)
            if location not in free or len(free) <= len(rest) + 1 or (taken[split] and not closer):
                continue
            if left_for_training(size, location) >= least:
                drawn[location] = split
                taken[split] += size
                del free[location]
