"""The feature store: written parts come back exactly, and every kind of damage has its line."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from avfusion.datasets import Clip, Dataset
from avfusion.errors import UserError
from avfusion.features import FeatureStore
from avfusion.features.layout import FORMAT, Json
from avfusion.features.parts import Part, read_part, write_part
from avfusion.features.writer import writing

PLAN: Json = {
    "embedder": {"name": "fake", "weights": "untrained"},
    "dataset": {"digest": "abc"},
    "parameters": {"hop": 0.1},
}


def dataset(root: Path, labels: Sequence[str]) -> Dataset:
    clips = [
        Clip(f"clip, {i}", label, f"place {i}", "test" if i % 2 else "", root / f"{i}.wav", root / f"{i}.mp4")
        for i, label in enumerate(labels)
    ]
    return Dataset("toy", root, tuple(clips))


def random_parts(clips: Sequence[Clip], lengths: Sequence[tuple[int, int]]) -> list[Part]:
    random = np.random.default_rng(0)
    return [
        Part(
            clip.id,
            audio=random.standard_normal((n_audio, 5)).astype(np.float32)[:, : 5 if n_audio else 0],
            video=random.standard_normal((n_video, 3)).astype(np.float32)[:, : 3 if n_video else 0],
        )
        for clip, (n_audio, n_video) in zip(clips, lengths, strict=True)
    ]


def write(folder: Path, source: Dataset, parts: Sequence[Part]) -> FeatureStore:
    with writing(folder) as writer:
        writer.begin(PLAN)
        for index, part in enumerate(parts):
            write_part(writer.parts, index, part)
        writer.finish(source, PLAN)
    return FeatureStore.open(folder)


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    source = dataset(tmp_path, ["NA", "bus", "1e3", "bus"])
    parts = random_parts(source.clips, [(7, 7), (1, 1), (0, 0), (3, 0)])
    parts[2] = Part(source.clips[2].id, reason='broken, "quite"')
    parts[3] = Part(parts[3].id, note="no pictures", audio=parts[3].audio)
    return write(tmp_path / "store", source, parts)


def test_what_was_written_comes_back(tmp_path: Path, store: FeatureStore) -> None:
    parts = random_parts(dataset(tmp_path, "abcd").clips, [(7, 7), (1, 1), (0, 0), (3, 0)])
    assert store.clips.to_dict("list") == {
        "id": ["clip, 0", "clip, 1", "clip, 3"],
        "label": ["NA", "bus", "bus"],
        "location": ["place 0", "place 1", "place 3"],
        "split": ["", "test", "test"],
        "audio": ["0.wav", "1.wav", "3.wav"],
        "video": ["0.mp4", "1.mp4", "3.mp4"],
        "audio_frames": [7, 1, 3],
        "video_frames": [7, 1, 0],
        "note": ["", "", "no pictures"],
    }
    assert store.failures.to_dict("list") == {"id": ["clip, 2"], "reason": ['broken, "quite"']}
    assert store.classes == ("NA", "bus")
    assert (store.audio.shape, store.video.shape) == ((11, 5), (8, 3))
    for index, part in enumerate((parts[0], parts[1], parts[3])):
        np.testing.assert_array_equal(store.frames("audio", index), part.audio)
    np.testing.assert_array_equal(store.frames("video", 0), parts[0].video)
    assert store.frames("video", 2).shape == (0, 3)
    assert store.provenance["embedder"] == PLAN["embedder"]
    store.verify()


def test_arrays_are_read_only_memory_maps(store: FeatureStore) -> None:
    assert isinstance(store.audio.base, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        store.audio[0] = 1
    assert {path.name for path in store.path.iterdir()} <= {
        "audio.npy", "video.npy", "clips.csv", "failures.csv", "store.json", ".lock",
    }  # fmt: skip


def test_one_modality_alone(tmp_path: Path) -> None:
    source = dataset(tmp_path, "ab")
    store = write(tmp_path / "store", source, random_parts(source.clips, [(2, 0), (4, 0)]))
    assert (store.audio.shape, store.video.shape) == ((6, 5), (0, 0))
    store.verify()


def test_writing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    source = dataset(tmp_path, "abc")
    parts = random_parts(source.clips, [(2, 2), (3, 3), (1, 1)])
    stores = [write(tmp_path / name, source, parts) for name in "xy"]
    for name in ("audio.npy", "video.npy", "clips.csv", "failures.csv", "store.json"):
        assert (stores[0].path / name).read_bytes() == (stores[1].path / name).read_bytes()
    assert stores[0].digest == stores[1].digest


def test_a_changed_byte_is_found(store: FeatureStore) -> None:
    content = bytearray((store.path / "video.npy").read_bytes())
    content[-1] ^= 1
    (store.path / "video.npy").write_bytes(content)
    with pytest.raises(UserError, match=r"was changed: its content has digest .* extract again"):
        FeatureStore.open(store.path).verify()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("audio.npy", None, "is damaged"),
        ("audio.npy", b"\x93NUMPY short", "is damaged"),
        ("clips.csv", b"id,label\nx,y\n", "clips.csv has the columns id, label"),
        ("failures.csv", b"", None),
        ("store.json", b"{", "is damaged"),
        ("store.json", json.dumps({"format": FORMAT + 1}).encode(), "install a newer avfusion"),
        ("store.json", json.dumps({"format": 0}).encode(), "no longer read; extract again"),
        ("store.json", json.dumps({"format": FORMAT}).encode(), "no longer read; extract again"),
        ("store.json", None, "is not a feature store: it has no store.json"),
    ],
)
def test_damage(store: FeatureStore, name: str, content: bytes | None, message: str | None) -> None:
    (store.path / name).unlink()
    if content is not None:
        (store.path / name).write_bytes(content)
    if message is None:
        FeatureStore.open(store.path)
        return
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        FeatureStore.open(store.path)
    assert str(store.path) in str(caught.value)


def test_arrays_cut_short(store: FeatureStore) -> None:
    np.save(store.path / "audio.npy", np.zeros((10, 5), np.float32))
    with pytest.raises(UserError, match=r"audio.npy holds float32 \(10, 5\), which clips.csv does not"):
        FeatureStore.open(store.path)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=re.escape(f"feature store not found: {tmp_path / 'none'}")):
        FeatureStore.open(tmp_path / "none")


def test_unfinished(tmp_path: Path) -> None:
    with writing(tmp_path / "store") as writer:
        writer.begin(PLAN)
    with pytest.raises(UserError, match="is unfinished; run the same extract command again"):
        FeatureStore.open(tmp_path / "store")


def test_no_usable_clip(tmp_path: Path) -> None:
    source = dataset(tmp_path, "ab")
    with pytest.raises(UserError, match=r"not one of the 2 clips can be used.*clip, 0: broken"):
        write(tmp_path / "store", source, [Part(clip.id, reason="broken") for clip in source.clips])


@pytest.mark.parametrize("finished", [True, False])
def test_another_plan(tmp_path: Path, finished: bool) -> None:
    source = dataset(tmp_path, "ab")
    with writing(tmp_path / "store") as writer:
        writer.begin(PLAN)
        if finished:
            for index, part in enumerate(random_parts(source.clips, [(1, 1), (1, 1)])):
                write_part(writer.parts, index, part)
            writer.finish(source, PLAN)
    other = PLAN | {"embedder": PLAN["embedder"] | {"weights": "trained"}, "parameters": {"hop": 0.5}}
    with (
        pytest.raises(UserError, match=re.escape("another extraction (other embedder.weights, parameters.hop)")),
        writing(tmp_path / "store") as writer,
    ):
        writer.begin(other)


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    with (
        writing(tmp_path / "store"),
        pytest.raises(UserError, match="another extraction is writing to"),
        writing(tmp_path / "store"),
    ):
        pass


def test_folders_with_other_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="holds other files"), writing(tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_output_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("")
    with pytest.raises(UserError, match=r"cannot write to .*File exists"), writing(tmp_path / "store"):
        pass


def test_a_damaged_part_is_removed(tmp_path: Path) -> None:
    write_part(tmp_path, 3, Part("x", audio=np.ones((2, 2), np.float32)))
    np.testing.assert_array_equal(read_part(tmp_path, 3, "x").audio, np.ones((2, 2)))
    (part,) = tmp_path.iterdir()
    part.write_bytes(part.read_bytes()[:-3])
    with pytest.raises(UserError, match=r"was damaged and is removed.*run the same command again"):
        read_part(tmp_path, 3, "x")
    assert not list(tmp_path.iterdir())
