"""The job `predict` and the registry: train on a small store, register, promote, ask for clips."""

import math
import os
import re
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from avfusion.datasets import read_dataset
from avfusion.embedders import load_embedder
from avfusion.errors import UserError
from avfusion.extraction import clip_features
from avfusion.features import FeatureStore
from avfusion.features.parts import Part, write_part
from avfusion.features.writer import writing
from avfusion.jobs.predict import Prediction
from avfusion.serving.queries import Query
from avfusion.tracking.models import promote, register
from tests.edge import run_job
from tests.media_files import tone, write_sound, write_video
from tests.stand_ins import draw_nothing, train_here
from tests.stores import make_store
from tests.test_house import ROOMS
from tests.test_serving_answers import make_features, with_companions

DEFAULTS = {
    "clip": "none", "audio": "none", "video": "none", "timeline": "none", "embedder": "none", "weights": "none",
    "device": "cpu", "workers": "1", "timeout": "60",
}  # fmt: skip


def write_clips(folder: Path) -> Path:
    """Eight clips of two classes, loud and bright or not, with a list of them."""
    folder.mkdir()
    lines = ["audio,video,label,location,split"]
    for number in range(8):
        label, split = ("loud", "quiet")[number % 2], ("train", "train", "val", "test")[number // 2 % 4]
        loudness, shade = (0.8, 200) if label == "loud" else (0.02, 60)
        write_sound(folder / f"{number}.wav", loudness * tone(1, 24_000), "pcm_s16le", "s16", "mono")
        pictures = [np.full((16, 16, 3), shade + number + frame, np.uint8) for frame in range(5)]
        write_video(folder / f"{number}.avi", pictures, codec="rawvideo", pixels="bgr24")
        lines.append(f"{number}.wav,{number}.avi,{label},{split}-{number},{split}")
    (folder / "clips.csv").write_text("\n".join(lines) + "\n")
    return folder


def extract_here(clips: Path, folder: Path, name: str = "demo") -> FeatureStore:
    """The feature store of `clips` by the embedder `name`, without worker processes."""
    dataset, embedder = read_dataset(clips / "clips.csv"), load_embedder(name, device="cpu")
    provenance = {name: value for name, value in embedder.provenance.items() if name != "weights_files"}
    about = {"name": "tones", "synthetic": True, "digest": dataset.digest}
    plan = {"embedder": provenance, "dataset": about}
    with writing(folder) as writer:
        writer.begin(plan)
        for number, clip in enumerate(dataset.clips):
            write_part(writer.parts, number, clip_features(embedder, clip.id, clip.audio, clip.video))
        writer.finish(dataset, plan | {"weights_files": embedder.provenance.get("weights_files", [])})
    return FeatureStore.open(folder)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clips(tmp_path_factory.mktemp("predict") / "clips")


@pytest.fixture(scope="module")
def fusion(tracking_uri: str, clips: Path) -> Run:
    """A registered late fusion with companions; it is the champion."""
    store = extract_here(clips, clips.parent / "store")
    with pytest.MonkeyPatch.context() as patch:
        draw_nothing(patch)
        train_here(patch)
        run_job("train",
            features=str(store.path), variants="late,video_only,audio_only", seeds="0",
            params="epochs=15,learning_rate=0.01", device="cpu", register="true",
        )  # fmt: skip
    client = MlflowClient()
    experiment = client.get_experiment_by_name("avfusion")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], "tags.`avfusion.kind` = 'variant'", max_results=3)
    (run,) = (run for run in runs if run.data.tags["variant"] == "late")
    promote(run.info.run_id)
    return run


def predict(output: Path, **given: str) -> tuple[list[str], pd.DataFrame]:
    options = {"model": "models:/avfusion@champion", **DEFAULTS, "output": str(output), **given}
    lines = run_job("predict", **options)
    return lines, pd.read_csv(output / "predictions.csv", keep_default_na=False)


