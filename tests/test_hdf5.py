"""HDF5 features: both layouts come in exactly, mistakes and traps have their line, export comes back."""

import io
import re
import signal
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from avfusion.analysis.robustness import choose_shifts, robustness
from avfusion.errors import UserError
from avfusion.features import MODALITIES, FeatureStore, Required
from avfusion.features.hdf5 import export_features, import_features, is_features_folder
from avfusion.fusion import variants
from avfusion.jobs.features import open_features
from avfusion.training.experiment import resolve_params, score_test, train
from avfusion.training.split_features import TEST, TRAIN, VALIDATION, SplitFeatures
from tests.bombs import claimed_terabytes, external, never_written, virtual
from tests.fakes import KillAtRename
from tests.hdf5_files import DIM, edit, features, new_file, stems, write_baseline, write_course, write_moments
from tests.kills import FRESH, content
from tests.stores import make_store


def load(root: Path, required: Required = "both", name: str = "store") -> FeatureStore:
    return import_features(root, root.parent / name, required=required, progress=False)


def check(store: FeatureStore) -> None:
    """The store holds the clips of `tests.hdf5_files`, all of them and exactly."""
    expected = [(split, label, stem) for split in ("train", "val", "test") for label, stem in stems(split)]
    assert store.clips["id"].tolist() == [stem for _, _, stem in expected]
    assert store.clips["split"].tolist() == [split for split, _, _ in expected]
    assert store.clips["label"].tolist() == [stem.split("-")[0] for _, _, stem in expected]
    assert store.clips["location"].tolist() == [stem.rsplit("-", 1)[0] for _, _, stem in expected]
    for row, (_, _, stem) in enumerate(expected):
        for modality in MODALITIES:
            np.testing.assert_array_equal(store.frames(modality, row), features(modality, stem))


@pytest.mark.parametrize(
    "write",
    [
        write_course,
        write_baseline,
        lambda root: write_course(root, chunks=(5, DIM), compression="gzip", shuffle=True),
        lambda root: write_course(root, dtype=">f4"),
    ],
    ids=["course", "baseline", "compressed", "big-endian"],
)
def test_import(tmp_path: Path, write: Callable[[Path], None]) -> None:
    write(tmp_path / "data")
    assert is_features_folder(tmp_path / "data")
    store = load(tmp_path / "data")
    check(store)
    assert len(store.failures) == 0
    assert (tmp_path / "store" / "store.json").read_bytes() == (
        load(tmp_path / "data").path / "store.json"
    ).read_bytes()


def test_frames_count_as_numbers(tmp_path: Path) -> None:
    write_baseline(tmp_path / "data")  # 12 frames: "10" and "11" come before "2" as text
    store = load(tmp_path / "data")
    np.testing.assert_array_equal(store.frames("audio", 0)[2], features("audio", stems("train")[0][1])[2])
    with edit(tmp_path / "data", "audio", "tr") as file:
        file["0/audio/" + stems("train")[0][1] + "/last"] = np.zeros(DIM, np.float32)
    failures = load(tmp_path / "data", name="other").failures
    assert failures["reason"].tolist() == ["no audio: expected frames named by numbers, found last"]


def test_moments_are_computed_over_every_frame_of_train(tmp_path: Path) -> None:
    write_course(tmp_path / "data")
    alone = "bus-rome-777-1"
    with edit(tmp_path / "data", "audio", "train") as file:
        file[f"1/audio/{alone}"] = features("audio", alone, 30)
    data = SplitFeatures(load(tmp_path / "data"))
    names = [stem for _, stem in stems("train")]
    audio = np.concatenate([*(features("audio", stem) for stem in names), features("audio", alone, 30)])
    video = np.concatenate([features("video", stem) for stem in names])
    for modality, frames in (("audio", audio), ("video", video)):
        np.testing.assert_allclose(data.standardize[modality].mean, frames.mean(0, dtype=np.float64), rtol=1e-6)
        np.testing.assert_allclose(data.standardize[modality].std, frames.std(0, dtype=np.float64), rtol=1e-6)
    assert [len(data.rows(split)) for split in (TRAIN, VALIDATION, TEST)] == [6, 6, 6]


@pytest.mark.parametrize("missing", ["val", "test"])
def test_clips_that_are_drawn_from_train_do_not_standardise_it(tmp_path: Path, missing: str) -> None:
    write_course(tmp_path / "data")
    write_moments(tmp_path / "data", "video")
    for modality in MODALITIES:
        (tmp_path / "data" / f"{modality}_features_data" / f"{missing}.hdf5").unlink()
    store = load(tmp_path / "data")
    data = SplitFeatures(store)
    assert [len(data.rows(split)) for split in (TRAIN, missing)] == [3, 3]
    frames = np.concatenate([features("audio", stem) for stem in data.ids(TRAIN)])
    np.testing.assert_allclose(data.standardize["audio"].mean, frames.mean(0, dtype=np.float64), rtol=1e-6)
    np.testing.assert_allclose(data.standardize["audio"].std, frames.std(0, dtype=np.float64), rtol=1e-6)
    assert data.standardize["video"].mean.tolist() == [0, 1, 2, 3]  # as given


