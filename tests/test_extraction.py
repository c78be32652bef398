"""Extraction with an embedder that can be foreseen: pairing, failures, resuming, kills, a full disk."""

import multiprocessing
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from avfusion.datasets import Dataset, read_dataset
from avfusion.errors import UserError
from avfusion.extraction import Settings, clip_features, extract, pool, worker_process
from avfusion.extraction.parts_storage import PartsFolder
from avfusion.extraction.worker import UNWANTED, Task
from avfusion.features import FeatureStore, Required
from tests.fakes import (
    Endless,
    Failing,
    FakeEmbedder,
    FewPictures,
    FullDisk,
    KillAtRename,
    NotFinite,
    OddDecoders,
    Pausing,
    Stuck,
    break_down,
    refuse,
)
from tests.kills import content, kill_somewhere, killed, wait_until
from tests.media_files import greys, make_clip, tone, write_sound, write_video

N_KILLS = 20


def make_dataset(folder: Path, *lines: str) -> Dataset:
    (folder / "clips.csv").write_text("\n".join(["audio,video,label,location", *lines]) + "\n")
    return read_dataset(folder / "clips.csv")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Eight pairs, one of them without a file and one without pictures."""
    folder = tmp_path_factory.mktemp("data")
    lines = [make_clip(folder, f"clip{i}", seconds=0.3 + 0.1 * i, frames=3 + i) for i in range(6)]
    lines.insert(2, "missing.wav,missing.avi,a,m")
    lines.insert(5, make_clip(folder, "blind", frames=0))
    return make_dataset(folder, *lines)


def run(
    data: Dataset, output: Path, load: Callable[[], FakeEmbedder] = FakeEmbedder, *, workers: int = 1,
    required: Required = "both", timeout: float = 60, strict: bool = False,
) -> FeatureStore:  # fmt: skip
    settings = Settings(load, required=required, timeout=timeout, workers=workers)
    return extract(data, output, settings, strict=strict, progress=False)


@pytest.fixture(scope="module")
def expected(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The store of `data`, made without disturbance."""
    folder = tmp_path_factory.mktemp("expected") / "store"
    run(data, folder)
    return content(folder)