def test_the_registry_describes_the_model(fusion: Run) -> None:
    client = MlflowClient()
    champion = client.get_model_version_by_alias("avfusion", "champion")
    assert champion.run_id == fusion.info.run_id
    text = str(champion.description)
    assert "**late fusion** on tones (synthetic)" in text
    assert f"| test | {fusion.data.metrics['test/accuracy']:.3f} |" in text
    for expected in ("Data: feature store ", "made with synthetic scenes", "one of its 2 classes: loud, quiet"):
        assert expected in text
    assert "the companions answer: video_only, audio_only" in text
    assert register(fusion.info.run_id) == str(champion.version), "a model is registered once"


def test_a_model_has_the_rooms_that_it_may_import(fusion: Run) -> None:
    client = MlflowClient()
    outputs = client.get_run(fusion.info.run_id).outputs
    assert outputs is not None
    (model,) = outputs.model_outputs
    code = Path(mlflow.artifacts.download_artifacts(f"models:/{model.model_id}")) / "code" / "avfusion"
    assert {path.name.removesuffix(".py") for path in code.iterdir()} == {
        "__init__",
        *ROOMS[: ROOMS.index("serving") + 1],
    }


def test_a_folder_of_pairs_with_timelines(fusion: Run, clips: Path, tmp_path: Path) -> None:
    """The answers are those of the run, and every clip has its timeline."""
    lines, table = predict(tmp_path, clip=str(clips), timeline="0", workers="2")
    truth = ["loud" if int(name) % 2 == 0 else "quiet" for name in table["clip"]]
    assert len(table) == 8 and (table["scene"] == truth).mean() >= 0.75
    assert set(table["modalities"]) == {"audio+video"} and set(table["note"]) == {""}
    np.testing.assert_allclose(table[["probability/loud", "probability/quiet"]].sum(axis=1), 1)
    assert re.search(r"8 clips in .* s, .* clips/s; failed_clips=0", "\n".join(lines))
    assert "the model was made with: synthetic scenes" in "\n".join(lines)
    made = pd.read_csv(tmp_path / "timelines/3.csv")
    leading = ["second", "scene", "probability", "audio_share", "video_share"]
    assert list(made.columns) == [*leading, "probability/loud", "probability/quiet"]
    assert (tmp_path / "timelines/3.png").read_bytes().startswith(b"\x89PNG")
    run = mlflow.last_active_run()
    assert run is not None and run.data.metrics["clips"] == 8 and run.data.metrics["clips_per_second"] > 0
    assert not set(run.data.params) & {"model", *DEFAULTS}, "names that `mlflow run` logs"
    names = [file.path for file in MlflowClient().list_artifacts(run.info.run_id)]
    assert {"predictions.csv", "timelines"} <= set(names)


def test_lists_missing_modalities_and_broken_files(fusion: Run, clips: Path, tmp_path: Path) -> None:
    write_video(tmp_path / "black.avi", [np.zeros((16, 16, 3), np.uint8)] * 5, codec="rawvideo", pixels="bgr24")
    (tmp_path / "text.mp4").write_text("this is no clip")
    rows = [f"{clips}/0.wav", f"{clips}/1.avi", f"{clips}/0.wav\tblack.avi", "text.mp4", "missing.mp4"]
    rows.append(f"{clips}/0.wav\t{clips}/0.avi")
    (tmp_path / "list.txt").write_text("\n".join(rows) + "\n")
    model = f"runs:/{fusion.info.run_id}/model"
    lines, table = predict(tmp_path / "out", model=model, clip=str(tmp_path / "list.txt"))
    assert table["modalities"].tolist() == ["audio", "video", "audio", "", "", "audio+video"]
    assert (table["scene"] != "").tolist() == [True, True, True, False, False, True]
    expected = ["no pictures: ", "no sound: ", "no pictures: they are black", "Invalid data", "no such file", ""]
    assert all(part in note for part, note in zip(expected, table["note"], strict=True))
    text = "\n".join(lines)
    assert "text.mp4  cannot be used  (" in text and "failed_clips=2" in text


