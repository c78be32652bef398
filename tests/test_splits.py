"""Splits by location: invariants over random layouts, given splits, and planted leaks."""

import re

import numpy as np
import pandas as pd
import pytest

from avfusion.datasets.splits import (
    TEST_SHARE,
    TRAINING_SHARE,
    VALIDATION_SHARE,
    assign_splits,
    guard,
    short_of_training,
)
from avfusion.errors import UserError


def table(*rows: tuple[str, str, str, int]) -> pd.DataFrame:
    """Rows of (label, location, split, number of clips)."""
    repeated = [(label, location, split) for label, location, split, count in rows for _ in range(count)]
    frame = pd.DataFrame(repeated, columns=["label", "location", "split"])
    return frame.assign(id=[f"clip{i}" for i in range(len(frame))])


def random_table(seed: int, given: tuple[str, ...]) -> pd.DataFrame:
    """Two to twelve classes of six to twenty locations; some locations hold several classes."""
    random = np.random.default_rng(seed)
    rows = []
    for label in range(int(random.integers(2, 13))):
        for number in range(int(random.integers(6, 21))):
            shared = random.random() < 0.15
            location = f"shared-{number}" if shared else f"{label}-{number}"
            rows.append((f"class {label}", location, "", int(random.integers(1, 9))))
    frame = table(*rows)
    for position, split in enumerate(given):
        tagged = [name for name in frame["location"].unique() if sum_of_letters(name) % 5 == position]
        frame.loc[frame["location"].isin(tagged), "split"] = split
    return frame


def sum_of_letters(name: str) -> int:
    return sum(map(ord, name))


@pytest.mark.parametrize("given", [(), ("test",), ("val",), ("val", "test"), ("train", "test")])
@pytest.mark.parametrize("seed", range(12))
def test_invariants(seed: int, given: tuple[str, ...]) -> None:
    clips = random_table(seed, given)
    splits = assign_splits(clips)
    guard(clips, splits)
    assert set(splits) == {"train", "val", "test"}
    fixed = (clips["split"] != "").to_numpy()
    assert (splits[fixed] == clips["split"].to_numpy()[fixed]).all()
    assert (clips.assign(split=splits).groupby("location")["split"].nunique() == 1).all()
    for split in {"train", "val", "test"} - set(given):
        assert set(clips["label"][splits == split]) == set(clips["label"]), f"a class has no clips in {split}"


def test_shares() -> None:
    clips = table(*[(label, f"{label}{i}", "", 5) for label in "abc" for i in range(40)])
    counts = pd.crosstab(clips["label"], assign_splits(clips), normalize="index")
    np.testing.assert_allclose(counts["test"], TEST_SHARE, atol=0.025)
    np.testing.assert_allclose(counts["val"], VALIDATION_SHARE, atol=0.025)


def test_uneven_locations_stay_near_the_shares() -> None:
    clips = table(*[("a", f"{i}", "", size) for i, size in enumerate([200, 40, 30, 30, 20, 20, 10, 10, 5, 5])])
    counts = pd.Series(assign_splits(clips)).value_counts(normalize=True)
    assert counts["train"] > 0.4


def test_row_order_and_other_classes_do_not_matter() -> None:
    clips = random_table(3, ())
    shuffled = clips.sample(frac=1, random_state=0)
    by_location = dict(zip(clips["location"], assign_splits(clips), strict=True))
    assert by_location == dict(zip(shuffled["location"], assign_splits(shuffled), strict=True))
    more = pd.concat([clips, table(*[("new", f"n{i}", "", 3) for i in range(6)]).assign(id=lambda t: "n" + t["id"])])
    again = dict(zip(more["location"], assign_splits(more), strict=True))
    assert {location: again[location] for location in by_location} == by_location


def test_clips_without_split_follow_their_location() -> None:
    rows = [("a", f"a{i}", "", 2) for i in range(6)]
    clips = table(*rows, ("a", "a0", "test", 1), ("a", "a1", "val", 1), ("a", "a2", "train", 1))
    splits = dict(zip(clips["location"], assign_splits(clips), strict=True))
    assert splits == {"a0": "test", "a1": "val", "a2": "train", "a3": "train", "a4": "train", "a5": "train"}


def test_validation_comes_from_train_when_every_clip_has_a_split() -> None:
    clips = table(*[("a", f"a{i}", "train", 2) for i in range(8)], ("a", "t", "test", 4))
    splits = assign_splits(clips)
    assert (splits == "val").sum() == 4
    assert (splits[clips["split"] == "test"] == "test").all()


