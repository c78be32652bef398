"""Any class and clip may be called as people like: such names go through everything, and come out as they were."""

import csv
import hashlib
import io
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from unittest.mock import patch

import mlflow
import numpy as np
import pandas as pd
import pytest
from markupsafe import escape
from matplotlib.figure import Figure
from matplotlib.text import Text
from mlflow import MlflowClient
from mlflow.utils.validation import _validate_metric

from avfusion.analysis.pairs import pair_table, score_table
from avfusion.datasets import Dataset, read_dataset
from avfusion.errors import UserError
from avfusion.features import FeatureStore
from avfusion.features.hdf5 import export_features, import_features
from avfusion.features.parts import Part, write_part
from avfusion.features.writer import writing
from avfusion.figures import clip_timeline, confusion_heatmap
from avfusion.figures.style import PlainFigure
from avfusion.jobs.predict import Prediction
from avfusion.serving.queries import Query
from avfusion.system.markdown import markdown
from avfusion.system.names import check_name, escaped, file_names, metric_name
from avfusion.tracking.lookup import (
    LoggedRun,
    find_experiment,
    finished_runs,
    read_predictions,
    read_table,
)
from avfusion.tracking.models import fetch_model
from avfusion.training.scene_classifier import SceneClassifier
from tests.edge import run_job

EXPERIMENT = "any names"
CLASSES = (
    *("R&B club", "street (day)", "shop, indoor", "men's room", "C#", "bus+tram", "price $5^$ or $x_"),
    *("aid", "scene_label", "scene_pred", "scene", "probability", "modalities", "note", "second", "class"),
    *("all classes", "NA", "..", "_ <b>|*bold*|</b> `\\", 'say "hi" 100% \N{NARROW NO-BREAK SPACE}~/.', "Bus", "bus"),
    *("\N{BUS}\N{WOMAN}\N{ZERO WIDTH JOINER}\N{ROCKET} e\N{COMBINING ACUTE ACCENT}", "\u05d1\u05d9\u05ea", "n" * 300),
)
ODD = " - \N{NARROW NO-BREAK SPACE}$a_b^ \"quoted\", 'so' #1 100%+&<i>|\N{BUS}.. ,"
"""In the name of every clip."""
DIM, N_FRAMES = 6, 12


