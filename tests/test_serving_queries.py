"""Which clips are asked for: files, folders, lists, a sound file with a video."""

import io
import os
from pathlib import Path

import pytest

from avfusion.errors import UserError
from avfusion.serving.queries import Query, find_queries


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_a_folder_pairs_sound_and_video_of_one_name(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "b.wav", "b.MKV", "notes.txt", "deep/c.wav", "audio/d.wav", "video/d.mp4")
    found = {query.id: (query.audio, query.video) for query in find_queries(tmp_path)}
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
    assert find_queries(tmp_path / "clips.txt") == expected
    (tmp_path / "clips.csv").write_text("clip,label\na.mp4,park\n")
    assert find_queries(tmp_path / "clips.csv") == expected[:1]
    (tmp_path / "pairs.csv").write_text("clip,audio,video\nfirst,b.wav,b.mp4\nsecond,,c.mp4\n")
    pairs = find_queries(tmp_path / "pairs.csv")
    assert pairs[0] == Query("first", tmp_path / "b.wav", tmp_path / "b.mp4")
    assert pairs[1] == Query("second", None, tmp_path / "c.mp4")
    with (tmp_path / "clips.txt").open() as lines:
        monkeypatch.setattr("sys.stdin", lines)
        assert [query.id for query in find_queries(Path("-"))] == ["a.mp4", "b.mp4"]


def test_two_files_of_one_clip(tmp_path: Path) -> None:
    touch(tmp_path, "a.wav", "b.mp4")
    sound, video = tmp_path / "a.wav", tmp_path / "b.mp4"
    assert find_queries(None, sound, video) == [Query("b.mp4", sound, video)]
    assert find_queries(None, sound) == [Query("a.wav", sound, None)]


@pytest.mark.parametrize(
    ("clip", "audio", "message"),
    [
        (None, None, "no clip given"),
        ("x.mp4", "y.wav", "name the clip one way"),
        ("missing.mp4", None, r"clip not found: /.*missing\.mp4"),
        (None, "missing.wav", r"clip not found: /.*missing\.wav"),
        ("empty", None, r"the folder /.*empty names no clip"),
        ("wrong.csv", None, r"wrong\.csv: no column clip, audio or video; found name"),
        ("three.txt", None, r"three\.txt, line 2: 3 columns"),
        ("repeated.csv", None, r"repeated\.csv: the column 'clip' repeats"),
        ("binary.txt", None, r"binary\.txt is not text in UTF-8"),
    ],
)
def test_what_cannot_be_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clip: str | None, audio: str | None, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "wrong.csv").write_text("name\na\n")
    (tmp_path / "repeated.csv").write_text("clip,clip\na,b\n")
    (tmp_path / "three.txt").write_text("a.mp4\na\tb\tc\n")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=message):
        find_queries(Path(clip) if clip else None, Path(audio) if audio else None)


def test_odd_names_in_a_folder(tmp_path: Path) -> None:
    """A file's name may be any bytes; the id is one line of text."""
    names = ["caf\udce9.mp4", "new\nline.mp4", "\u2028.mp4", "\N{NARROW NO-BREAK SPACE} #1.mp4", "..mp4", "\t.mp4"]
    touch(tmp_path, *names)
    (tmp_path / "gone.mp4").symlink_to("nowhere.mp4")
    found = {query.video: query for query in find_queries(tmp_path)}
    assert set(found) == {tmp_path / name for name in [*names, "gone.mp4"]}
    shown = ["caf\\xe9.mp4", "new\\nline.mp4", "\\u2028.mp4", names[3], "..mp4", "\\t.mp4"]
    assert [found[tmp_path / name].id for name in names] == shown
    assert [bool(found[tmp_path / name].note) for name in names] == [True, True, True, False, False, True]


def test_a_folder_that_cannot_be_listed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a.mp4", "closed/b.mp4")
    scandir = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    queries = find_queries(tmp_path)
    assert [query.id for query in queries] == ["a.mp4", "closed/"]
    assert queries[1].note == "this folder cannot be listed: Permission denied"


@pytest.mark.parametrize("name", ["clips.txt", "clips.csv"])
def test_odd_names_in_a_list(tmp_path: Path, name: str) -> None:
    touch(tmp_path, "a\tb.mp4", "\x85\x0b.mp4")
    content = b"caf\xe9.mp4\r\na\tb.mp4\n\xc2\x85\x0b.mp4\n" + b"n" * 300 + b".mp4\n"
    (tmp_path / name).write_bytes((b"clip\n" if name == "clips.csv" else b"") + content)
    queries = find_queries(tmp_path / name)
    assert [query.id for query in queries] == ["caf\\xe9.mp4", "a\\tb.mp4", "\\x85\\x0b.mp4", "n" * 300 + ".mp4"]
    assert [query.video for query in queries[:2]] == [tmp_path / "caf\udce9.mp4", tmp_path / "a\tb.mp4"]


def test_odd_names_on_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"caf\xe9.mp4\n\xc2\x85\r.mp4\n"), "utf-8"))
    assert [query.id for query in find_queries(Path("-"))] == ["caf\\xe9.mp4", "\\x85\\r.mp4"]


def test_a_name_that_no_disk_takes_is_a_mistake() -> None:
    with pytest.raises(UserError, match=r"clip cannot be looked up: /.*n: File name too long"):
        find_queries(Path("n" * 300))
