"""The job `ensemble`: on runs and on files; what it leaves in MLflow, and what it says to mistakes."""

import json
import os
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from avfusion.analysis.ensembles import combined
from avfusion.analysis.pairs import pair_table, score_table
from avfusion.analysis.sources import compared_experiment
from avfusion.analysis.trained import candidates_of
from avfusion.errors import UserError
from avfusion.features import FeatureStore
from avfusion.figures.style import series_colour
from avfusion.fusion import variants
from avfusion.scoring.metrics import evaluate
from avfusion.scoring.tsv import write_course_tsv
from avfusion.tracking.lookup import find_experiment, find_run, finished_runs, read_config, read_predictions, seed_runs
from avfusion.tracking.models import register
from avfusion.tracking.session import EXPERIMENT as DEFAULT
from tests.edge import run_job
from tests.stand_ins import draw_nothing, log_no_models, train_here
from tests.stores import make_store
from tests.test_ensembles import answers, scores

EXPERIMENT = "ensembles"
FAST = "epochs=4,batch_size=16,learning_rate=0.01"


@pytest.fixture(scope="module")
def store(tracking_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Three variants with two seeds but without models, and then with one seed, in an experiment."""
    folder = tmp_path_factory.mktemp("ensemble")
    make_store(folder / "store", seed=3, locations=12, separation=0.5)
    MlflowClient().create_experiment(EXPERIMENT, artifact_location=(folder / "artifacts").as_uri())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
        patch.delenv("MLFLOW_EXPERIMENT_ID", raising=False)
        draw_nothing(patch)
        train_here(patch)
        given = {"features": str(folder / "store"), "params": FAST, "device": "cpu"}
        with pytest.MonkeyPatch.context() as inner:
            log_no_models(inner)
            run_job("train", variants="audio_only,video_only", seeds="0,1", **given)
        run_job("train", variants="audio_only,video_only,late", seeds="0", **given)
        yield folder / "store"
    mlflow.set_experiment(DEFAULT)  # MLflow itself remembers the last one, whatever the environment says
    os.environ.pop("MLFLOW_EXPERIMENT_ID", None)


def job(**given: str) -> tuple[list[str], Run]:
    lines = run_job("ensemble", **given)
    (run_id,) = (line.split()[1] for line in lines if line.startswith("run "))
    return lines, MlflowClient().get_run(run_id)


def artifacts(run: Run, folder: str | None = None) -> set[str]:
    return {entry.path for entry in MlflowClient().list_artifacts(run.info.run_id, folder)}


def table(run: Run, name: str) -> pd.DataFrame:
    path = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path=f"{name}.json")
    content = json.loads(Path(path).read_text())
    return pd.DataFrame(content["data"], columns=content["columns"])


@pytest.fixture(scope="module")
def made(store: Path) -> tuple[list[str], Run]:
    return job(experiment=EXPERIMENT)


Made = tuple[list[str], Run]


def test_it_leaves_a_run_like_a_variants(made: Made) -> None:
    lines, run = made
    assert run.info.status == "FINISHED" and "mlflow.parentRunId" not in run.data.tags
    assert run.info.run_name == "ensemble" and run.data.tags["avfusion.kind"] == "variant"
    assert {"config.json", "predictions", "per_class.json", "ensemble_weights.json", "pairs.json"} <= artifacts(run)
    assert artifacts(run, "figures") == {"figures/confusion.png", "figures/ensemble_weights.png"}
    weights = table(run, "ensemble_weights").set_index("member")["weight"]
    assert set(weights.index) == {"audio_only", "video_only", "late"}
    logged = {name: run.data.metrics[f"weight/{name}"] for name in weights.index}
    assert logged == pytest.approx(weights.to_dict())
    pairs = table(run, "pairs")
    assert set(pairs["first"]) == {"ensemble"} and len(pairs) == 4
    assert run.data.tags["mlflow.runColor"] not in {series_colour(number) for number in range(len(variants()))}
    assert any(re.match(r"next     \S+ -m entrypoints\.predict --model runs:/", line) for line in lines)


def test_its_answers_are_the_weighted_product_of_its_members(made: Made, store: Path) -> None:
    _, run = made
    config = read_config(find_run(run.info.run_id))
    assert config["features"]["digest"] == FeatureStore.open(store).digest
    for split in ("val", "test"):
        members = [read_predictions(find_run(run_id), split) for run_id in config["members"].values()]
        expected = combined(members, [config["weights"][name] for name in config["members"]])
        found = read_predictions(find_run(run.info.run_id), split)
        assert found.ids == expected.ids
        np.testing.assert_allclose(found.probabilities, expected.probabilities, rtol=1e-9)
        for name, value in evaluate(expected).items():
            assert run.data.metrics[f"{split}/{name}"] == pytest.approx(value)


def test_the_logged_model_answers_as_logged(made: Made, store: Path) -> None:
    _, run = made
    logged, features = read_predictions(find_run(run.info.run_id), "test"), FeatureStore.open(store)
    ids = features.clips["id"].tolist()
    rows = [ids.index(clip) for clip in logged.ids]
    asked = pd.DataFrame(
        [{m: features.frames(m, row).astype(float).tolist() for m in ("audio", "video")} for row in rows]
    )
    model = mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/model")
    found = model.predict(asked)
    columns = [f"probability/{name}" for name in logged.classes]
    np.testing.assert_allclose(found[columns].to_numpy(float), logged.probabilities, atol=1e-5)
    assert found["scene"].tolist() == [logged.classes[decision] for decision in logged.decisions]
    alone = model.predict(asked[["audio"]])
    assert set(alone["modalities"]) == {"audio"}


def test_others_find_it_among_the_variants(
    made: Made, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for function in (pair_table, score_table):
        for name in ("compare", "ensemble"):
            monkeypatch.setattr(f"avfusion.jobs.{name}.{function.__name__}", partial(function, draws=20))
    _, run = made
    found = compared_experiment(EXPERIMENT, None, None)
    assert {variant.name for variant in found.variants} == {"audio_only", "video_only", "late", "ensemble"}
    losses = {one.name: one.loss for one in candidates_of(found)}
    assert min(losses, key=losses.__getitem__) == "ensemble"
    lines = run_job("compare", experiment=EXPERIMENT, shifts="no_audio", device="cpu", output=str(tmp_path / "page"))
    assert not any("do not repeat" in line for line in lines)
    page = (tmp_path / "page" / "report.md").read_text()
    assert "ensemble" in page and "do not repeat" not in page
    run_job("conflict", audio=run.info.run_id, video=run.info.run_id)
    run_job("report", experiment=EXPERIMENT, output=str(tmp_path / "report"))
    version = register(run.info.run_id)
    description = MlflowClient().get_model_version("avfusion", version).description
    assert description is not None and description.startswith("**Ensemble of ")
    again, _ = job(experiment=EXPERIMENT)
    assert any("Left out: 1 run(s) that are ensembles themselves." in line for line in again)


def test_several_seeds_and_members_without_models(store: Path) -> None:
    experiment, _ = find_experiment(EXPERIMENT)
    runs = [run for run in finished_runs(experiment, "variant") if run.tags.get("seeds") == "0,1"]
    lines, run = job(runs=",".join(one.id for one in runs if one.variant != "ensemble"))
    assert any(line.startswith("model    none: the run of ") and line.endswith("kept no model") for line in lines)
    seeds = seed_runs(find_run(run.info.run_id))
    assert [seed.name for seed in seeds] == ["ensemble seed 0", "ensemble seed 1"]
    accuracies = [float(read_predictions(seed, "test").right.mean()) for seed in seeds]
    assert run.data.metrics["test/accuracy"] == pytest.approx(sum(accuracies) / 2)
    assert set(table(run, "pairs")["seeds"]) == {2}
    assert any("verdicts are about the variants" in line for line in lines)


def write_folder(folder: Path) -> Path:
    for number, name in enumerate(("first", "second")):
        write_course_tsv(folder / f"{name}.tsv", answers("t", scores(number, 1.0)))
        write_course_tsv(folder / "val" / f"{name}.tsv", answers("v", scores(number + 9, 1.0)))
    lines = [f"t {number},{number % 4}-{number // 40}" for number in range(300)]
    (folder / "locations.csv").write_text("\n".join(["clip,location", *lines]) + "\n")
    return folder


def test_files_with_a_validation_set(tracking_uri: str, tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        draw_nothing(patch)
        lines, run = job(predictions=str(folder), locations=str(folder / "locations.csv"))
    assert "model    none: prediction files hold no model; give runs instead" in lines
    assert run.data.tags["avfusion.kind"] == "ensemble"
    assert set(read_config(find_run(run.info.run_id))["weights"]) == {"first", "second"}
    assert read_predictions(find_run(run.info.run_id), "val").ids == answers("v", scores(0, 1.0)).ids


def test_mistakes_are_told_in_one_line(store: Path, tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    (folder / "val" / "second.tsv").unlink()
    here = str(folder)
    mistakes: list[tuple[dict[str, str], str]] = [
        ({}, "ensemble needs one of experiment, runs and predictions, got none of them"),
        ({"experiment": "a", "predictions": here}, "got experiment and predictions"),
        ({"predictions": here, "filter": "x"}, "a filter needs an experiment"),
        ({"predictions": here, "locations": str(folder / "locations.csv")}, "no validation answers of second, .* val"),
        ({"experiment": "nowhere"}, "experiment 'nowhere' is not in"),
        ({"runs": "0" * 32}, "neither a file nor a run"),
    ]
    for given, message in mistakes:
        with pytest.raises(UserError, match=message) as caught:
            run_job("ensemble", **given)
        assert "\n" not in str(caught.value)