def write_list(folder: Path) -> Path:
    """A list of a training, a validation and a test clip of each class, and some more; its files are not there."""
    with (folder / "clips.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["clip", "label", "location", "split"])
        for number, label in enumerate(CLASSES):
            for split in ("train", "val", "test"):
                table.writerow([f"{number}{ODD}/{number}{ODD}{split}.mp4", label, f"{number}{split}{ODD}", split])
        for name, split in (("d/q", "train"), ("e/q", "val"), ("d_q", "test"), ("D_Q", "test")):
            table.writerow([f"{name}.mp4", CLASSES[0], name, split])
    return folder / "clips.csv"


def write_store(dataset: Dataset, folder: Path) -> FeatureStore:
    """Features of noise for the clips, of an embedder that nobody has."""
    random = np.random.default_rng(0)
    plan = {
        "dataset": {"name": dataset.name, "synthetic": True, "digest": dataset.digest},
        "embedder": {"name": "toy", "trained": True},
    }
    with writing(folder) as writer:
        writer.begin(plan)
        for number, clip in enumerate(dataset.clips):
            audio, video = random.normal(size=(2, N_FRAMES, DIM)).astype(np.float32)
            write_part(writer.parts, number, Part(clip.id, audio=audio, video=video))
        writer.finish(dataset, plan)
    return FeatureStore.open(folder)


def _unsaved(figure: Figure, file: Path | io.BytesIO, **options: object) -> None:
    """Instead of drawing, which takes most of the time: `test_figures_show_names_as_they_are` draws."""
    assert isinstance(figure, PlainFigure)
    (file.write_bytes if isinstance(file, Path) else file.write)(b"\x89PNG")


@pytest.fixture(scope="module", autouse=True)
def unsaved_figures() -> Iterator[None]:
    with patch.object(Figure, "savefig", _unsaved), patch("avfusion.figures.confusion._write_cell"):
        yield


@dataclass(frozen=True)
class Study:
    """What the tests below look at."""

    dataset: Dataset
    store: FeatureStore
    runs: dict[str, LoggedRun]


@pytest.fixture(scope="module")
def study(tracking_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    folder = tmp_path_factory.mktemp("names")
    dataset = read_dataset(write_list(folder))
    store = write_store(dataset, folder / "store")
    MlflowClient().create_experiment(EXPERIMENT, artifact_location=(folder / "artifacts").as_uri())
    before = os.environ.get("MLFLOW_EXPERIMENT_NAME")
    os.environ["MLFLOW_EXPERIMENT_NAME"] = EXPERIMENT
    run_job("train",
        features=str(store.path), variants="audio_only,video_only,late", seeds="0", params="epochs=1", device="cpu",
        register="true",
    )  # fmt: skip
    runs = {run.variant: run for run in finished_runs(find_experiment(EXPERIMENT)[0], "variant")}
    yield Study(dataset, store, runs)
    os.environ.pop("MLFLOW_EXPERIMENT_NAME")
    if before is not None:
        os.environ["MLFLOW_EXPERIMENT_NAME"] = before


def test_a_list_and_a_store_keep_names(study: Study) -> None:
    assert study.dataset.classes == study.store.classes == tuple(sorted(CLASSES))
    for name, values in study.dataset.table().items():
        assert study.store.clips[name].tolist() == values.tolist()


def test_hdf5_keeps_names(study: Study, tmp_path: Path) -> None:
    export_features(study.store, tmp_path / "hdf5")
    back = import_features(tmp_path / "hdf5", tmp_path / "back", progress=False)
    columns = ["id", "label", "location", "split"]
    expected = study.store.clips[columns].sort_values("id", ignore_index=True)
    pd.testing.assert_frame_equal(back.clips[columns].sort_values("id", ignore_index=True), expected)


def test_runs_keep_names(study: Study) -> None:
    """Metrics per class, tables, prediction files and the registry's description."""
    run = study.runs["late"]
    predictions = read_predictions(run, "test")
    assert predictions.classes == study.store.classes
    answered = {id_: predictions.classes[label] for id_, label in zip(predictions.ids, predictions.labels, strict=True)}
    assert answered == {clip.id: clip.label for clip in study.dataset.clips if clip.split == "test"}
    metrics = mlflow.get_run(run.id).data.metrics
    table = read_table(run, "per_class")
    assert table["class"].tolist() == list(predictions.classes)
    for scene, f1 in zip(table["class"], table["f1"], strict=True):
        assert metrics[f"test/f1/{metric_name(scene)}"] == pytest.approx(f1, abs=1e-4)
    assert sum(name.startswith("test/f1/") for name in metrics) == len(CLASSES)
    (version,) = MlflowClient().search_model_versions(f"run_id = '{run.id}'")
    assert "R\\&B club" in str(version.description) and "n" * 300 in str(version.description)


def test_the_logged_model_answers_alike_for_all_classes(study: Study) -> None:
    model = mlflow.pyfunc.load_model(f"runs:/{study.runs['late'].id}/model")
    request = {name: study.store.frames(name, 0).astype(float).tolist() for name in ("audio", "video")}
    answers = model.predict(pd.DataFrame([request]))
    columns = [f"probability/{name}" for name in study.store.classes]
    assert answers.columns.tolist() == ["scene", "probability", "modalities", "note", *columns]
    assert model.metadata.get_output_schema().input_names() == answers.columns.tolist()
    (answer,) = answers.to_dict("records")
    assert answer["scene"] in CLASSES and answer["modalities"] == "audio+video"
    assert answer["probability"] == answer[f"probability/{answer['scene']}"]
    assert sum(answer[column] for column in columns) == pytest.approx(1)
    assert json.loads(answers.to_json(orient="records"))[0]["scene"] == answer["scene"]


@dataclass(frozen=True)
class StoredParts:
    """In place of an extractor: every query is the first clip of a store."""

    store: FeatureStore

    def parts(self, queries: Sequence[Query], modalities: Sequence[str]) -> Iterator[tuple[int, Part]]:
        for number, query in enumerate(queries):
            yield number, Part(query.id, "", "", self.store.frames("audio", 0), self.store.frames("video", 0), 1.0)


def test_predict_answers_in_one_form(study: Study, tmp_path: Path) -> None:
    """With a timeline for each clip, of its own."""
    classifier = SceneClassifier.load(fetch_model(f"runs:/{study.runs['late'].id}/model", tmp_path / "model"))
    names = [f"{ODD}.mp4", f"a/{ODD}.mp4", "A.mp4", "a.mp4", "a-2.mp4", "n" * 400, "..", "\N{BUS}"]
    prediction = Prediction(classifier, [Query(name, None, None) for name in names], tmp_path, 0.0)
    prediction.run(StoredParts(study.store))  # type: ignore[arg-type]
    columns = [f"probability/{name}" for name in study.store.classes]
    table = pd.read_csv(tmp_path / "predictions.csv", keep_default_na=False)
    assert table.columns.tolist() == ["clip", "scene", "probability", "modalities", "note", *columns]
    assert table["clip"].tolist() == names and set(table["scene"]) <= set(CLASSES)
    assert len({path.name.casefold() for path in prediction.timelines}) == len(names)
    for picture in prediction.timelines:
        assert picture.read_bytes().startswith(b"\x89PNG")
        made = pd.read_csv(picture.with_suffix(".csv"), keep_default_na=False)
        leading = ["second", "scene", "probability", "audio_share", "video_share"]
        assert made.columns.tolist() == [*leading, *columns]


def test_report_compare_and_conflict(study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for made in (pair_table, score_table):
        monkeypatch.setattr(f"avfusion.jobs.compare.{made.__name__}", partial(made, draws=20))
    run_job("report", experiment=EXPERIMENT, predictions="none", output=str(tmp_path / "report"))
    run_job("compare",
        experiment=EXPERIMENT, filter="none", runs="none", predictions="none", locations="none", shifts="none",
        cities="none", output=str(tmp_path / "compare"), device="cpu",
    )  # fmt: skip
    audio, video, late = (study.runs[name].id for name in ("audio_only", "video_only", "late"))
    run_job("conflict", audio=audio, video=video, fused=late, output=str(tmp_path / "conflict"))
    page, text = ((tmp_path / "report" / name).read_text(encoding="utf-8") for name in ("report.html", "report.md"))
    for name in CLASSES:
        assert f">{escape(name)}</td>" in page
        assert f"| {markdown(name)} |" in text
    assert "<b>|" not in page
    table = pd.read_csv(tmp_path / "conflict" / "cells_per_class.csv", keep_default_na=False)
    assert sorted(table["class"][:-1]) == sorted(CLASSES)
    harms = pd.read_csv(tmp_path / "conflict" / "rescues_and_harms.csv", keep_default_na=False)
    assert harms["class"].tolist() == [*sorted(CLASSES), "all classes"]
    assert harms["clips"].iloc[:-1].sum() == harms["clips"].iloc[-1] == len(CLASSES) + 2


def test_figures_show_names_as_they_are(recwarn: pytest.WarningsRecorder) -> None:
    """Formulas, underscores, what the font lacks, and names of any length, in titles, notes, ticks and legends."""
    classes = (r"$\frac$ & $x^2$", "_misc", "\N{BUS}\u05d1", "a_b")
    title = f"{'n' * 300} $\\nothing$ {ODD}: {classes[0]} (0.25)"
    share = np.array([0.1, -0.1])
    probabilities = np.full((2, 4), 0.25)
    figures = {
        "timeline": clip_timeline(np.arange(2), probabilities, classes, {"audio": share}, title, note=title),
        "heatmap": confusion_heatmap(np.eye(4, dtype=np.int64), classes, title, note=title),
    }
    for figure in figures.values():
        figure.draw_without_rendering()
        texts = figure.findobj(Text)
        assert not any(text.get_parse_math() for text in texts)
        assert set(classes) <= {text.get_text().strip() for text in texts}
        assert all(len(line.get_text().splitlines()) <= 3 for line in texts)
        assert figure.axes[0].get_position().height > 0.2
    assert not recwarn.list


def test_names_of_metrics_never_meet() -> None:
    ordinary = ["bus", "metro station", "shopping_mall", "Bus", "N.Y.-2", "\u00e9t\u00e9", "\u5730\u94c1"]
    assert [metric_name(name) for name in ordinary] == ordinary
    digits = hashlib.sha256(b"R&B").hexdigest()[:8]
    assert metric_name("R&B") == f"R_B-{digits}"
    odd = [
        "R&B",
        "R/B",
        "R_B",
        f"R_B-{digits}",
        "..",
        ".",
        "a/../b",
        "/",
        "a//b",
        " a",
        "a ",
        "n" * 300,
        "n" * 301,
        "a\u202fb",
        *CLASSES,
    ]
    names = [metric_name(name) for name in odd]
    assert len(set(names)) == len(set(odd))
    for name in names:  # it raises for what MLflow refuses
        _validate_metric(f"test/precision/{name}", 0.5, 0, 0)  # type: ignore[no-untyped-call]
        assert re.fullmatch(r"[^/:]{1,109}", name)


def test_names_of_files_never_meet() -> None:
    names = [
        "a",
        "A",
        "a-2",
        "a",
        "..",
        ".",
        "",
        "con/../x",
        "\u00e9",
        "e\u0301",
        "x" * 300,
        "x" * 301,
        "\udce9",
        "\N{BUS}",
        "b.",
    ]
    found = file_names(names)
    assert found[:4] == ["a", "A-2", "a-2-2", "a-3"]
    assert len({name.casefold() for name in found}) == len(names)
    for name in found:
        assert re.fullmatch(r"[\w\-. ]+", name) and not name.startswith(".") and len(name.encode()) < 120


@pytest.mark.parametrize("character", ["\t", "\n", "\r", "\0", "\x85", "\u2028", "\u2029", "\udce9", "\ud800", "\x1b"])
def test_what_no_name_may_hold(character: str) -> None:
    with pytest.raises(UserError, match=r"^list, line 2: the label '.*' holds the character") as caught:
        check_name("list, line 2", "label", f"bus{character}stop")
    assert str(caught.value).isprintable() and f"(U+{ord(character):04X})" in str(caught.value)


def test_what_is_shown_with_escapes() -> None:
    assert escaped("caf\udce9\n\u2028\ud83d \N{BUS}\u202f") == "caf\\xe9\\n\\u2028\\ud83d \N{BUS}\u202f"


def test_what_a_terminal_obeys_is_written_out() -> None:
    assert escaped("a\x1b[31mred\r\x9b\x07\u202etxt.exe", lines=True) == r"a\x1b[31mred\r\x9b\x07\u202etxt.exe"
    assert escaped("caf\udce9", lines=True) == r"caf\xe9"
    assert escaped("métro\t電車 \N{TRAM CAR}\n", lines=True) == "métro\t電車 \N{TRAM CAR}\n"
