"""Splits, standardisation and tensors of a feature store."""

from pathlib import Path

import numpy as np
import pytest
import torch

from avfusion.errors import UserError
from avfusion.training.split_features import TEST, TRAIN, VALIDATION, SplitFeatures
from avfusion.training.standardization import clip_moments, global_mean_std
from tests.stores import make_store


def test_no_location_crosses_splits_and_every_class_is_in_each(tmp_path: Path) -> None:
    task = SplitFeatures(make_store(tmp_path / "store"))
    clips = task.store.clips.assign(split=task.splits)
    assert (clips.groupby("location")["split"].nunique() == 1).all()
    assert (clips.groupby("split")["label"].nunique() == 3).all()
    assert sorted(np.concatenate([task.rows(s) for s in (TRAIN, VALIDATION, TEST)])) == list(range(len(clips)))


def test_a_planted_leak_stops(tmp_path: Path) -> None:
    leak = {"airport-town-000-0": "train", "airport-town-000-1": "test"}
    with pytest.raises(UserError, match="leak: the location 'airport-0' is in the splits test and train"):
        SplitFeatures(make_store(tmp_path / "store", splits=leak))


def test_standardisation_is_by_all_frames_of_training_clips(tmp_path: Path) -> None:
    task = SplitFeatures(make_store(tmp_path / "store", lengths=(3, 5, 9)))
    frames = np.concatenate([task.store.frames("audio", row) for row in task.rows(TRAIN)]).astype(np.float64)
    np.testing.assert_allclose(task.standardize["audio"].mean, frames.mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(task.standardize["audio"].std, frames.std(0), rtol=1e-5)


def test_pooled_examples_are_means_of_standardised_frames(tmp_path: Path) -> None:
    task = SplitFeatures(make_store(tmp_path / "store", lengths=(3, 5, 9)))
    examples = task.pooled(TEST)
    assert examples.audio.shape == (len(task.rows(TEST)), 1, 8)
    for position, row in enumerate(task.rows(TEST)):
        frames = task.standardize["video"](torch.tensor(task.store.frames("video", row)))
        torch.testing.assert_close(examples.video[position, 0], frames.mean(0), rtol=1e-4, atol=1e-5)
        assert task.classes[examples.labels[position]] == task.store.clips["label"].iloc[row]


def test_sequences_are_cut_or_continued_to_the_commonest_length(tmp_path: Path) -> None:
    task = SplitFeatures(make_store(tmp_path / "store", lengths=(5, 5, 5, 3, 9)))
    assert task.n_frames == 5
    examples, n_other = task.sequences(TRAIN)
    rows = task.rows(TRAIN)
    lengths = task.store.clips["audio_frames"].to_numpy()[rows]
    assert n_other == (lengths != 5).sum() > 0
    for position, row in enumerate(rows):
        frames = task.standardize["audio"](torch.tensor(task.store.frames("audio", row)))
        expected = torch.cat([frames, frames[-1:].expand(5, -1)])[:5] if len(frames) < 5 else frames[:5]
        torch.testing.assert_close(examples.audio[position], expected)


def test_a_constant_dimension_stays_finite() -> None:
    clips = [np.full((4, 2), 0.1, np.float32), np.full((6, 2), 0.1, np.float32)]
    mean, std = global_mean_std(clip_moments(clips), np.arange(2))
    np.testing.assert_allclose(mean, 0.1)
    np.testing.assert_array_equal(std, 1)


def test_too_few_locations_names_the_class(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"class 'airport' has 2 locations; .* takes at least 3"):
        SplitFeatures(make_store(tmp_path / "store", locations=2))


def test_moments_are_of_each_clip_and_zero_for_one_without_frames() -> None:
    generator = np.random.default_rng(0)
    clips = [generator.normal(size=(n, 3)).astype(np.float32) for n in (4, 0, 7)]
    moments = clip_moments(clips)
    assert moments.frames.tolist() == [4, 0, 7]
    for row in (0, 2):
        np.testing.assert_allclose(moments.mean[row], clips[row].astype(np.float64).mean(axis=0))
        np.testing.assert_allclose(moments.mean_square[row], (clips[row].astype(np.float64) ** 2).mean(axis=0))
    assert not moments.mean[1].any() and not moments.mean_square[1].any()
