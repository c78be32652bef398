"""A clip in two halves gives what it gives in one go."""

from pathlib import Path

import numpy as np
import pytest

from avfusion.embedders import SplitEmbedder, load_embedder
from avfusion.extraction import clip_features, prepared
from avfusion.extraction.prepared import Prepared, embed_prepared, prepare_clip
from avfusion.features import Required
from avfusion.features.parts import Part
from tests.media_files import greys, tone, write_sound, write_video


@pytest.fixture(scope="module")
def demo() -> SplitEmbedder:
    embedder = load_embedder("demo", device="cpu")
    assert isinstance(embedder, SplitEmbedder)
    return embedder


@pytest.mark.parametrize(("name", "rate"), [("demo", 48_000), ("demo", 44_100), ("efficientnet_lite0+yamnet", 44_100)])
def test_both_halves_are_the_whole_to_the_bit(name: str, rate: int, tmp_path: Path) -> None:
    embedder = load_embedder(name, device="cpu")
    assert isinstance(embedder, SplitEmbedder)
    sound, pictures = tmp_path / "x.wav", tmp_path / "x.mp4"
    write_sound(sound, tone(2, 5 * rate), "pcm_s16le", "s16", "stereo", rate)
    write_video(pictures, greys(13))  # fewer frames than moments: some stand for two
    for audio, video in ((sound, pictures), (sound, None), (None, pictures)):
        required: Required = "any" if None in (audio, video) else "both"
        whole = clip_features(embedder, "x", audio, video, required=required)
        first = prepare_clip(embedder, "x", audio, video, required=required)
        assert isinstance(first, Prepared) and (first.taken.sound is None) == (audio is None)
        second = embed_prepared(embedder, first)
        np.testing.assert_array_equal(second.audio, whole.audio)
        np.testing.assert_array_equal(second.video, whole.video)
        assert (second.id, second.reason, second.note) == (whole.id, "", whole.note)
        assert (second.audio_step, second.video_step) == (whole.audio_step, whole.video_step)


def test_a_clip_that_cannot_be_used_needs_no_second_half(demo: SplitEmbedder, tmp_path: Path) -> None:
    write_sound(tmp_path / "x.wav", tone(1, 48_000), "pcm_s16le", "s16", "mono")
    part = prepare_clip(demo, "x", tmp_path / "x.wav", tmp_path / "gone.mp4")
    assert isinstance(part, Part) and part.reason == "no such file"


def test_long_clips_are_left_to_the_network_s_side(
    demo: SplitEmbedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound, pictures = tmp_path / "x.wav", tmp_path / "x.mp4"
    write_sound(sound, tone(1, 3 * 48_000), "pcm_s16le", "s16", "mono")
    write_video(pictures, greys(30))  # 3 s
    monkeypatch.setattr(prepared, "LONGEST", 2.0)
    assert prepare_clip(demo, "x", sound, pictures) is None
    assert prepare_clip(demo, "x", None, pictures, required="any") is None
    monkeypatch.setattr(prepared, "LONGEST", 4.0)
    assert isinstance(prepare_clip(demo, "x", sound, pictures), Prepared)


@pytest.mark.parametrize("required", ["both", "any"])
def test_features_that_are_not_finite_count_as_missing(demo: SplitEmbedder, tmp_path: Path, required: Required) -> None:
    write_sound(tmp_path / "x.wav", tone(1, 48_000), "pcm_s16le", "s16", "mono")
    write_video(tmp_path / "x.mp4", greys(10))
    first = prepare_clip(demo, "x", tmp_path / "x.wav", tmp_path / "x.mp4", required=required)
    assert isinstance(first, Prepared) and first.taken.sound is not None and first.taken.pictures is not None
    first.taken.sound[:] = np.nan
    told = "the embedder gave features that are not finite"
    part = embed_prepared(demo, first)
    if required == "both":
        assert part.reason == told
    else:
        assert (part.reason, part.note, len(part.audio)) == ("", told, 0) and len(part.video)
        first.taken.pictures[:] = np.nan
        assert embed_prepared(demo, first).reason == told
