"""The option `folds` of the jobs: what they leave in MLflow, and who reads it as any other answers."""

import json
from collections.abc import Iterator
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from avfusion.analysis.sources import compared_experiment, compared_runs
from avfusion.analysis.trained import candidates_of
from avfusion.datasets import folds as folds_module
from avfusion.errors import UserError
from avfusion.features import FeatureStore
from avfusion.report.gathering import material_of_experiment
from avfusion.scoring.metrics import evaluate
from avfusion.scoring.tsv import read_course_tsv
from avfusion.tracking import variant_runs
from avfusion.training.alpha_sweep import VALIDATION_COLUMNS, choose_alpha
from avfusion.training.many import Trainer
from tests.edge import run_job
from tests.stand_ins import draw_nothing, log_no_models, train_here
from tests.stores import make_store
from tests.test_folds import by_clip

EXPERIMENT = "folded"
FAST = "epochs=2,batch_size=16"
FOLDS = 3


@pytest.fixture(scope="module")
def folder(tracking_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("folds")
    make_store(folder / "store", seed=31, separation=0.8)
    MlflowClient().create_experiment(EXPERIMENT, artifact_location=(folder / "artifacts").as_uri())
    return folder


@pytest.fixture(scope="module", autouse=True)
def experiment(folder: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
        patch.delenv("MLFLOW_EXPERIMENT_ID", raising=False)
        draw_nothing(patch)
        train_here(patch)
        yield


@pytest.fixture(scope="module")
def lines(folder: Path, experiment: None) -> list[str]:
    """Late fusion without folds, then two variants with folds and two seeds, and a third with one seed."""
    given = {"features": str(folder / "store"), "params": FAST, "device": "cpu"}
    with pytest.MonkeyPatch.context() as patch:
        log_no_models(patch)
        run_job("train", **given, variants="late", seeds="0")
    shown = run_job("train", **given, variants="audio_only,late", seeds="0,1", folds=str(FOLDS))
    run_job("train", **given, variants="video_only", seeds="4", folds=str(FOLDS))
    return shown


@pytest.fixture(scope="module")
def sweep(folder: Path, lines: list[str]) -> tuple[list[str], Run]:
    shown = run_job(
        "sweep", features=str(folder / "store"), alphas="0.2,0.8", seeds="0", params=FAST, workers="1", device="cpu",
        folds=str(FOLDS),
    )  # fmt: skip
    return shown, runs("sweep")[-1]


def runs(kind: str) -> list[Run]:
    """The runs of this kind, oldest first."""
    found = MlflowClient().get_experiment_by_name(EXPERIMENT)
    assert found is not None
    return MlflowClient().search_runs(
        [found.experiment_id], f"tags.`avfusion.kind` = '{kind}'", order_by=["attributes.start_time ASC"]
    )


def below(run: Run, kind: str) -> list[Run]:
    return [other for other in runs(kind) if other.data.tags["mlflow.parentRunId"] == run.info.run_id]


def artifact(run: Run, name: str) -> Path:
    return Path(mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path=name))


def test_a_fold_is_a_run_below_that_of_its_seed(folder: Path, lines: list[str]) -> None:
    store = FeatureStore.open(folder / "store")
    _, _, late, video = runs("variant")
    assert (late.data.params["folds"], late.data.params["seeds"], late.data.params["alpha"]) == ("3", "0,1", "0.5")
    seeds = below(late, "seed")
    assert [run.data.params["seed"] for run in seeds] == ["0", "1"]
    for run in (*seeds, video):
        folds = below(run, "fold")
        assert [one.data.params["fold"] for one in folds] == ["1", "2", "3"]
        answers = read_course_tsv(artifact(run, "predictions/test.tsv"))
        assert answers.ids == tuple(store.clips["id"])
        scores = {f"test/{name}": value for name, value in evaluate(answers).items()}
        assert scores == pytest.approx({name: run.data.metrics[name] for name in scores}, abs=1e-6)
        accuracies = [one.data.metrics["test/accuracy"] for one in folds]
        assert run.data.metrics["test/accuracy"] == pytest.approx(np.mean(accuracies))  # folds of equal size
        assert run.data.metrics["test/accuracy_fold_std"] == pytest.approx(np.std(accuracies, ddof=1))
        names = {entry.path for entry in MlflowClient().list_artifacts(run.info.run_id, "figures")}
        assert names == {"figures/confusion.png"}
        assert json.loads(artifact(run, "config.json").read_text())["folds"] == 3
        assert "each clip tested in one of 3 folds" in run.data.tags["mlflow.note.content"]
        curve = MlflowClient().get_metric_history(folds[0].info.run_id, "val_loss")
        assert sorted(point.step for point in curve) == [1, 2]
    text = "\n".join(lines)
    assert "72 clips, each tested in one of 3 folds by location; scores are of all\n" in text
    assert "fold_std" in text and f"{late.data.metrics['test/accuracy_fold_std']:.3f}" in text
    assert {"test/accuracy_std", "val/log_loss_std"} <= set(late.data.metrics)


def test_folds_stand_side_by_side_with_folds(folder: Path, lines: list[str]) -> None:
    found = compared_experiment(EXPERIMENT, None, None)
    assert [(variant.name, len(variant.seeds)) for variant in found.variants] == [
        ("audio_only", 2), ("late", 2), ("video_only", 1),
    ]  # fmt: skip
    assert len(found.first) == 72 and len(found.locations) == 18
    assert "Left out: 1 run(s) in other folds than the newest (folds=3)." in found.remarks
    ids = [run.info.run_id for run in runs("variant")]
    mixed = compared_runs([ids[0], ids[2]], None)
    assert any(remark.startswith("Trained on different parts of the clips: late") for remark in mixed.remarks)
    with pytest.raises(UserError, match=r"^promote=true: audio_only was trained in folds, .*; train with folds=none"):
        candidates_of(found)
    shown = run_job("compare", experiment=EXPERIMENT, output=str(folder / "page"), device="cpu")
    assert "72 test clips at 18 locations" in "\n".join(shown)
    assert "--seeds 0,1,2,3,4 --folds 3" in "\n".join(shown)  # what would settle verdicts on video_only, of one seed
    page = (folder / "page" / "report.md").read_text()
    assert "was trained in folds, so that no one model answered all clips" in page


def test_conflict_reads_folds(lines: list[str]) -> None:
    _, audio, late, video = (run.info.run_id for run in runs("variant"))
    shown = run_job("conflict", audio=audio, video=video, fused=late)
    assert shown[1].startswith("72 clips; ")


def test_each_fold_of_a_sweep_takes_the_alpha_that_its_own_validation_chooses(
    folder: Path, sweep: tuple[list[str], Run]
) -> None:
    shown, run = sweep
    table = json.loads(artifact(run, "sweep.json").read_text())
    frame = pd.DataFrame(table["data"], columns=table["columns"])
    assert frame["alpha"].tolist() == [0.2, 0.8]
    best = choose_alpha(frame[VALIDATION_COLUMNS])
    assert run.data.tags["best_alpha"] == f"{best:g}" and run.data.params["folds"] == "3"
    answers = read_course_tsv(artifact(run, "predictions/test.tsv"))
    assert evaluate(answers)["accuracy"] == pytest.approx(run.data.metrics["best/test_accuracy"])
    by_alpha = [below(alpha, "fold") for alpha in below(run, "alpha")]
    assert [len(folds) for folds in by_alpha] == [3, 3]
    for low, high in zip(*by_alpha, strict=True):
        assert low.data.params["fold"] == high.data.params["fold"]
    assert "chosen in each fold by its own validation: " in "\n".join(shown)


def test_the_report_reads_folds_and_their_sweep(folder: Path, sweep: tuple[list[str], Run]) -> None:
    made = material_of_experiment(EXPERIMENT)
    assert list(made.models) == ["audio_only", "video_only", "late"] and len(made.first) == 72
    assert made.sweep is not None and made.sweep.origin.startswith("run late alpha sweep")
    shown = run_job("report", experiment=EXPERIMENT, output=str(folder / "report"))
    assert shown and "others in each of 3 folds" in (folder / "report" / "report.md").read_text()


def test_tune_scores_a_trial_over_folds_and_the_end_on_test(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log_no_models(monkeypatch)
    shown = run_job(
        "tune", features=str(folder / "store"), variant="audio_only", trials="3", workers="1", retrain="0", folds="3",
        space="epochs=2,batch_size=16,hidden=8|16", storage=str(folder / "studies.log"), device="cpu",
    )  # fmt: skip
    assert ", mean over 3 folds" in "\n".join(shown)
    (study,) = runs("study")
    trials = [run for run in runs("trial") if run.data.tags["mlflow.parentRunId"] == study.info.run_id]
    assert study.data.params["folds"] == "3" and len(trials) == 3
    curves = set(trials[0].data.metrics)
    assert {"fold_1/val_loss", "fold_2/val_loss", "fold_3/val_loss", "val/log_loss"} <= curves
    assert not any(name.startswith("test/") for name in curves)
    (tuned,) = runs("tuned")
    assert "folds" not in tuned.data.params and "test/accuracy" in tuned.data.metrics


def test_a_job_that_was_broken_off_trains_no_fold_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    given = {"features": str(folder / "store"), "variants": "baseline", "params": FAST, "device": "cpu", "folds": "3"}
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(variant_runs, "log_folds", interrupt)
        run_job("train", **given)
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_here", lambda self, trainings: iter(()))
        run_job("train", **given)
    baseline = runs("variant")[-1]
    assert baseline.info.status == "FINISHED" and len(below(baseline, "fold")) == 3


@pytest.mark.parametrize("job", ["train", "sweep"])
def test_a_planted_leak_stops_before_any_training(folder: Path, monkeypatch: pytest.MonkeyPatch, job: str) -> None:
    before = len(runs("job"))
    monkeypatch.setattr(folds_module, "_parts", by_clip)
    with pytest.raises(UserError, match="folds=3, fold 1 of 3: leak: the location 'airport-0' is in the splits"):
        run_job(job, features=str(folder / "store"), params=FAST, device="cpu", folds="3")
    assert len(runs("job")) == before


@pytest.mark.parametrize(
    ("job", "options", "message"),
    [
        ("train", {"folds": "1"}, "folds=1: expected `none` or a whole number of at least 2"),
        ("train", {"folds": "3", "register": "true"}, "register=true: folds=3 makes 3 models of a variant"),
        ("main", {"folds": "3", "register": "true"}, "register=true: folds=3 makes 3 models of a variant"),
        ("train", {"folds": "40"}, "folds=40: 72 clips at 18 locations make at most 18"),
        ("tune", {"folds": "40"}, "folds=40: .* locations make at most"),
    ],
)
def test_mistakes_get_one_clear_line(folder: Path, job: str, options: dict[str, str], message: str) -> None:
    given = options if job == "main" else {"features": str(folder / "store"), **options}
    with pytest.raises(UserError, match=message) as caught:
        run_job(job, **given, device="cpu")
    assert "\n" not in str(caught.value)
