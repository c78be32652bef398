"""The jobs `train` and `sweep`, on small stores: what they leave in MLflow, and what they say to mistakes."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import DatasetInput, Run
from mlflow.exceptions import MlflowException

from avfusion.errors import UserError
from avfusion.features import MODALITIES, FeatureStore
from avfusion.fusion.late import LateFusion
from avfusion.fusion.lstm import LSTM
from avfusion.scoring.metrics import evaluate
from avfusion.scoring.tsv import read_course_tsv
from avfusion.training.alpha_sweep import STUDY_ALPHAS, VALIDATION_COLUMNS, choose_alpha
from avfusion.training.split_features import SplitFeatures
from tests.edge import run_job
from tests.processors import without_bf16
from tests.stand_ins import draw_nothing, log_no_models
from tests.stores import CLASSES, make_store

FAST = "epochs=3,batch_size=16"


def runs(kind: str, store: Path) -> list[Run]:
    """The runs of this kind whose features are `store`, oldest first."""
    client = MlflowClient()
    experiment = client.get_experiment_by_name("avfusion")
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id], f"tags.`avfusion.kind` = '{kind}'")
    digest = json.loads((store / "store.json").read_text())["digest"]
    used = [[entry.dataset.digest for entry in datasets(run)] for run in found]
    return [run for run, digests in reversed(list(zip(found, used, strict=True))) if digest[:36] in digests]


def datasets(run: Run) -> list[DatasetInput]:
    """The dataset inputs of a run."""
    return list(run.inputs.dataset_inputs) if run.inputs else []


def artifact(run: Run, name: str) -> Path:
    return Path(mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path=name))


@pytest.fixture(scope="module")
def trained(tracking_uri: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str], list[Run]]:
    store = tmp_path_factory.mktemp("train") / "store"
    make_store(store, seed=1)
    lines = run_job("train", features=str(store), variants="audio_only,late", seeds="0", params=FAST, device="cpu")
    return store, lines, runs("variant", store)


Trained = tuple[Path, list[str], list[Run]]


def test_each_variant_is_a_finished_run_of_the_top_level(trained: Trained) -> None:
    _, _, found = trained
    assert [run.info.run_name for run in found] == ["audio_only", "late"]
    for run in found:
        assert run.info.status == "FINISHED"
        assert "mlflow.parentRunId" not in run.data.tags
        assert run.data.tags["data"] == "toys (synthetic)"
        assert run.data.tags["embedder"] == "toy (untrained)"
        assert len(run.data.tags["mlflow.source.git.commit"]) == 40


def test_a_run_holds_configuration_curves_and_scores(trained: Trained) -> None:
    _, _, (_, late) = trained
    assert late.data.params["alpha"] == "0.5"
    assert late.data.params["learning_rate"] == "0.0001"
    assert late.data.params["epochs"] == "3"
    for name in ("accuracy", "log_loss", "macro_f1", "class_accuracy", "class_log_loss"):
        assert {f"val/{name}", f"test/{name}"} <= set(late.data.metrics)
    assert {f"test/f1/{scene}" for scene in CLASSES} <= set(late.data.metrics)
    curve = MlflowClient().get_metric_history(late.info.run_id, "val_loss")
    assert sorted(point.step for point in curve) == [1, 2, 3]
    config = json.loads(artifact(late, "config.json").read_text())
    assert config["params"]["dropout"] == 0.2
    assert config["features"]["provenance"]["embedder"]["name"] == "toy"


@pytest.mark.parametrize("hardware", [True, False])
def test_bf16_where_it_is_slow_is_told(
    trained: Trained, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, hardware: bool
) -> None:
    draw_nothing(monkeypatch)
    log_no_models(monkeypatch)
    monkeypatch.setattr("avfusion.system.device.cpu_has_amx", lambda: hardware)
    given = "epochs=1,batch_size=16,precision=bf16"
    run_job("train", features=str(trained[0]), variants="late", seeds="0", params=given, device="cpu")
    assert ("this hardware does not multiply bf16" in caplog.text) is not hardware


def test_bf16_that_the_machine_lacks_is_told_before_any_work(
    trained: Trained, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    without_bf16(monkeypatch, LSTM)
    before = len(runs("variant", trained[0]))
    given = {"variants": "audio_only,lstm", "seeds": "0", "params": f"{FAST},precision=bf16", "device": "cpu"}
    message = re.escape(
        "precision=bf16: this processor cannot train lstm in bf16 (could not create a primitive descriptor); "
        "use precision=float32"
    )
    with pytest.raises(UserError, match=f"^{message}$"):
        run_job("train", features=str(trained[0]), **given)
    with pytest.raises(UserError, match=message):
        run_job(
            "main",
            data=str(tmp_path / "unread.csv"),
            embedder="demo",
            weights="none",
            precision="float32",
            output="none",
            **given,
        )
    assert len(runs("variant", trained[0])) == before


def test_sweeping_in_bf16_is_tried_first(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    without_bf16(monkeypatch, LateFusion)
    with pytest.raises(UserError, match="this processor cannot train late in bf16"):
        run_job(
            "sweep",
            features=str(trained[0]),
            alphas="0.2,0.8",
            seeds="0",
            params="precision=bf16",
            workers="1",
            device="cpu",
        )


def test_a_run_holds_tables_figures_and_predictions(trained: Trained) -> None:
    _, _, (_, late) = trained
    table = json.loads(artifact(late, "per_class.json").read_text())
    assert table["columns"] == ["class", "precision", "recall", "f1", "support"]
    for name in ("figures/confusion.png", "figures/loss.png"):
        assert artifact(late, name).read_bytes().startswith(b"\x89PNG")
    predictions = read_course_tsv(artifact(late, "predictions/test.tsv"))
    assert {f"test/{name}": value for name, value in evaluate(predictions).items()}.items() <= late.data.metrics.items()
    assert artifact(late, "predictions/val.tsv").is_file()
    seconds = artifact(late, "predictions/test_1s.tsv").read_text().splitlines()
    assert seconds[0].split("\t")[:2] == ["filename_audio_video", "scene_label"]
    assert len(seconds) == 1 + 10 * len(predictions)


def test_a_run_describes_itself(trained: Trained) -> None:
    _, _, (_, late) = trained
    note = late.data.tags["mlflow.note.content"]
    accuracy = late.data.metrics["test/accuracy"]
    assert note.startswith(f"**late fusion**: test accuracy {accuracy:.3f}, log loss ")
    assert "on toys (synthetic), features: toy (untrained), seed 0" in note
    assert f"| {late.data.metrics['test/accuracy']:.3f} | {late.data.metrics['test/log_loss']:.3f} |" in note


def test_the_summary_names_variants_scores_and_the_ui(trained: Trained) -> None:
    _, lines, found = trained
    text = "\n".join(lines)
    assert "seeds    1: the scores are of these trained networks only; seeds=0,1,2,3,4 would tell" in text
    assert "toys (synthetic), features: toy (untrained)" in text
    assert f"{found[1].data.metrics['test/accuracy']:.3f}" in text
    assert "mlflow ui --backend-store-uri sqlite:///" in text
    experiment = MlflowClient().get_experiment_by_name("avfusion")
    assert experiment is not None and "| late |" in experiment.tags["mlflow.note.content"]


def test_the_splits_are_dataset_inputs_of_their_own(trained: Trained) -> None:
    store, _, (_, late) = trained
    inputs = {entry.tags[0].value: entry.dataset for entry in datasets(late)}
    assert list(inputs) == ["features", "training", "validation", "test"]
    counts = {context: json.loads(dataset.profile or "") for context, dataset in inputs.items()}
    data = SplitFeatures(FeatureStore.open(store))
    for context, split in (("training", "train"), ("validation", "val"), ("test", "test")):
        clips = data.store.clips.iloc[data.rows(split)]
        assert counts[context] == {"clips": len(clips), "locations": clips["location"].nunique()}
    assert counts["features"]["clips"] == len(data.store.clips) == sum(counts[c]["clips"] for c in list(inputs)[1:])
    assert len({dataset.digest for dataset in inputs.values()}) == 4


def test_scores_are_tied_to_the_model_and_the_clips_that_they_are_of(trained: Trained) -> None:
    _, _, (_, late) = trained
    digests = {entry.dataset.name: entry.dataset.digest for entry in datasets(late)}
    (model,) = MlflowClient().search_logged_models([late.info.experiment_id], f"source_run_id = '{late.info.run_id}'")
    tied = {metric.key: metric for metric in model.metrics or []}
    for name, split in (("test/accuracy", "test"), ("test_1s/log_loss", "test"), ("val/log_loss", "val")):
        assert tied[name].value == late.data.metrics[name]
        assert tied[name].dataset_name == f"store {split}" and tied[name].dataset_digest == digests[f"store {split}"]


def test_the_models_example_is_answered(trained: Trained) -> None:
    for run in trained[2]:
        model = mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/model")
        assert model.predict(model.input_example)["scene"][0] in CLASSES


def test_the_logged_model_answers_like_the_run(trained: Trained) -> None:
    store, _, (audio_only, late) = trained
    features = FeatureStore.open(store)
    predictions = read_course_tsv(artifact(late, "predictions/test.tsv"))
    rows = [features.clips["id"].tolist().index(name) for name in predictions.ids]
    request = pd.DataFrame(
        {m: [features.frames(m, row).astype(float).tolist() for row in rows] for m in ("audio", "video")}
    )
    answers = mlflow.pyfunc.load_model(f"runs:/{late.info.run_id}/model").predict(request)
    assert answers["scene"].tolist() == [predictions.classes[d] for d in predictions.decisions]
    np.testing.assert_allclose(
        answers[[f"probability/{name}" for name in predictions.classes]], predictions.probabilities, atol=1e-4
    )
    alone = mlflow.pyfunc.load_model(f"runs:/{audio_only.info.run_id}/model").predict(request[["audio"]])
    assert len(alone) == len(rows)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (
            {"video": [[[0.0] * 8]]},
            "no sound given; late needs sound, and this model has no companion for pictures alone",
        ),
        ({"audio": [[[0.0] * 8]], "video": [[[0.0] * 7]]}, r"`video` has shape \[1, 7\]; expected .*\[T, 8\]"),
        ({"audio": [[[0.0] * 8]], "video": [[[float("nan")] * 8]]}, "`video` holds values that are not finite"),
    ],
)
def test_the_logged_model_refuses_what_it_cannot_use(
    trained: Trained, request_: dict[str, object], message: str
) -> None:
    model = mlflow.pyfunc.load_model(f"runs:/{trained[2][1].info.run_id}/model")
    with pytest.raises(MlflowException, match=message) as caught:
        model.predict(pd.DataFrame(request_))
    assert caught.value.error_code == "INVALID_PARAMETER_VALUE"  # which the scoring server answers with 400


def test_what_a_variant_says_beside_its_answers_is_logged_and_served(tracking_uri: str, tmp_path: Path) -> None:
    """And clips that are mixed in training have no training accuracy."""
    store = make_store(tmp_path / "store", seed=5)
    given = {"variants": "audio_only,evidential", "seeds": "0", "params": f"{FAST},mixup=0.2", "device": "cpu"}
    run_job("train", features=str(store.path), **given)
    _, run = runs("variant", store.path)
    table = json.loads(artifact(run, "diagnostics.json").read_text())
    by_class = pd.DataFrame(table["data"], columns=table["columns"]).set_index(["diagnostic", "class"])["mean"]
    clips = pd.read_csv(artifact(run, "diagnostics.csv"), index_col="clip")
    assert artifact(run, "figures/diagnostics.png").read_bytes().startswith(b"\x89PNG")
    for name in ("uncertainty", "uncertainty_audio", "uncertainty_video"):
        assert run.data.metrics[f"test/{name}"] == pytest.approx(clips[name].mean())
        for scene in CLASSES:
            mean = clips[name][clips.index.str.startswith(scene)].mean()
            assert run.data.metrics[f"test/{name}/{scene}"] == pytest.approx(mean)
            assert by_class[name, scene] == pytest.approx(mean, abs=1e-4)
    assert "train_loss" in run.data.metrics and "train_accuracy" not in run.data.metrics

    row = store.clips["id"].tolist().index(clips.index[0])
    sound, picture = (store.frames(m, row).astype(float).tolist() for m in MODALITIES)
    served = mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/model")
    answers = served.predict(pd.DataFrame({"audio": [sound, sound], "video": [picture, None]}))
    np.testing.assert_allclose(answers.loc[0, list(clips.columns)].astype(float), clips.iloc[0], rtol=1e-4)
    assert [answers.loc[1, name] for name in clips.columns] == [None] * 3
    assert answers["modalities"].tolist() == ["audio+video", "audio"]


def test_several_seeds_are_nested_and_averaged(
    tracking_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_nothing(monkeypatch)
    make_store(tmp_path / "store", seed=2)
    run_job("train", features=str(tmp_path / "store"), variants="early", seeds="3,4", params=FAST, device="cpu")
    (parent,), seeds = runs("variant", tmp_path / "store"), runs("seed", tmp_path / "store")
    assert [run.data.tags["mlflow.parentRunId"] for run in seeds] == [parent.info.run_id] * 2
    values = [run.data.metrics["test/log_loss"] for run in seeds]
    assert parent.data.metrics["test/log_loss"] == pytest.approx(np.mean(values))
    assert parent.data.metrics["test/log_loss_std"] == pytest.approx(np.std(values, ddof=1))
    assert parent.data.tags["seeds"] == "3,4"
    best = min(seeds, key=lambda run: run.data.metrics["val/log_loss"])
    assert parent.data.tags["model_seed"] == best.data.params["seed"]
    query = f"source_run_id = '{parent.info.run_id}'"
    (model,) = MlflowClient().search_logged_models([parent.info.experiment_id], query)
    tied = {metric.key: (metric.value, metric.run_id) for metric in model.metrics or []}
    assert tied["test/log_loss"] == (best.data.metrics["test/log_loss"], best.info.run_id)
    client = MlflowClient()
    for name, points in (("test/log_loss", 1), ("val_loss", 3)):  # that they were tied adds no point
        assert len(client.get_metric_history(best.info.run_id, name)) == points
    curves = [client.get_metric_history(run.info.run_id, "val_loss") for run in (parent, best)]
    assert [point.value for point in curves[0]] == [point.value for point in curves[1]]
    note = parent.data.tags["mlflow.note.content"]
    for run in seeds:
        address = f"#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}?workflowType=machine_learning"
        assert f"[early seed {run.data.params['seed']}]({address})" in note
        assert "Part of [early](#/experiments/" in run.data.tags["mlflow.note.content"]


def test_a_sweep_trains_each_alpha_and_chooses_on_validation(tracking_uri: str, tmp_path: Path) -> None:
    make_store(tmp_path / "store", seed=3)
    lines = run_job(
        "sweep", features=str(tmp_path / "store"), alphas="0.2,0.8", seeds="0,1", params=FAST, workers="2", device="cpu"
    )
    (sweep,) = runs("sweep", tmp_path / "store")
    table = json.loads(artifact(sweep, "sweep.json").read_text())
    frame = pd.DataFrame(table["data"], columns=table["columns"])
    assert frame[["alpha", "seed"]].to_numpy().tolist() == [[0.2, 0], [0.2, 1], [0.8, 0], [0.8, 1]]
    best = choose_alpha(frame[VALIDATION_COLUMNS])
    assert sweep.data.tags["best_alpha"] == f"{best:g}"
    assert f"best alpha by validation accuracy: {best:g}" in "\n".join(lines)
    assert artifact(sweep, "figures/alpha.png").is_file() and artifact(sweep, "figures/confusion.png").is_file()
    single = run_job(
        "train", features=str(tmp_path / "store"), variants="late", seeds="0", params=f"{FAST},alpha=0.2", device="cpu"
    )
    assert single
    (late,) = runs("variant", tmp_path / "store")
    assert late.data.metrics["test/log_loss"] == pytest.approx(frame["test_log_loss"][0], rel=1e-4)


def test_alpha_is_chosen_from_validation_alone() -> None:
    table = pd.DataFrame(
        {
            "alpha": [0.1, 0.1, 0.5, 0.5, 0.9, 0.9],
            "seed": [0, 1] * 3,
            "val_accuracy": [0.8, 0.6, 0.7, 0.7, 0.5, 0.5],
            "val_log_loss": [0.6, 0.6, 0.5, 0.5, 0.1, 0.1],
        }
    )
    assert choose_alpha(table) == 0.5
    with pytest.raises(ValueError, match=r"from .* alone"):
        choose_alpha(table.assign(test_accuracy=1.0))


def test_the_study_alphas() -> None:
    assert len(STUDY_ALPHAS) == 17
    np.testing.assert_allclose(STUDY_ALPHAS, np.arange(10, 91, 5) / 100)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": "none"}, "name the feature store that extract wrote"),
        ({"features": "missing"}, "feature store not found: /.*missing"),
        ({"variants": "latte"}, "unknown variant 'latte'; choose from: all, audio_only"),
        ({"params": "alpha=1.5"}, r"alpha=1.5: expected a number in \[0, 1\]"),
        ({"params": "alfa=0.5"}, "unknown hyperparameter 'alfa'; choose from: alpha, balance, batch_size"),
        ({"seeds": "0,0"}, "seeds=0,0: expected different whole numbers"),
        ({"device": "tpu"}, "'--device': 'tpu' is not one of 'auto', 'cpu', 'cuda'"),
    ],
)
def test_mistakes_get_one_clear_line(tmp_path: Path, changes: dict[str, str], message: str) -> None:
    make_store(tmp_path / "store")
    given = {"features": str(tmp_path / "store"), "variants": "late", "seeds": "0", "params": "none", "device": "cpu"}
    with pytest.raises(UserError, match=message) as caught:
        run_job("train", **{**given, **changes})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "job",
    [
        lambda **given: run_job("train", **given, variants="late", seeds="0", params=FAST, device="cpu"),
        lambda **given: run_job("sweep", **given, alphas="0.5", seeds="0", params=FAST, workers="1", device="cpu"),
        lambda **given: run_job("export", **given, output="exported"),
    ],
    ids=["train", "sweep", "export"],
)
def test_a_store_that_was_changed_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, job: Callable[..., list[str]]
) -> None:
    monkeypatch.chdir(tmp_path)
    clips = make_store(tmp_path / "store").path / "clips.csv"
    clips.write_text(clips.read_text().replace("0,bus,", "0,park,", 1))
    with pytest.raises(UserError, match="store was changed: its content has digest"):
        job(features="store")
    assert [path.name for path in tmp_path.iterdir()] == ["store"]