def test_pairs(data: Dataset, tmp_path: Path, expected: dict[str, bytes]) -> None:
    store = run(data, tmp_path / "store", workers=3)
    assert store.clips["id"].tolist() == [f"clip{i}" for i in range(6)]
    assert store.clips["audio_frames"].tolist() == store.clips["video_frames"].tolist() == [3, 4, 5, 6, 7, 8]
    assert store.failures.to_dict("list") == {"id": ["missing", "blind"], "reason": ["no such file"] * 2}
    for index in range(6):
        n_frames, count = 3 + index, 3 + index
        levels = [8 + 240 * int(i) // n_frames for i in np.linspace(0, n_frames - 1, count)]
        np.testing.assert_allclose(store.frames("video", index)[:, 0], levels)
    assert store.provenance["dataset"]["digest"] == data.digest
    assert store.provenance["embedder"]["weights"] == "untrained"
    assert content(store.path) == expected


def test_a_finished_store_is_returned(data: Dataset, tmp_path: Path, expected: dict[str, bytes]) -> None:
    for _ in range(2):
        run(data, tmp_path / "store")
        assert content(tmp_path / "store") == expected


def test_any_modality(data: Dataset, tmp_path: Path) -> None:
    lines = [
        make_clip(tmp_path, "deaf", seconds=0),
        make_clip(tmp_path, "full"),
        make_clip(tmp_path, "blind", frames=0),
    ]
    lines += ["gone.wav,gone.avi,a,l3"]
    store = run(make_dataset(tmp_path, *lines), tmp_path / "store", required="any")
    columns = ["id", "audio_frames", "video_frames", "note"]
    assert store.clips[columns].to_numpy().tolist() == [
        ["deaf", 0, 6, "no such file"],
        ["full", 5, 5, ""],
        ["blind", 5, 0, "no such file"],
    ]
    assert store.failures.to_dict("list") == {"id": ["gone"], "reason": ["no such file"]}


def test_pictures_without_sound_decide_the_number_of_moments(tmp_path: Path) -> None:
    write_video(tmp_path / "x.mp4", greys(40))  # 4 s at 10 frames per second; the hop is 0.1 s
    part = clip_features(FakeEmbedder(), "x", None, tmp_path / "x.mp4", required="any")
    assert (part.audio.shape, part.video.shape) == ((0, 0), (40, 2))
    write_video(tmp_path / "x.mp4", greys(2))
    assert clip_features(FakeEmbedder(), "x", None, tmp_path / "x.mp4", required="any").video.shape == (2, 2)


class Streaming(FakeEmbedder):
    """Notes the sizes of the blocks of sound."""

    def embed_audio(self, blocks: Iterable[NDArray[np.float32]], sample_rate: int) -> NDArray[np.float32]:
        self.sizes = [0]
        pieces = []
        for block in blocks:
            self.sizes.append(len(block))
            pieces.append(block)
        return super().embed_audio(pieces, sample_rate)


def test_the_embedder_says_how_many_pictures_it_wants(tmp_path: Path) -> None:
    make_clip(tmp_path, "x", seconds=2.0, frames=20)
    both = clip_features(FewPictures(), "x", tmp_path / "x.wav", tmp_path / "x.avi")
    assert (both.audio.shape, both.video.shape) == ((20, 2), (6, 3))
    assert (both.audio_step, both.seconds) == (0.1, 2.0)
    assert both.video_step == pytest.approx(1 / 3)
    silent = clip_features(FewPictures(), "x", None, tmp_path / "x.avi", required="any")
    np.testing.assert_array_equal(silent.video, both.video)
    assert silent.seconds == 2.0
    store = run(make_dataset(tmp_path, "x.wav,x.avi,a,m"), tmp_path / "store", FewPictures)
    assert (store.audio.shape, store.video.shape) == ((20, 2), (6, 3))
    assert store.clips[["audio_frames", "video_frames"]].iloc[0].tolist() == [20, 6]


def test_sound_is_handed_on_in_blocks(tmp_path: Path) -> None:
    write_sound(tmp_path / "x.wav", tone(1, 200_000), "pcm_s16le", "s16", "mono")
    streaming = Streaming()
    parts = [
        clip_features(embedder, "x", tmp_path / "x.wav", None, required="any")
        for embedder in (streaming, FakeEmbedder())
    ]
    np.testing.assert_array_equal(parts[0].audio, parts[1].audio)
    assert sum(streaming.sizes) == 200_000 and max(streaming.sizes) < 70_000


def test_frames_that_stand_for_several_moments(tmp_path: Path) -> None:
    write_sound(tmp_path / "x.wav", tone(1, 48_000), "pcm_s16le", "s16", "mono")
    write_video(tmp_path / "x.avi", greys(2, 16, 16), codec="rawvideo", pixels="bgr24")
    part = clip_features(FakeEmbedder(), "x", tmp_path / "x.wav", tmp_path / "x.avi")
    assert part.video[:, 0].tolist() == [8.0] * 9 + [128.0]


@pytest.mark.parametrize(
    ("load", "reason"),
    [
        (NotFinite, "the embedder gave features that are not finite"),
        (Failing, "the embedder failed: ArithmeticError: too loud"),
    ],
)
def test_clips_that_the_embedder_cannot_take(tmp_path: Path, load: Callable[[], FakeEmbedder], reason: str) -> None:
    data = make_dataset(tmp_path, make_clip(tmp_path, "loud", loudness=1.0), make_clip(tmp_path, "quiet", loudness=0.1))
    store = run(data, tmp_path / "store", load)
    assert store.failures.to_dict("list") == {"id": ["loud"], "reason": [reason]}
    assert np.isfinite(store.audio).all()


def test_strict(data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"2 of 8 clips failed .*failures.csv\); the first is missing: no such file"):
        run(data, tmp_path / "store", strict=True)
    FeatureStore.open(tmp_path / "store")


def test_no_clip_can_be_used(tmp_path: Path) -> None:
    data = make_dataset(tmp_path, "x.wav,x.avi,a,l", "y.wav,y.avi,a,l")
    with pytest.raises(UserError, match=r"not one of the 2 clips can be used.*x: no such file"):
        run(data, tmp_path / "store")
    make_clip(tmp_path, "x")
    assert len(run(data, tmp_path / "store").clips) == 1  # the same command works once the files are there


def test_loaders_that_fail(data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^weights not found: nowhere\.h5$"):
        run(data, tmp_path / "store", refuse)
    with pytest.raises(RuntimeError, match="KeyError: 'layer 3'"):
        run(data, tmp_path / "store", break_down)
    with pytest.raises(UserError, match="unknown modalities 'sound'; choose from: any, both"):
        run(data, tmp_path / "store", required="sound")  # type: ignore[arg-type]


def test_crashes_and_hangs(tmp_path: Path) -> None:
    names = ["crash", "fine", "hang", "once", "well"]
    data = make_dataset(tmp_path, *[make_clip(tmp_path, name) for name in names])
    store = run(data, tmp_path / "store", OddDecoders(tmp_path), workers=2, timeout=1.5)
    assert store.clips["id"].tolist() == ["fine", "once", "well"]
    assert store.failures.to_dict("list") == {
        "id": ["crash", "hang"],
        "reason": ["decoding ended the process (SIGSEGV)", "decoding took more than 1.5 s"],
    }
    for path in tmp_path.glob("*.wav"):
        os.utime(path, (1, 1))
    run(data, tmp_path / "store", OddDecoders(tmp_path))  # as it is: nobody can read what ended its readers


def test_a_deadline_ends_what_embedding_does_not(tmp_path: Path) -> None:
    for name, loudness in (("loud", 0.9), ("quiet", 0.1)):
        make_clip(tmp_path, name, loudness=loudness)
    loud, quiet = (Task(n, name, tmp_path / f"{name}.wav", None) for n, name in enumerate(("loud", "quiet")))
    parts = PartsFolder(tmp_path)
    with pool.WorkerPool(Settings(Stuck, "any"), 1) as workers:
        workers.provenance()
        late = "decoding and embedding took more than 0.5 s"
        given_up = list(workers.run([loud, quiet], parts, within=0.5))
        assert {outcome.task: outcome.reason for outcome in given_up} == {loud: late, quiet: late}
        assert list(workers.run([quiet], parts)) == [pool.Outcome(quiet, "", True)]


def test_what_nobody_wants_ends_at_the_next_piece_and_its_process_stays(tmp_path: Path) -> None:
    for name in ("first", "second"):
        make_clip(tmp_path, name, seconds=20.0)
    first, second = (Task(n, name, tmp_path / f"{name}.wav", None) for n, name in enumerate(("first", "second")))
    begun, told = tmp_path / "begun", tmp_path / "told"
    parts, settings = PartsFolder(tmp_path), Settings(Pausing(begun, told), "any")
    answers: list[bool] = []

    def unwanted() -> bool:
        if any(answers):
            told.touch()  # the worker may go on, now that it must stop
        answers.append(begun.is_file())
        return answers[-1]

    with pool.WorkerPool(settings, 1) as workers:
        outcomes = list(workers.run([first, second], parts, unwanted=unwanted))
        assert {outcome.task for outcome in outcomes if UNWANTED in outcome.reason} == {first, second}
        workers_pid = begun.read_text()
        begun.unlink()
        assert list(workers.run([second], parts)) == [pool.Outcome(second, "", True)]
        assert begun.read_text() == workers_pid


def test_replaced_media_are_another_extraction(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    data = make_dataset(tmp_path, make_clip(tmp_path, "x"), make_clip(tmp_path, "y"), "z.wav,z.avi,a,l")
    before = content(run(data, tmp_path / "store").path)
    size = (tmp_path / "y.wav").stat().st_size
    (tmp_path / "x.wav").unlink()  # what is gone was not replaced
    for path in tmp_path.glob("*.avi"):
        os.utime(path, (1, 1))  # as in a copy
    assert content(run(data, tmp_path / "store").path) == before
    assert re.search(r"features of 2 clips reused from .*store, extracted 2\d{3}-\d\d-\d\d \d\d:\d\d", caplog.text)
    for name, change in (("y", "y.wav has other content"), ("x", r"x.wav has \d+ bytes in place of \d+")):
        make_clip(tmp_path, name, loudness=0.1, seconds=0.5 if name == "y" else 0.8)
        expected = f"holds features of other media: . of 3 clips changed, the first is {name}: {change}; delete that"
        with pytest.raises(UserError, match=expected):
            run(data, tmp_path / "store")
    assert (tmp_path / "y.wav").stat().st_size == size
    with pytest.raises(UserError, match=re.escape("another extraction (other parameters.modalities)")):
        run(data, tmp_path / "store", required="any")
    (tmp_path / "store" / "media.csv").unlink()
    run(data, tmp_path / "store")
    assert "whether they changed since is not known" in caplog.text


def test_a_file_that_comes_later_is_another_extraction(data: Dataset, tmp_path: Path) -> None:
    data = make_dataset(tmp_path, make_clip(tmp_path, "x"), "z.wav,z.avi,a,l")
    run(data, tmp_path / "store")
    make_clip(tmp_path, "z")
    with pytest.raises(UserError, match=r"1 of 2 clips changed, the first is z: z\.wav was not there"):
        run(data, tmp_path / "store")


def test_media_replaced_before_an_extraction_is_continued(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = make_dataset(tmp_path, *(make_clip(tmp_path, name) for name in "xyzw"))
    assert killed(data, tmp_path / "store", driver=KillAtRename("clips.csv", before=True)) == -signal.SIGKILL
    make_clip(tmp_path, "y", loudness=0.1)
    os.utime(tmp_path / "x.wav", (1, 1))
    (tmp_path / "store" / "parts" / "0000002.safetensors").write_bytes(b"damaged")
    old = tmp_path / "store" / "parts" / "0000003.safetensors"
    old.write_bytes(old.read_bytes().replace(b'"audio_step"', b'"audio_hop_"'))
    caplog.set_level("INFO")
    run(data, tmp_path / "store")
    assert "2 of 4 clips changed, the first is y: y.wav has other content; they are extracted again" in caplog.text
    assert "1 of 4 clips have parts of another version of avfusion; they are extracted again" in caplog.text
    assert "1 of 4 clips were extracted before; continuing" in caplog.text
    again = content(run(data, tmp_path / "again").path)
    assert {**content(tmp_path / "store"), "media.csv": b""} == {**again, "media.csv": b""}


def test_full_disk(data: Dataset, tmp_path: Path, expected: dict[str, bytes]) -> None:
    with pytest.raises(UserError, match=r"cannot write to .*store: File too large; .*the same command again"):
        run(data, tmp_path / "store", FullDisk(100), workers=2)
    run(data, tmp_path / "store")
    assert content(tmp_path / "store") == expected


@pytest.mark.parametrize("number", range(N_KILLS))
def test_kill(
    data: Dataset, tmp_path: Path, expected: dict[str, bytes], number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers are forked, except in a few runs: starting them anew is nearly all of the time."""
    if number % 7:
        monkeypatch.setattr(worker_process, "CONTEXT", multiprocessing.get_context("fork"))
    kill_somewhere(data, tmp_path / "store", number, longest=0.2 if number % 7 else 0.8)
    run(data, tmp_path / "store")
    assert content(tmp_path / "store") == expected


def test_workers_end_with_a_killed_driver(data: Dataset, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    assert killed(data, tmp_path / "store", worker=Endless(pid), when=lambda: wait_until(pid.exists)) == -signal.SIGKILL
    process = Path("/proc") / pid.read_text()
    wait_until(lambda: not process.exists())


def test_workers_import_no_more_than_they_need() -> None:
    heavy = "{'mlflow', 'pandas', 'torch', 'h5py'}"
    code = f"import sys, avfusion.extraction.worker; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_nothing_is_said_of_what_was_not_named(tmp_path: Path) -> None:
    """A served model that listens to sound alone names no pictures."""
    write_sound(tmp_path / "x.wav", tone(1, 48_000), "pcm_s16le", "s16", "mono")
    said = {
        required: clip_features(FakeEmbedder(), "x", tmp_path / "x.wav", None, required=required)
        for required in get_args(Required)[1:]
    }
    assert (said["any"].note, said["named"].note) == ("the list names no file", "")
    np.testing.assert_array_equal(said["any"].audio, said["named"].audio)
    gone = clip_features(FakeEmbedder(), "x", None, tmp_path / "gone.mp4", required="named")
    assert gone.reason == "no such file"
    nothing = clip_features(FakeEmbedder(), "x", None, None, required="named")
    assert (nothing.reason, nothing.note, len(nothing.audio), len(nothing.video)) == ("", "", 0, 0)
