"""Which clips are asked for: files, folders, lists, a sound file with a video."""

from pathlib import Path

import pytest

from avfusion.errors import UserError
from avfusion.prediction.clips import Query, find_clips


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_a_folder_pairs_sound_and_video_of_one_name(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "b.wav", "b.MKV", "notes.txt", "deep/c.wav", "audio/d.wav", "video/d.mp4")
    found = {query.id: (query.audio, query.video) for query in find_clips(str(tmp_path))}
    assert found == {
        "a.mp4": (tmp_path / "a.mp4",) * 2,
        "b": (tmp_path / "b.wav", tmp_path / "b.MKV"),
        "deep/c.wav": (tmp_path / "deep/c.wav",) * 2,
        "d": (tmp_path / "audio/d.wav", tmp_path / "video/d.mp4"),
    }


def test_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "clips.txt").write_text("a.mp4\n\nb.wav\tb.mp4\n")
    expected = [
        Query("a.mp4", tmp_path / "a.mp4", tmp_path / "a.mp4"),
        Query("b.mp4", tmp_path / "b.wav", tmp_path / "b.mp4"),
    ]
    assert find_clips(str(tmp_path / "clips.txt")) == expected
    (tmp_path / "clips.csv").write_text("clip,label\na.mp4,park\n")
    assert find_clips(str(tmp_path / "clips.csv")) == expected[:1]
    (tmp_path / "pairs.csv").write_text("clip,audio,video\nfirst,b.wav,b.mp4\nsecond,,c.mp4\n")
    pairs = find_clips(str(tmp_path / "pairs.csv"))
    assert pairs[0] == Query("first", tmp_path / "b.wav", tmp_path / "b.mp4")
    assert pairs[1] == Query("second", None, tmp_path / "c.mp4")
    with (tmp_path / "clips.txt").open() as lines:
        monkeypatch.setattr("sys.stdin", lines)
        assert [query.id for query in find_clips("-")] == ["a.mp4", "b.mp4"]


def test_two_files_of_one_clip(tmp_path: Path) -> None:
    touch(tmp_path, "a.wav", "b.mp4")
    sound, video = str(tmp_path / "a.wav"), str(tmp_path / "b.mp4")
    assert find_clips("none", sound, video) == [Query("b.mp4", Path(sound), Path(video))]
    assert find_clips("none", sound) == [Query("a.wav", Path(sound), None)]


@pytest.mark.parametrize(
    ("clip", "audio", "message"),
    [
        ("none", "none", "no clip given"),
        ("x.mp4", "y.wav", "name the clip one way"),
        ("missing.mp4", "none", r"clip not found: /.*missing\.mp4"),
        ("none", "missing.wav", r"clip not found: /.*missing\.wav"),
        ("empty", "none", r"the folder /.*empty names no clip"),
        ("wrong.csv", "none", r"wrong\.csv: no column clip, audio or video; found name"),
        ("three.txt", "none", r"three\.txt, line 2: 3 columns"),
        ("binary.txt", "none", r"binary\.txt is not text in UTF-8"),
    ],
)
def test_what_cannot_be_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clip: str, audio: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "wrong.csv").write_text("name\na\n")
    (tmp_path / "three.txt").write_text("a.mp4\na\tb\tc\n")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=message):
        find_clips(clip, audio)
