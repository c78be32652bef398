"""The feature store: written parts come back exactly, and every kind of damage has its line."""

import io
import json
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from avfusion.datasets import Clip, Dataset
from avfusion.errors import UserError
from avfusion.features import FeatureStore, digest
from avfusion.features.digest import content_digest
from avfusion.features.layout import CLIP_COLUMNS, FORMAT, STANDARDIZATION, Json
from avfusion.features.parts import Part, part_sources, read_part, write_part
from avfusion.features.sources import Sources
from avfusion.features.writer import writing

PLAN: Json = {
    "embedder": {"name": "fake", "weights": "untrained", "trained": False},
    "dataset": {"name": "toys", "synthetic": True, "digest": "abc"},
    "parameters": {"hop": 0.1},
}


def npy(descr: str, shape: tuple[int, ...]) -> bytes:
    """A .npy file that claims this and holds 440 bytes."""
    content = io.BytesIO()
    np.lib.format.write_array_header_1_0(content, {"descr": descr, "fortran_order": False, "shape": shape})
    return content.getvalue() + bytes(440)


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
    with pytest.raises(UserError, match=r"was changed: its content has digest .* delete it and extract again"):
        FeatureStore.open(store.path)


def test_rows_that_were_moved_or_relabelled_are_found(store: FeatureStore) -> None:
    file = store.path / "clips.csv"
    header, *rows = file.read_text().splitlines()
    for changed in ([*rows[1::-1], *rows[2:]], [rows[0].replace(",NA,", ",bus,"), *rows[1:]]):
        file.write_text("\n".join([header, *changed]) + "\n")
        with pytest.raises(UserError, match="was changed"):
            FeatureStore.open(store.path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace(",7,7,", ",-7,7,"), "clips.csv has '-7' as a number of frames"),
        (lambda text: text.replace(",7,7,", ",nan,7,"), "clips.csv has 'nan' as a number of frames"),
        (lambda text: text.replace(",7,7,", f",{10**30},7,"), "as a number of frames"),
        (lambda text: text.replace("clip, 1", "clip, 0"), "clips.csv has the clip 'clip, 0' twice"),
        (lambda text: text + '"', "EOF inside string"),
    ],
)
def test_rows_that_cannot_be(store: FeatureStore, change: Callable[[str], str], message: str) -> None:
    """Also where the digest fits: it says that nothing changed, not that it was right."""
    file = store.path / "clips.csv"
    file.write_text(change(file.read_text()))
    header = json.loads((store.path / "store.json").read_text())
    (store.path / "store.json").write_text(json.dumps(header | {"digest": content_digest(store.path)}))
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        FeatureStore.open(store.path)
    assert "\n" not in str(caught.value)


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders that were read whole; every store counts as large."""
    folders = []
    whole = digest._hash

    def count(folder: Path, files: list[str]) -> str:
        folders.append(folder)
        return whole(folder, files)

    monkeypatch.setattr(digest, "WORTH_A_NOTE", 0)
    monkeypatch.setattr(digest, "_hash", count)
    return folders


def test_a_large_store_is_read_whole_only_once(hashed: list[Path], store: FeatureStore) -> None:
    assert hashed == [store.path]  # by its writer
    for _ in range(2):
        FeatureStore.open(store.path)
    assert len(hashed) == 1
    file = store.path / "video.npy"
    content, status = file.read_bytes(), file.stat()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    os.utime(store.path / "audio.npy")
    with pytest.raises(UserError, match="was changed"):
        FeatureStore.open(store.path)
    file.write_bytes(content)
    (store.path / digest.NOTE).write_bytes(b"{")
    FeatureStore.open(store.path)
    (store.path / digest.NOTE).unlink()
    (store.path / digest.NOTE).mkdir()  # cannot be written
    FeatureStore.open(store.path)
    assert len(hashed) == 4


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("audio.npy", None, "is damaged"),
        ("audio.npy", b"\x93NUMPY short", "is damaged"),
        ("audio.npy", b"", "audio.npy has a damaged header"),
        ("audio.npy", b"PK\x03\x04 no archive", "audio.npy has a damaged header"),
        ("audio.npy", b"\x93NUMPY\x01\x00\x0a\x00{'descr': (", "audio.npy has a damaged header"),
        ("audio.npy", npy("<f4", (10**20, 5)), "audio.npy has a damaged header"),
        ("audio.npy", npy("<f8", (11, 5)), "audio.npy holds float64 (11, 5) in place of float32 rows"),
        ("clips.csv", b"id,label\nx,y\n", "clips.csv has the columns id, label"),
        ("failures.csv", None, "is damaged: [Errno 2] No such file or directory"),
        ("failures.csv", b"", "is damaged: No columns to parse from file; delete it and extract again"),
        ("failures.csv", b"reason\n", "failures.csv has the columns reason"),
        ("failures.csv", b"id,reason\na,b" + b"," * 100_000, "Expected 2 fields in line 2, saw 100002"),
        ("clips.csv", ",".join(CLIP_COLUMNS).encode() + b"\nx,y\n", "clips.csv has '' as a number of frames"),
        ("store.json", b"{", "is damaged"),
        ("store.json", json.dumps({"format": FORMAT + 1}).encode(), "install a newer avfusion"),
        ("store.json", json.dumps({"format": 0}).encode(), "no longer read; delete it and extract again"),
        ("store.json", json.dumps({"format": FORMAT}).encode(), "no longer read; delete it and extract again"),
        ("store.json", json.dumps({"format": FORMAT, "digest": "", "provenance": []}).encode(), "is damaged"),
        (
            "store.json",
            json.dumps({"format": FORMAT, "digest": "", "provenance": {"parameters": {"first_frames": "x"}}}).encode(),
            "is damaged (first_frames is x)",
        ),
        ("store.json", b"[" * 100_000, "is damaged (it is nested too deeply)"),
        ("store.json", b"[]", "is damaged (it holds a list in place of an object)"),
        ("store.json", b'{"format": 1e999}', "is damaged (its format is inf)"),
        (
            "store.json",
            json.dumps({"format": FORMAT, "digest": "", "provenance": {**PLAN, "dataset": {"name": "toys"}}}).encode(),
            "is damaged (it does not say of the dataset its name and whether it is synthetic)",
        ),
        ("store.json", None, "is not a feature store: it has no store.json"),
    ],
)
def test_damage(store: FeatureStore, name: str, content: bytes | None, message: str) -> None:
    (store.path / name).unlink()
    if content is not None:
        (store.path / name).write_bytes(content)
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        FeatureStore.open(store.path)
    assert str(store.path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["plan.json", "store.json"])
@pytest.mark.parametrize("content", [b"{", b"[]", b'{"provenance": []}'])
def test_a_damaged_plan_ends_an_extraction_in_one_line(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    message = rf"{name} is damaged \(.*\); delete {re.escape(str(tmp_path))} and extract again"
    with writing(tmp_path) as writer, pytest.raises(UserError, match=message):
        writer.begin(PLAN)


def test_arrays_cut_short(store: FeatureStore) -> None:
    np.save(store.path / "audio.npy", np.zeros((10, 5), np.float32))
    with pytest.raises(UserError, match=r"audio.npy holds float32 \(10, 5\), which clips.csv does not"):
        FeatureStore.open(store.path)


def test_more_mean_and_deviation_than_features_can_have(store: FeatureStore) -> None:
    with (store.path / STANDARDIZATION).open("wb") as file:
        file.truncate(17 * 2**20)
    with pytest.raises(UserError, match=r"standardization\.safetensors: 17 MiB; at most 16 are accepted"):
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


def test_a_part_of_another_version_is_not_called_damaged(tmp_path: Path) -> None:
    write_part(tmp_path, 3, Part("x", sources=Sources("1 2 ab")))
    (part,) = tmp_path.iterdir()
    part.write_bytes(part.read_bytes().replace(b'"audio_step"', b'"audio_hop_"'))
    assert part_sources(tmp_path, 3) is None
    with pytest.raises(UserError, match=r"is of another version of avfusion and is removed; run the same command"):
        read_part(tmp_path, 3, "x")
    assert not list(tmp_path.iterdir())
