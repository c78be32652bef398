"""Stores in which some clips have one modality: every variant trains on the clips that it can use."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from avfusion.datasets import Clip, Dataset
from avfusion.errors import UserError
from avfusion.features import MODALITIES, FeatureStore
from avfusion.features.layout import Json
from avfusion.features.parts import Part, no_features, write_part
from avfusion.features.writer import writing
from avfusion.fusion import variants
from avfusion.training.experiment import resolve_params, score_test, train
from avfusion.training.many import check_trainable
from avfusion.training.split_features import TEST, TRAIN, SplitFeatures
from tests.stores import make_store

CPU = torch.device("cpu")


def without(store: FeatureStore, folder: Path, modality: str, every: int) -> FeatureStore:
    """The same store where each `every`th clip lacks `modality`."""
    plan: Json = {name: store.provenance[name] for name in ("dataset", "embedder")}
    columns = ["id", "label", "location", "split"]
    rows = store.clips[columns].to_numpy().tolist()
    clips = [Clip(name, label, location, split, None, None) for name, label, location, split in rows]
    with writing(folder) as writer:
        writer.begin(plan)
        for row in range(len(clips)):
            lacking = modality if row % every == 0 else ""
            audio, video = (no_features() if name == lacking else store.frames(name, row) for name in MODALITIES)
            write_part(writer.parts, row, Part(store.clips["id"].iloc[row], audio=audio, video=video))
        writer.finish(Dataset("toys", Path(), tuple(clips)), plan)
    return FeatureStore.open(folder)


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    whole = make_store(tmp_path / "whole", lengths=(4, 6, 6))
    return without(whole, tmp_path / "store", "video", every=5)


@pytest.mark.parametrize("name", sorted(variants()))
def test_every_variant_leaves_out_what_it_cannot_use(store: FeatureStore, name: str) -> None:
    task, variant = SplitFeatures(store), variants()[name]
    (params,) = resolve_params([variant], {"epochs": "1", "batch_size": "16"})
    result = score_test(task, train(task, variant, params, 0, CPU))
    assert np.isfinite(result.test.probabilities).all()
    assert np.isfinite([epoch.train_loss + epoch.val_loss for epoch in result.trained.history]).all()
    frames = store.clips["video_frames"].to_numpy()
    usable = (frames > 0) | (variant.modalities == ("audio",))
    assert list(result.test.ids) == store.clips["id"][(task.splits == TEST) & usable].tolist()


def test_missing_clips_do_not_move_the_standardisation(store: FeatureStore) -> None:
    task = SplitFeatures(store).needing(("video",))
    rows = task.rows(TRAIN)
    frames = np.concatenate([store.frames("video", int(row)) for row in rows]).astype(np.float64)
    np.testing.assert_allclose(task.standardize["video"].mean, frames.mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(task.standardize["video"].std, frames.std(0), rtol=1e-5)
    assert (store.clips["video_frames"].to_numpy()[rows] > 0).all()


def test_a_whole_modality_missing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = without(make_store(tmp_path / "whole"), tmp_path / "store", "video", every=1)
    task, known = SplitFeatures(store), variants()
    with caplog.at_level(logging.WARNING, "avfusion"):
        check_trainable(task, [known["audio_only"]])
        assert not caplog.text
        with pytest.raises(UserError, match="0 clips that have audio and video in the train split"):
            check_trainable(task, [known["audio_only"], known["late"]])
    (params,) = resolve_params([known["audio_only"]], {"epochs": "1"})
    assert len(score_test(task, train(task, known["audio_only"], params, 0, CPU)).test.ids) > 0


def test_the_run_says_how_many(store: FeatureStore, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "avfusion"):
        check_trainable(SplitFeatures(store), [variants()["late"]])
    n_missing = int((store.clips["video_frames"] == 0).sum())
    assert caplog.messages == [f"late: {n_missing} clips lack audio or video and are left out"]
