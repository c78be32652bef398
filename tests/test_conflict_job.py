from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from avfusion.analysis.conflict import cell_table, conflict_clips, oracle_accuracy, rescues_and_harms
from avfusion.analysis.variant_answers import align
from avfusion.errors import UserError
from avfusion.features import FeatureStore
from avfusion.scoring.predictions import Predictions
from avfusion.scoring.tsv import write_course_tsv
from avfusion.tracking.lookup import find_experiment, finished_runs, read_predictions, seed_runs
from tests.edge import run_job
from tests.stand_ins import draw_nothing
from tests.study_runs import EXPERIMENT, study_runs

CLASSES = ("airport", "bus", "park")
IDS = tuple(f"clip{n}" for n in range(60))


def answers(seed: int, n_clips: int = 60) -> Predictions:
    generator = np.random.default_rng(seed)
    labels = np.arange(n_clips) % 3
    scores = generator.normal(size=(n_clips, 3))
    scores[np.arange(n_clips), labels] += 0.8
    return Predictions.from_scores(IDS[:n_clips], CLASSES, labels, scores)


@pytest.fixture
def files(tracking_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.chdir(tmp_path)
    paths = {}
    for seed, name in enumerate(("audio", "video", "fused")):
        write_course_tsv(tmp_path / "in" / f"{name}.tsv", answers(seed))
        paths[name] = f"in/{name}.tsv"
    return paths


def last_run() -> Run:
    client = MlflowClient()
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return client.search_runs(experiments, order_by=["attributes.start_time DESC"], max_results=1)[0]


def artifact_names(run: Run, folder: str | None = None) -> set[str]:
    return {entry.path for entry in MlflowClient().list_artifacts(run.info.run_id, folder)}


def test_files_give_tables_figures_and_one_run(files: dict[str, str], tmp_path: Path) -> None:
    lines = run_job("conflict", **files, output="out")
    audio, video, fused = answers(0), answers(1), answers(2)
    cells = pd.read_csv("out/cells.csv", index_col="cell")
    assert cells["clips"].sum() == 60
    assert cells.loc["both", "clips"] == (audio.right & video.right).sum()
    per_class = pd.read_csv("out/cells_per_class.csv", index_col="class")
    assert per_class.index.tolist() == [*cell_table(audio, video).index, "all classes"]
    assert (per_class[["both", "only_audio", "only_video", "neither"]].sum(axis=1) == per_class["clips"]).all()
    assert per_class["rank"].tolist()[:3] == [1, 2, 3]
    scores = pd.read_csv("out/accuracy.csv", index_col="model")
    assert scores.loc["oracle of audio and video", "accuracy"] == oracle_accuracy(audio, video)
    assert scores.loc["oracle of audio and video", "accuracy"] >= scores.loc[["audio", "video"], "accuracy"].max()
    harms = pd.read_csv("out/rescues_and_harms.csv", index_col="class")
    pd.testing.assert_frame_equal(harms, rescues_and_harms(audio, video, fused), check_names=False)
    for name, predictions in (("audio", audio), ("video", video), ("fused", fused)):
        errors = pd.read_csv(f"out/errors_{name}.csv")
        assert errors["clips"].sum() == (~predictions.right).sum()
        np.testing.assert_allclose(errors.groupby("true_class")["share"].sum(), 1)
        assert Path(f"out/confusion_{name}.png").is_file()
    clips = pd.read_csv("out/conflict_clips.csv")
    assert clips["id"].tolist() == conflict_clips(audio, video)["id"].tolist()
    assert Path("out/confusion_difference.png").is_file() and Path("out/cells.png").is_file()
    text = "\n".join(lines)
    assert "60 clips; audio = in/audio.tsv, video = in/video.tsv, fused = in/fused.tsv" in text
    assert f"conflict clips: {len(clips)}" in text and str(tmp_path / "out") in text
    run = last_run()
    assert run.data.tags["avfusion.kind"] == "job"
    assert {"cells.json", "cells_per_class.json", "conflict_clips.json", "accuracy.json"} <= artifact_names(run)
    assert {"conflict/cells.png", "conflict/errors_video.csv"} <= artifact_names(run, "conflict")
    assert run.data.metrics["share/both"] == pytest.approx(cells.loc["both", "share"])
    assert run.data.metrics["accuracy/oracle"] == oracle_accuracy(audio, video)


def test_the_folder_of_a_model_stands_for_its_file(
    files: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder's name is in Latin-1, no UTF-8."""
    draw_nothing(monkeypatch)
    (tmp_path / "h\udcf6ren").mkdir()
    Path(files["audio"]).rename(tmp_path / "h\udcf6ren" / "prediction.csv")
    lines = run_job("conflict", audio="h\udcf6ren", video=files["video"], fused="none", output="none")
    assert "audio = h\\xf6ren/prediction.csv, video = in/video.tsv" in "\n".join(lines)


def test_without_an_output_only_mlflow_keeps_it(
    files: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_nothing(monkeypatch)
    lines = run_job("conflict", audio=files["audio"], video=files["video"], fused="none", output="none")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    assert "rescues" not in "\n".join(lines) and lines[-1] == "files    MLflow, run conflict"
    assert "conflict/cells.csv" in artifact_names(last_run(), "conflict")


def test_runs_give_paths_of_the_conflict_clips(
    tracking_uri: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_nothing(monkeypatch)
    store = FeatureStore.open(study_runs(tmp_path_factory.getbasetemp() / "study"))
    newest = {run.variant: run for run in reversed(finished_runs(find_experiment(EXPERIMENT)[0], "variant"))}
    audio, video = newest["audio_only"], seed_runs(newest["video_only"])[1]
    lines = run_job("conflict", audio=f"runs:/{audio.id}/model", video=video.id, fused="none", output=str(tmp_path))
    assert f"audio = run audio_only ({audio.id[:8]}), first of 2 seeds, video = run video_only seed 1" in lines[1]
    first, second = align(read_predictions(seed_runs(audio)[0], "test"), read_predictions(video, "test"))
    clips = pd.read_csv(tmp_path / "conflict_clips.csv").set_index("id")
    assert set(clips.index) == {i for i, differs in zip(first.ids, first.right != second.right, strict=True) if differs}
    files = store.clips.set_index("id")
    for name in clips.index:
        assert Path(str(clips.loc[name, "audio_path"])).name == files.loc[name, "audio"]
        assert Path(str(clips.loc[name, "video_path"])) == Path(store.provenance["root"]) / str(
            files.loc[name, "video"]
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"audio": "none"}, "audio: none given; name a prediction file or the id of a run, as audio=FILE"),
        ({"video": "in/gone.tsv"}, "/in/gone.tsv: no such file"),
        ({"video": "in/gone.csv"}, "/in/gone.csv: no such file"),
        (
            {"video": "in"},
            r"in: 4 prediction files of one model \(audio.tsv, fused.tsv, short.tsv, video.tsv\)",
        ),
        ({"video": "."}, r"no predictions here; looked for \*.tsv, and \*.csv .*; name a file or one model's folder"),
        ({"video": "0123abcd"}, "'0123abcd' is neither a file nor a run in sqlite"),
        ({"fused": "in/short.tsv"}, "not over the same clips: 10 only in the first set"),
        ({"output": "in/audio.tsv/x"}, "output=in/audio.tsv/x: .*audio.tsv is a file; name a folder"),
    ],
)
def test_mistakes_get_one_clear_line(files: dict[str, str], change: dict[str, str], message: str) -> None:
    write_course_tsv(Path("in/short.tsv"), answers(2, 50))
    with pytest.raises(UserError, match=message) as caught:
        run_job("conflict", **{**files, "output": "none", **change})
    assert "\n" not in str(caught.value)
    mlflow.end_run()