def test_a_model_of_pictures_alone_says_that_it_needs_them(fusion: Run, clips: Path, tmp_path: Path) -> None:
    query = "tags.`avfusion.kind` = 'variant' and tags.variant = 'video_only'"
    (run,) = MlflowClient().search_runs([fusion.info.experiment_id], query, max_results=1)
    write_video(tmp_path / "black.avi", [np.zeros((16, 16, 3), np.uint8)] * 5, codec="rawvideo", pixels="bgr24")
    (tmp_path / "list.txt").write_text(f"{clips}/0.wav\n{clips}/0.avi\n{clips}/0.wav\tblack.avi\n")
    lines, table = predict(tmp_path, model=f"runs:/{run.info.run_id}/model", clip=str(tmp_path / "list.txt"))
    assert table["modalities"].tolist() == ["", "video", ""] and "failed_clips=2" in "\n".join(lines)
    expected = ["no pictures: the file has no such stream", "", "no pictures: they are black throughout"]
    assert table["note"].tolist() == expected


def test_no_name_ends_a_batch(fusion: Run, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever files are called, each has its answer or a reason, and a timeline of its own."""
    draw_nothing(monkeypatch)
    names = ["caf\udce9.wav", "new\nline.wav", "n" * 251 + ".wav", "$x^.wav", "x.wav", "X.wav", "x.mp3", "\t.wav"]
    (tmp_path / "in").mkdir()
    for name in names:
        (tmp_path / "in" / name).write_bytes((clips / "0.wav").read_bytes())
    listed = ["clip", *names[:1], *names[2:], "m" * 300, ".."]
    (tmp_path / "in/list.csv").write_bytes(b"\n".join(map(os.fsencode, listed)))
    _, table = predict(tmp_path / "out", clip=str(tmp_path / "in"), timeline="0")
    assert set(table["modalities"]) == {"audio"} and len(table) == len(names)
    assert {"caf\\xe9.wav", "new\\nline.wav", "\\t.wav"} < set(table["clip"])
    assert table["note"].str.contains("shown with escapes").sum() == 3
    pictures = [path.name.casefold() for path in (tmp_path / "out/timelines").glob("*.png")]
    assert len(set(pictures)) == len(names)
    _, table = predict(tmp_path / "out2", clip=str(tmp_path / "in/list.csv"))
    assert (table["scene"] != "").sum() == len(names) - 1
    assert table["note"].iloc[-2:].str.contains("File name too long|not a regular file").all()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"model": "none"}, "no model given"),
        ({"model": "models:/avfusion@nobody"}, "model=models:/avfusion@nobody: not found in sqlite"),
        ({"model": "runs:/0123/model"}, "model=runs:/0123/model: not found in sqlite"),
        ({"model": "0123456789abcdef" * 2}, "model=runs:/0123456789abcdef0123456789abcdef/model: not found in sqlite"),
        ({"model": "."}, "model=.: there is no classifier of avfusion in it"),
        ({"embedder": "openl3"}, r"embedder=openl3: the model's features were made by demo \(weights"),
        ({"workers": "0"}, "workers=0: expected a whole number of at least 1"),
        ({"workers": "1.5"}, "workers=1.5: expected a whole number of at least 1"),
        ({"timeline": "x"}, "timeline=x: expected `none` or seconds of at least 0"),
        ({"timeout": "-1"}, "timeout=-1: expected seconds above 0"),
        ({"clip": "none"}, "no clip given"),
        ({"device": "tpu"}, "'--device': 'tpu' is not one of"),
    ],
)
def test_mistakes_get_one_clear_line(
    fusion: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.mp4").write_text("no clip")
    with pytest.raises(UserError, match=message) as caught:
        predict(tmp_path, **{"clip": "a.mp4", **given})
    assert "\n" not in str(caught.value)


def test_one_clip_that_cannot_be_used_is_a_mistake(fusion: Run, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("no clip")
    with pytest.raises(UserError, match=r"a\.mp4 cannot be used: .*Invalid data"):
        predict(tmp_path, clip=str(tmp_path / "a.mp4"))


def test_several_seeds_leave_the_model_of_the_best(
    tracking_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_nothing(monkeypatch)
    train_here(monkeypatch)
    make_store(tmp_path / "store")
    given = {"features": str(tmp_path / "store"), "variants": "audio_only,late", "params": "epochs=2", "device": "cpu"}
    run_job("train", **given, seeds="0,1")
    experiment = MlflowClient().get_experiment_by_name("avfusion")
    assert experiment is not None
    query = "tags.`avfusion.kind` = 'variant' and tags.variant = 'late'"
    (run,) = MlflowClient().search_runs([experiment.experiment_id], query, max_results=1)
    assert run.data.tags["model_seed"] in ("0", "1") and run.data.tags["companions"] == "audio_only"
    assert mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/model") is not None
    seeds = MlflowClient().search_runs([experiment.experiment_id], f"tags.`mlflow.parentRunId` = '{run.info.run_id}'")
    with pytest.raises(UserError, match="logged no model to register"):
        register(seeds[0].info.run_id)


def test_the_answers_hold_what_the_model_says_beside_them(tmp_path: Path) -> None:
    fusion, silent = with_companions("evidential"), {"audio": np.zeros((0, 0), np.float32)}
    prediction = Prediction(fusion, [Query("a", None, None), Query("b", None, None)], tmp_path, math.inf)
    for number, features in enumerate((make_features(6, 6), make_features(6, 6) | silent)):
        prediction.rows[number] = prediction._row(
            number, Part("ab"[number], audio=features["audio"], video=features["video"])
        )
    table = prediction.table()
    assert list(table.columns[-3:]) == list(fusion.network.diagnosed)
    here, not_here = table.iloc[:, -3:].to_numpy()
    assert ((here > 0) & (here <= 1)).all() and np.isnan(not_here).all()
    assert table["modalities"].tolist() == ["audio+video", "video"]


def test_a_model_of_two_embedders_answers_clips(tracking_uri: str, clips: Path, tmp_path: Path) -> None:
    """Sound and pictures of different dimensions and rates, through training and prediction; sound of 1.5 s has two
    windows, and two pictures are looked at."""
    write_sound(tmp_path / "long.wav", 0.8 * tone(1, 72_000), "pcm_s16le", "s16", "mono")
    store = extract_here(clips, tmp_path / "store", "efficientnet_lite0+yamnet")
    assert (store.audio.shape, store.video.shape) == ((8, 1024), (8, 1280))
    lines = run_job("train", features=str(store.path), variants="two_stage", seeds="0",
        params="epochs=8,learning_rate=0.01", device="cpu", register="true",
    )  # fmt: skip
    assert "features: efficientnet_lite0+yamnet" in "\n".join(lines)
    lines, table = predict(
        tmp_path / "out", model="models:/avfusion/latest", timeline="0",
        audio=str(tmp_path / "long.wav"), video=str(clips / "0.avi"),
    )  # fmt: skip
    assert table["note"].tolist() == [""] and table["scene"].isin(["loud", "quiet"]).all()
    model = Path(mlflow.artifacts.download_artifacts("models:/avfusion/latest", dst_path=str(tmp_path / "model")))
    weights = {path.name for path in (model / "code").rglob("*.safetensors")}
    assert weights == {"efficientnet_lite0.safetensors", "yamnet.safetensors"}
    (timeline,) = (tmp_path / "out/timelines").glob("*.csv")
    assert pd.read_csv(timeline)["second"].tolist() == [0]
    with pytest.raises(UserError, match=r"made by efficientnet_lite0 \(weights \w{12}\) \+ yamnet \(weights \w{12}\)"):
        predict(tmp_path / "other", model="models:/avfusion/latest", clip=str(clips), embedder="demo")
