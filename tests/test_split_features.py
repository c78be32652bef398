"""Splits, standardisation and tensors of a feature store."""

from pathlib import Path

import numpy as np
import pytest
import torch

from avfusion.errors import UserError
from avfusion.fusion.base import paired
from avfusion.training.split_features import TEST, TRAIN, VALIDATION, SplitFeatures
from avfusion.training.standardization import clip_moments, global_mean_std
from tests.stores import make_store


def test_no_location_crosses_splits_and_every_class_is_in_each(tmp_path: Path) -> None:
    data = SplitFeatures(make_store(tmp_path / "store"))
    clips = data.store.clips.assign(split=data.splits)
    assert (clips.groupby("location")["split"].nunique() == 1).all()
    assert (clips.groupby("split")["label"].nunique() == 3).all()
    assert sorted(np.concatenate([data.rows(s) for s in (TRAIN, VALIDATION, TEST)])) == list(range(len(clips)))


def test_a_planted_leak_stops(tmp_path: Path) -> None:
    leak = {"airport-town-000-0": "train", "airport-town-000-1": "test"}
    with pytest.raises(UserError, match="leak: the location 'airport-0' is in the splits test and train"):
        SplitFeatures(make_store(tmp_path / "store", splits=leak))


def test_standardisation_is_by_all_frames_of_training_clips(tmp_path: Path) -> None:
    data = SplitFeatures(make_store(tmp_path / "store", lengths=(3, 5, 9)))
    frames = np.concatenate([data.store.frames("audio", row) for row in data.rows(TRAIN)]).astype(np.float64)
    np.testing.assert_allclose(data.standardize["audio"].mean, frames.mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(data.standardize["audio"].std, frames.std(0), rtol=1e-5)


def test_pooled_examples_are_means_of_standardised_frames(tmp_path: Path) -> None:
    data = SplitFeatures(make_store(tmp_path / "store", lengths=(3, 5, 9)))
    examples = data.pooled(TEST)
    assert examples.audio.shape == (len(data.rows(TEST)), 1, 8)
    for position, row in enumerate(data.rows(TEST)):
        frames = data.standardize["video"](torch.tensor(data.store.frames("video", row)))
        torch.testing.assert_close(examples.video[position, 0], frames.mean(0), rtol=1e-4, atol=1e-5)
        assert data.classes[examples.labels[position]] == data.store.clips["label"].iloc[row]


def test_sequences_are_cut_or_continued_to_the_commonest_length(tmp_path: Path) -> None:
    data = SplitFeatures(make_store(tmp_path / "store", lengths=(5, 5, 5, 3, 9)))
    assert data.n_frames == 5
    examples, n_other = data.sequences(TRAIN)
    rows = data.rows(TRAIN)
    lengths = data.store.clips["audio_frames"].to_numpy()[rows]
    assert n_other == (lengths != 5).sum() > 0
    for position, row in enumerate(rows):
        frames = data.standardize["audio"](torch.tensor(data.store.frames("audio", row)))
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


@pytest.mark.parametrize(
    ("n_frames", "n_moments", "expected"),
    [
        (4, 4, [0, 1, 2, 3]),
        (2, 6, [0, 0, 0, 1, 1, 1]),
        (3, 5, [0, 0, 1, 2, 2]),
        (10, 4, [1, 3, 6, 8]),
        (1, 3, [0, 0, 0]),
        (7, 1, [3]),
    ],
)
def test_a_moment_takes_the_frame_in_its_middle(n_frames: int, n_moments: int, expected: list[int]) -> None:
    frames = torch.arange(n_frames, dtype=torch.float32)[None, :, None]
    assert paired(frames, n_moments)[0, :, 0].tolist() == expected
    middles = [int((moment + 0.5) * n_frames / n_moments) for moment in range(n_moments)]
    assert middles == expected


def test_pictures_keep_their_own_times_until_they_are_paired(tmp_path: Path) -> None:
    data = SplitFeatures(make_store(tmp_path / "store", n_frames=5, pictures=(3, 6)))
    assert (data.shape.audio_dim, data.shape.video_dim, data.shape.n_frames) == (8, 6, 5)
    row = int(data.rows(TRAIN)[0])
    frames = data.standardize["video"](torch.tensor(data.store.frames("video", row)))
    assert frames.shape == (3, 6)
    audio, video = data.clip(row)
    assert audio.shape == (1, 5, 8)
    torch.testing.assert_close(video[0], frames[[0, 0, 1, 2, 2]])
    examples, _ = data.sequences(TRAIN)
    torch.testing.assert_close(examples.video[0], video[0])
    torch.testing.assert_close(data.pooled(TRAIN).video[0, 0], frames.mean(0), rtol=1e-4, atol=1e-5)
    _, by_second = data.second_frames(row)
    torch.testing.assert_close(by_second[:, 0], video[0, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]])


def test_features_that_count_frames_from_the_start_are_paired_so(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", n_frames=5, pictures=(3, 6))
    store.first_frames = 4
    data = SplitFeatures(store)
    row = int(data.rows(TRAIN)[0])
    frames = data.standardize["video"](torch.tensor(store.frames("video", row)))
    torch.testing.assert_close(data.clip(row)[1][0], frames[[0, 1, 2, 2]])