def test_the_first_96_frames_are_learned_from(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the course does; its moments are over all frames. An export of the import says so too."""
    monkeypatch.chdir(tmp_path)
    caplog.set_level("INFO")
    write_course(tmp_path / "data", n_frames=120)
    store = open_features(Path("data"))
    assert "18 of 18 clips are cut to their first 96 frames, as the course does" in caplog.text
    assert store.provenance["parameters"]["first_frames"] == 96
    export_features(store, tmp_path / "course")
    for data in (SplitFeatures(store), SplitFeatures(open_features(Path("course")))):
        np.testing.assert_array_equal(data.store.frames("audio", 0), features("audio", data.ids(TRAIN)[0], 120))
        training = np.concatenate([features("audio", stem, 120) for stem in data.ids(TRAIN)])
        mean, std = training.mean(0, dtype=np.float64), training.std(0, dtype=np.float64)
        pooled = [(features("audio", stem, 120)[:96].mean(0) - mean) / std for stem in data.ids(TEST)]
        np.testing.assert_allclose(data.pooled(TEST).audio[:, 0], pooled, atol=1e-5)
        assert data.n_frames == data.sequences(TRAIN)[0].audio.shape[1] == 96
        assert data.clip(0)[1].shape == (1, 96, DIM)
        np.testing.assert_array_equal(data.second_frames(0)[0][9, 0], data.clip(0)[0][0, 86])
        (params,) = resolve_params([variants()["audio_only"]], {"epochs": "1"})
        result = score_test(data, train(data, variants()["audio_only"], params, 0, torch.device("cpu")))
        sound = torch.tensor(features("audio", data.ids(TEST)[0], 120))[None]
        scores = result.trained.classifier.answers(sound, sound)[0].detach().exp().numpy()
        np.testing.assert_allclose(scores[0], result.test.probabilities[0], atol=1e-5)
        curves = robustness({"audio_only": result.trained.classifier}, data, choose_shifts(("no_video",)))
        assert curves["accuracy"].iloc[0] == result.metrics["test/accuracy"]


def test_our_own_features_are_learned_from_whole(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", n_frames=120)
    export_features(store, tmp_path / "course")
    again = load(tmp_path / "course", name="again")
    assert again.first_frames is None
    assert SplitFeatures(again).n_frames == SplitFeatures(store).n_frames == 120


def test_given_moments_are_used(tmp_path: Path) -> None:
    write_course(tmp_path / "data")
    write_moments(tmp_path / "data", "audio", global_std=np.array([1.0, 2, 0, 4]))
    store = load(tmp_path / "data")
    standardize = SplitFeatures(store).standardize["audio"]
    assert standardize.mean.tolist() == [0, 1, 2, 3]
    assert standardize.std.tolist() == [1, 2, 1, 4]  # a constant dimension is not divided by 0
    assert store.provenance["parameters"]["standardization"] == {"audio": "given", "video": "computed"}


def test_missing_partners(tmp_path: Path) -> None:
    write_course(tmp_path / "data")
    _, stem = stems("train")[0]
    with edit(tmp_path / "data", "video", "train") as file:
        del file[f"0/video/{stem}"]
    (tmp_path / "data" / "audio_features_data" / "val.hdf5").unlink()
    store = load(tmp_path / "data")
    reasons = dict(zip(store.failures["id"], store.failures["reason"], strict=True))
    assert reasons[stem] == f"no video: video_features_data/train.hdf5 has no 0/video/{stem}"
    assert reasons["bus-rome-210-0"] == "no audio: audio_features_data/val.hdf5 has no 1/audio/bus-rome-210-0"
    assert (len(store.clips), len(reasons)) == (11, 7)
    kept = load(tmp_path / "data", "any", "kept")
    assert kept.clips[["audio_frames", "video_frames", "note"]].iloc[0].tolist() == [12, 0, reasons[stem]]
    assert (len(kept.clips), len(kept.failures)) == (18, 0)


def test_features_that_cannot_be_used(tmp_path: Path) -> None:
    write_course(tmp_path / "data")
    cases = [
        (np.full((3, DIM), np.nan, np.float32), "values that are not finite"),
        (np.zeros((3, DIM), np.int64), "values of type int64; expected floating-point numbers"),
        (np.zeros((3, DIM + 1), np.float32), "frames of 5 values; clips before have 4"),
        (np.zeros((0, DIM), np.float32), "it was never written"),
        (np.zeros((3, DIM, 1), np.float32), "features of shape [3, 4, 1]; expected [frames, values]"),
    ]
    with edit(tmp_path / "data", "audio", "train") as file:
        for (label, stem), (values, _) in zip(stems("train")[1:], cases, strict=True):
            del file[f"{label}/audio/{stem}"]
            file[f"{label}/audio/{stem}"] = values
    store = load(tmp_path / "data")
    assert store.failures["id"].tolist() == [stem for _, stem in stems("train")[1:]]
    assert store.failures["reason"].tolist() == [f"no audio: {reason}" for _, reason in cases]
    assert np.isfinite(store.audio).all()


@pytest.mark.parametrize(
    ("trap", "reason"),
    [
        (claimed_terabytes, "no audio: claims a shape of [1099511627776, 4]; at most 67108864 values are accepted"),
        (never_written, "no audio: it was never written"),
        (external, "no audio: its data lies in another file, which is not followed"),
        (virtual, "no audio: its data lies in another file, which is not followed"),
    ],
)
def test_traps_in_a_clip(tmp_path: Path, trap: Callable[[h5py.File, str], None], reason: str) -> None:
    write_course(tmp_path / "data")
    _, stem = stems("train")[0]
    with edit(tmp_path / "data", "audio", "train") as file:
        del file[f"0/audio/{stem}"]
        trap(file, f"0/audio/{stem}")
    assert load(tmp_path / "data").failures.to_dict("list") == {"id": [stem], "reason": [reason]}


@pytest.mark.parametrize("link", [h5py.ExternalLink("/etc/secret.hdf5", "/"), h5py.SoftLink("/0/audio")])
def test_links_in_a_file(tmp_path: Path, link: object) -> None:
    write_course(tmp_path / "data")
    with edit(tmp_path / "data", "audio", "train") as file:
        file["0/audio/bus-rome-9-9"] = link
    with pytest.raises(UserError, match=r"train\.hdf5 cannot be used: 'bus-rome-9-9' is a link to another place"):
        load(tmp_path / "data")


def test_files_that_leave_the_folder(tmp_path: Path) -> None:
    write_course(tmp_path / "data")
    file = tmp_path / "data" / "audio_features_data" / "train.hdf5"
    file.rename(tmp_path / "elsewhere.hdf5")
    file.symlink_to(tmp_path / "elsewhere.hdf5")
    with pytest.raises(UserError, match=r"'audio_features_data/train\.hdf5' leads out of the data folder"):
        load(tmp_path / "data")
    check(import_features(tmp_path / "data", tmp_path / "store", allow_outside=True, progress=False))


def huge_header() -> bytes:
    """A .npy file of 128 bytes that claims a million million numbers."""
    content = io.BytesIO()
    np.lib.format.write_array_header_1_0(content, {"descr": "<f4", "fortran_order": False, "shape": (10**12,)})
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no zip", "File is not a zip file"),
        ({"global_mean": np.zeros(DIM)}, "There is no item named 'global_std.npy'"),
        ({"global_mean": np.array([object()] * DIM), "global_std": np.ones(DIM)}, "values of type object"),
        ({"global_mean": np.zeros(DIM), "global_std": np.full(DIM, np.nan)}, "must be finite"),
        ({"global_mean": np.zeros(3), "global_std": np.ones(DIM)}, "of one length"),
        ({"global_mean": np.zeros(9), "global_std": np.ones(9)}, "has 9 values, the features have 4"),
        (huge_header(), r"claims [1000000000000] values"),
        (b"\x99", "compression method is not supported"),
    ],
)
def test_mistakes_in_moments(tmp_path: Path, content: object, message: str) -> None:
    write_course(tmp_path / "data")
    path = tmp_path / "data" / "audio_features_data" / "global_mean_std.npz"
    if isinstance(content, dict):
        np.savez(path, **content)
    elif content == b"no zip":
        path.write_bytes(b"no zip")
    elif content == b"\x99":
        np.savez(path, global_mean=np.zeros(DIM), global_std=np.ones(DIM))
        packed = path.read_bytes()
        first = packed.index(b"PK\x01\x02") + 10  # where the directory says how the first array is packed
        path.write_bytes(packed[:first] + b"\x99" + packed[first + 1 :])
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("global_mean.npy", huge_header())
            archive.writestr("global_std.npy", huge_header())
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        load(tmp_path / "data")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "store" / "store.json").exists()


def test_mistakes_in_folders(tmp_path: Path) -> None:
    write_course(tmp_path / "data")
    new_file(tmp_path / "data", "audio", "tr").close()
    with pytest.raises(UserError, match=r"has both train\.hdf5 and tr\.hdf5"):
        load(tmp_path / "data")
    (tmp_path / "data" / "audio_features_data" / "tr.hdf5").unlink()
    (tmp_path / "data" / "video_features_data").rename(tmp_path / "away")
    with pytest.raises(UserError, match=r"has no video_features_data/train\.hdf5"):
        load(tmp_path / "data")
    (tmp_path / "away").rename(tmp_path / "data" / "video_features_data")
    with edit(tmp_path / "data", "audio", "val") as file:
        file[f"2/audio/{stems('train')[0][1]}"] = np.zeros((3, DIM), np.float32)
    with pytest.raises(UserError, match=r"'airport-rome-100-0' is there twice, as train 0 and val 2"):
        load(tmp_path / "data")
    (tmp_path / "data" / "audio_features_data" / "val.hdf5").write_bytes(b"\x89HDF\r\n\x1a\n and no more")
    with pytest.raises(UserError, match=r"val\.hdf5 cannot be read as HDF5"):
        load(tmp_path / "data")


def test_round_trip(tmp_path: Path) -> None:
    write_baseline(tmp_path / "data")
    store = load(tmp_path / "data")
    export_features(store, tmp_path / "course")
    again = load(tmp_path / "course", name="again")
    check(again)
    for modality in MODALITIES:
        for ours, theirs in zip(again.standardization[modality], store.standardization[modality], strict=True):
            np.testing.assert_array_equal(ours, theirs)
    with h5py.File(tmp_path / "course" / "audio_features_data" / "train.hdf5") as file:
        dataset = file["1/audio/bus-rome-110-0"]
        assert (dataset.dtype.name, dataset.shape, dataset.chunks) == ("float32", (12, DIM), None)
        assert dataset.id.get_offset() is not None  # contiguous: readers can map it
    with np.load(tmp_path / "course" / "audio_features_data" / "global_mean_std.npz") as moments:
        np.testing.assert_array_equal(moments["global_mean"], store.standardization["audio"][0])
    with pytest.raises(UserError, match="exists; an export needs a new or empty folder"):
        export_features(store, tmp_path / "course")


@pytest.mark.parametrize("synthetic", [True, False])
def test_synthetic_scenes_stay_synthetic(tmp_path: Path, synthetic: bool) -> None:
    export_features(make_store(tmp_path / "store", synthetic=synthetic), tmp_path / "course")
    assert load(tmp_path / "course", name="again").provenance["dataset"]["synthetic"] is synthetic


def test_round_trip_of_any_store(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Names that are not TAU's, splits left open, clips of several lengths, pictures that have their own."""
    store = make_store(tmp_path / "store", classes=("Zoo", "a/b", "market"), lengths=(3, 5), pictures=(2, 7))
    splits = SplitFeatures(store).splits
    export_features(store, tmp_path / "course")
    assert "72 clips have fewer than the course's 96 frames" in caplog.text
    again = load(tmp_path / "course", name="again")
    rows = [again.clips["id"].tolist().index(name) for name in store.clips["id"]]
    there = again.clips.iloc[rows].reset_index(drop=True)
    for column in ("label", "location", "audio_frames"):
        assert there[column].tolist() == store.clips[column].tolist()
    assert there["split"].tolist() == splits.tolist()
    for row, other in enumerate(rows):
        np.testing.assert_array_equal(again.frames("video", other), store.frames("video", row))
    pairs = (SplitFeatures(store).clip(0)[1], SplitFeatures(again).clip(rows[0])[1])
    torch.testing.assert_close(*pairs)


def import_and_die(root: Path, name: str, before: bool) -> None:
    KillAtRename(name, before).arm()
    load(root)


@pytest.mark.parametrize("name", ["plan.json", "audio.npy", "video.npy", "standardization.safetensors", "store.json"])
@pytest.mark.parametrize("before", [True, False])
def test_an_import_that_is_killed_and_repeated(tmp_path: Path, name: str, before: bool) -> None:
    write_course(tmp_path / "data")
    process = FRESH.Process(target=import_and_die, args=(tmp_path / "data", name, before))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    load(tmp_path / "data")
    load(tmp_path / "data", name="undisturbed")
    assert content(tmp_path / "store") == content(tmp_path / "undisturbed")


def test_a_folder_of_hdf5_features_is_imported_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_course(tmp_path / "data")
    first = open_features(Path("data"))
    status = (first.path / "store.json").stat()
    assert first.path.parent == tmp_path / "runs/features"
    assert open_features(Path("data")).path == first.path
    assert (first.path / "store.json").stat().st_mtime_ns == status.st_mtime_ns
    assert open_features(first.path).digest == first.digest
    with edit(tmp_path / "data", "audio", "train") as file:
        file["0/audio/airport-rome-5-5"] = features("audio", "x")
    assert open_features(Path("data")).path != first.path
