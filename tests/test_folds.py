"""Cross-validation by location: the folds themselves, what is learned from in each, and the answers of all."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from avfusion.datasets import folds as folds_module
from avfusion.datasets.folds import Fold, check_splits, draw_folds, search_folds
from avfusion.datasets.splits import assign_splits, guard
from avfusion.errors import UserError
from avfusion.features import FeatureStore
from avfusion.fusion import variants
from avfusion.scoring.metrics import evaluate
from avfusion.training.cross_validation import CrossValidation
from avfusion.training.experiment import resolve_params
from avfusion.training.many import Trainer, Training
from avfusion.training.split_features import TEST, TRAIN, SplitFeatures
from avfusion.training.stored_results import StoredResults
from tests.stores import make_store
from tests.test_splits import random_table, table

CPU = torch.device("cpu")


@pytest.mark.parametrize("total", [3, 5])
@pytest.mark.parametrize("seed", range(12))
def test_invariants(seed: int, total: int) -> None:
    clips = random_table(seed, ())
    tested = np.zeros(len(clips), int)
    for splits in draw_folds(clips, total, seed):
        guard(clips, splits)
        assert (clips.assign(split=splits).groupby("location")["split"].nunique() == 1).all()
        for split in ("train", "val"):
            assert set(clips["label"][splits == split]) == set(clips["label"])
        tested += splits == TEST
    assert (tested == 1).all()


def test_classes_are_shared_out_evenly() -> None:
    clips = table(*[(label, f"{label}{i}", "", 4) for label in "abc" for i in range(10)])
    for splits in draw_folds(clips, 5, seed=0):
        counts = pd.crosstab(clips["label"], splits)
        assert counts["test"].tolist() == [8] * 3 and counts["val"].between(4, 8).all()


def test_a_seed_has_its_own_folds_and_rows_may_come_in_any_order() -> None:
    clips = random_table(3, ())
    shuffled = clips.sample(frac=1, random_state=0)
    drawn = {}
    for seed in (0, 1):
        drawn[seed] = dict(zip(clips["location"], draw_folds(clips, 5, seed)[0], strict=True))
        assert drawn[seed] == dict(zip(shuffled["location"], draw_folds(shuffled, 5, seed)[0], strict=True))
    assert drawn[0] != drawn[1]


def test_a_search_leaves_the_test_clips_alone_and_validates_each_other_clip_once() -> None:
    clips = random_table(4, ())
    own = assign_splits(clips)
    validated = np.zeros(len(clips), int)
    for splits in search_folds(clips, 4):
        assert ((splits == TEST) == (own == TEST)).all()
        validated += splits == "val"
    assert (validated == (own != TEST)).all()


def by_clip(clips: pd.DataFrame, total: int, seed: int) -> np.ndarray:
    """Folds that divide locations, in place of those that do not."""
    return np.arange(len(clips)) % total + 1


def test_a_planted_leak_between_folds_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clips = table(*[(label, f"{label}{i}", "", 4) for label in "abc" for i in range(10)])
    with (
        monkeypatch.context() as patch,
        pytest.raises(UserError, match=r"^folds=5, fold 1 of 5: leak: the location 'a0'"),
    ):
        patch.setattr(folds_module, "_parts", by_clip)
        draw_folds(clips, 5, 0)
    same_file = clips.assign(audio=clips["id"] + ".wav", video="")
    same_file.loc[[0, 4, 8], "audio"] = "same.wav"  # of three locations
    with pytest.raises(UserError, match=r"^folds=5, fold \d of 5: leak: the audio 'same.wav' is in the splits"):
        draw_folds(same_file, 5, 0)


@pytest.mark.parametrize(
    ("rows", "total", "message"),
    [
        ([("a", f"a{i}", "", 2) for i in range(6)], 8, "folds=8: 12 clips at 6 locations make at most 6"),
        (
            [("a", f"a{i}", "", 2) for i in range(6)] + [("b", "b0", "", 2), ("b", "b1", "", 2)],
            3,
            r"folds=3: class 'b' has 2 locations \(1 such in all\); .* at least 3: add some",
        ),
        (
            [("a", f"a{i}", "", size) for i, size in enumerate((50, 1, 1))],
            2,
            "folds=2, fold . of 2, outside its test part: class 'a' has 1 location; splitting it into train, val",
        ),
    ],
)
def test_too_few_locations(rows: list[tuple[str, str, str, int]], total: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_splits(table(*rows), total, (0,))
    check_splits(table(*[("a", f"a{i}", "", 2) for i in range(6)]), None, ())


def test_standardisation_is_of_the_training_clips_of_each_fold(tmp_path: Path) -> None:
    data = SplitFeatures(make_store(tmp_path / "store", lengths=(3, 5, 9)))
    data.given = {"audio": (np.zeros(8, np.float32), np.ones(8, np.float32))}  # as a store that was imported with it
    assert (data.needing(("audio",)).standardize["audio"].mean == 0).all()
    for fold in Fold.each(3):
        one = data.in_fold(fold, seed=0)
        frames = np.concatenate([one.store.frames("audio", row) for row in one.rows(TRAIN)]).astype(np.float64)
        np.testing.assert_allclose(one.standardize["audio"].mean, frames.mean(0), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(one.standardize["audio"].std, frames.std(0), rtol=1e-5)


@pytest.mark.parametrize("workers", [None, 2])
def test_every_clip_is_answered_by_the_network_of_its_fold(tmp_path: Path, workers: int | None) -> None:
    data = SplitFeatures(make_store(tmp_path / "store"))
    (tmp_path / "kept").mkdir()
    variant = variants()["late"]
    (params,) = resolve_params([variant], {"epochs": "2", "batch_size": "16"})
    trainer = Trainer(data, CPU, StoredResults(tmp_path / "kept"), workers, folds=3)
    (result,) = trainer.scored([Training(variant, params, 1)])
    assert isinstance(result, CrossValidation) and len(result.folds) == 3 and trainer.kept.count() == 3
    assert result.test.ids == tuple(data.store.clips["id"])
    assert result.test.labels.tolist() == data.labels.tolist()
    for fold, one in zip(Fold.each(3), result.folds, strict=True):
        rows = data.in_fold(fold, seed=1).rows(TEST)
        np.testing.assert_array_equal(result.test.probabilities[rows], one.test.probabilities)
    assert result.test_seconds is not None and len(result.test_seconds) == 10 * len(data.store.clips)
    assert [name.rsplit("_", 1)[0] for name in result.test_seconds.ids[::10]] == list(data.store.clips["id"])
    accuracies = [one.metrics["test/accuracy"] for one in result.folds]
    metrics = result.metrics
    assert {f"test/{name}": value for name, value in evaluate(result.test).items()}.items() <= metrics.items()
    assert metrics["test/accuracy_fold_std"] == pytest.approx(np.std(accuracies, ddof=1))
    assert metrics["val/log_loss"] == pytest.approx(np.mean([one.metrics["val/log_loss"] for one in result.folds]))
    assert metrics["seconds"] == pytest.approx(sum(one.metrics["seconds"] for one in result.folds))
    again = next(Trainer(data, CPU, trainer.kept, folds=3).scored([Training(variant, params, 1)]))
    np.testing.assert_array_equal(again.test.probabilities, result.test.probabilities)


def test_a_store_is_read_once_for_all_folds(tmp_path: Path) -> None:
    data = SplitFeatures(FeatureStore.open(make_store(tmp_path / "store").path))
    one, other = (data.in_fold(fold, seed=0) for fold in (Fold(1, 3), Fold(2, 3)))
    assert one.statistics is other.statistics is data.statistics and one.store is other.store