def test_complete_splits_are_kept() -> None:
    clips = table(("a", "x", "train", 1), ("a", "y", "val", 1), ("a", "z", "test", 1))
    assert assign_splits(clips).tolist() == ["train", "val", "test"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("a", "1", "", 9), ("a", "2", "", 9)], "class 'a' has 2 locations; .*train, val, test .* at least 3"),
        ([("a", "1", "", 9), ("b", "2", "test", 9)], "class 'a' has 1 location; .*train, val .* at least 2"),
    ],
)
def test_too_few_locations(rows: list[tuple[str, str, str, int]], message: str) -> None:
    with pytest.raises(UserError, match=message):
        assign_splits(table(*rows))


def test_locations_with_several_classes() -> None:
    rows = [(label, f"{label}{j}", "", 1) for label in "xyz" for j in range(3)]
    clips = table(*rows, ("y", "x0", "", 1), ("x", "y0", "", 1))
    assert len(set(assign_splits(clips))) == 3


def test_impossible_sharing() -> None:
    pairs = [("a", "1"), ("a", "2"), ("a", "3"), ("b", "1"), ("b", "2"), ("b", "4"), ("c", "3"), ("c", "4"), ("c", "1")]
    pairs += [("d", "2"), ("d", "3"), ("d", "4")]  # four locations, every three of them need three splits
    with pytest.raises(UserError, match="give the splits in the column split"):
        assign_splits(table(*[(label, location, "", 2) for label, location in pairs]))


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("location", "leak: the location 'same' is in the splits test and train (1 such in all)"),
        ("id", "leak: the id 'same' is in the splits test and train (1 such in all)"),
        ("audio", "leak: the audio 'same' is in the splits test and train (1 such in all)"),
    ],
)
def test_planted_leaks(column: str, message: str) -> None:
    clips = table(("a", "1", "train", 1), ("a", "2", "val", 1), ("a", "3", "test", 1))
    clips["audio"], clips["video"] = clips["id"] + ".wav", ""
    guard(clips, clips["split"].to_numpy())
    clips.loc[[0, 2], column] = "same"
    with pytest.raises(UserError, match=re.escape(message)):
        guard(clips, clips["split"].to_numpy())
    with pytest.raises(UserError, match=re.escape(message)):
        assign_splits(clips)


def test_every_class_needs_training_clips() -> None:
    clips = table(("a", "1", "train", 1), ("a", "2", "val", 1), ("a", "3", "test", 1), ("b", "4", "test", 1))
    with pytest.raises(UserError, match=r"class 'b' has no clip in the train split \(1 such in all\); give it"):
        assign_splits(clips)


def test_guard_wants_every_split() -> None:
    clips = table(("a", "1", "train", 1), ("a", "2", "test", 1))
    with pytest.raises(UserError, match="no clip is in the val split"):
        guard(clips, clips["split"].to_numpy())
    with pytest.raises(UserError, match="unknown split 'dev'"):
        guard(clips, np.array(["train", "dev"]))


def random_sizes(generator: np.random.Generator) -> list[int]:
    """Clips at each of 3 to 12 locations, many layouts of which have one or two that are huge."""
    n_locations = int(generator.integers(3, 13))
    sizes: list[int] = np.ceil(generator.lognormal(2.0, generator.uniform(0, 2.0), n_locations)).astype(int).tolist()
    return sizes


def test_training_gets_its_share_wherever_whole_locations_allow_it() -> None:
    generator = np.random.default_rng(0)
    short = 0
    for number in range(150):
        sizes = random_sizes(generator)
        clips = table(*[("a", f"{number}-{i}", "", size) for i, size in enumerate(sizes)])
        splits = assign_splits(clips)
        possible = 1 - sum(sorted(sizes)[:2]) / sum(sizes)  # all but the two smallest locations
        share = float((splits == "train").mean())
        assert share >= min(TRAINING_SHARE, possible) - 1e-12
        assert short_of_training(clips, splits) == ({"a": share} if share < TRAINING_SHARE else {})
        short += possible < TRAINING_SHARE
    assert short > 0


def test_a_huge_location_does_not_swallow_its_class() -> None:
    clips = table(*[("a", f"a{i}", "", size) for i, size in enumerate((200, 5, 5, 5))])
    assert pd.Series(assign_splits(clips)).value_counts().to_dict() == {"train": 200, "test": 10, "val": 5}
