"""The job `compare`: on runs and on files; what it leaves in MLflow, and what it says to mistakes."""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from mlflow import MlflowClient
from mlflow.entities import Run

from avfusion.analysis.sources import compared_experiment, compared_runs
from avfusion.analysis.trained import candidates_of, robustness_of, training_of
from avfusion.errors import UserError
from avfusion.features import FeatureStore
from avfusion.fusion import variants
from avfusion.report.cautions import settled_by
from avfusion.scoring.metrics import log_loss
from avfusion.scoring.tsv import write_course_tsv
from avfusion.tracking.lookup import LoggedRun, find_experiment, finished_runs, read_config, read_predictions, seed_runs
from avfusion.tracking.models import check_model
from avfusion.tracking.session import EXPERIMENT as DEFAULT
from avfusion.training.experiment import resolve_params
from tests.edge import run_job
from tests.stand_ins import draw_nothing, train_here
from tests.stores import make_store

EXPERIMENT = "compared"
FAST = "epochs=2,batch_size=16"
NOTHING = {"shifts": "none", "device": "cpu"}


@pytest.fixture(scope="module")
def store(tracking_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Two runs of late fusion, one of audio only, one of the baseline with two seeds."""
    folder = tmp_path_factory.mktemp("compare")
    make_store(folder / "store", seed=21, locations=12, separation=0.8)
    MlflowClient().create_experiment(EXPERIMENT, artifact_location=(folder / "artifacts").as_uri())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
        patch.delenv("MLFLOW_EXPERIMENT_ID", raising=False)
        draw_nothing(patch)
        train_here(patch)
        trainings = (("late", "0", ",alpha=0.2"), ("audio_only,late", "0", ""), ("baseline", "0,1", ""))
        for names, seeds, more in trainings:
            run_job(
                "train", features=str(folder / "store"), variants=names, seeds=seeds, params=FAST + more, device="cpu"
            )
        yield folder / "store"
    mlflow.set_experiment(DEFAULT)  # MLflow itself remembers the last one, whatever the environment says
    os.environ.pop("MLFLOW_EXPERIMENT_ID", None)  # which that sets, and other tests would take for the user's


def job(folder: Path, **given: str) -> tuple[list[str], Run]:
    lines = run_job("compare", **{**NOTHING, "output": str(folder), **given})
    client = MlflowClient()
    experiment, _ = find_experiment(EXPERIMENT)
    (newest,) = client.search_runs([experiment], "tags.`avfusion.kind` = 'job'", max_results=1)
    assert newest.info.run_name == "compare"
    return lines, newest


def table(run: Run, name: str) -> pd.DataFrame:
    path = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path=f"{name}.json")
    content = json.loads(Path(path).read_text())
    return pd.DataFrame(content["data"], columns=content["columns"])


@pytest.fixture(scope="module")
def compared(store: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Run, Path]:
    folder = tmp_path_factory.mktemp("page")
    lines, run = job(folder, experiment=EXPERIMENT, shifts="all")
    return lines, run, folder


Compared = tuple[list[str], Run, Path]


def test_all_variants_stand_side_by_side_in_one_run(compared: Compared) -> None:
    _, run, _ = compared
    assert run.info.status == "FINISHED" and "mlflow.parentRunId" not in run.data.tags
    names = {"late", "audio_only", "baseline"}
    for name in ("scores", "calibration", "robustness"):
        assert set(table(run, name)["variant"]) == names
    pairs = table(run, "pairs")
    assert len(pairs) == 3 * 4 and set(pairs["verdict"]) <= {"better", "worse", "cannot tell"}
    assert len(table(run, "mcnemar")) == 3
    assert {f"accuracy/{name}" for name in names} <= set(run.data.metrics)
    files = {entry.path for entry in MlflowClient().list_artifacts(run.info.run_id)}
    assert {"report.html", "report.md", "figures", "pairs.json"} <= files


def test_seeds_are_averaged_and_their_spread_is_shown(compared: Compared) -> None:
    scores = table(compared[1], "scores").set_index(["variant", "score"])
    run = next(r for r in finished_runs(find_experiment(EXPERIMENT)[0], "variant") if r.variant == "baseline")
    accuracies = [float(read_predictions(leaf, "test").right.mean()) for leaf in seed_runs(run)]
    assert scores.loc[("baseline", "accuracy"), "value"] == pytest.approx(sum(accuracies) / 2)
    assert scores["seeds"].xs("accuracy", level="score").to_dict() == {"late": 1, "audio_only": 1, "baseline": 2}


def test_temperatures_come_from_validation_and_do_not_worsen_it(compared: Compared) -> None:
    calibration = table(compared[1], "calibration")
    assert (calibration["val_log_loss_scaled"] <= calibration["val_log_loss"]).all()
    assert calibration["temperature"].notna().all()


def test_curves_begin_at_the_scores_of_the_runs(compared: Compared) -> None:
    curves, scores = table(compared[1], "robustness"), table(compared[1], "scores")
    clean = curves[curves["severity"] == 0].groupby("variant")["accuracy"].first()
    logged = scores[scores["score"] == "accuracy"].set_index("variant")["value"]
    assert clean["late"] == logged["late"] and clean["audio_only"] == logged["audio_only"]
    assert "do not repeat" not in (compared[2] / "report.md").read_text()


def test_the_page_shows_verdicts_forest_calibration_and_robustness(compared: Compared) -> None:
    lines, _, folder = compared
    page, text = (folder / "report.html").read_text(), (folder / "report.md").read_text()
    for part in ("Figure A", "Figure B", "Figure C", "Table A", "Table E4", "cannot tell", "invariant", "McNemar"):
        assert part in page and part in text.replace("\\", "")
    assert "Synthetic scenes, untrained embedder: these scores say nothing about real scenes" in page
    assert "Left out: 1 older run(s) of the same variants" in text
    assert page.count("data:image/png") == 3
    spoken = "\n".join(lines)
    assert "locations; 95 % intervals" in spoken and "cannot tell apart" in spoken
    assert str(folder / "report.html") in spoken and "mlflow ui" in spoken
    settings = "trained with batch_size = 16 (default 128), epochs = 2 (default 100)."
    assert re.search(rf"note +late is run late \([0-9a-f]{{8}}\), {re.escape(settings)}", spoken)
    assert settings in re.sub(r"\\", "", text)


def test_with_one_seed_verdicts_are_about_these_networks_and_the_command_that_settles_it_is_named(
    compared: Compared, store: Path
) -> None:
    lines, run, folder = compared
    command = (
        f"MLFLOW_EXPERIMENT_NAME={EXPERIMENT} python -m entrypoints.train --features {store} "
        "--variants late,audio_only --seeds 0,1,2,3,4 --params batch_size=16,epochs=2"
    )
    said = "late and audio_only were trained with one seed: a verdict on them is about these two trained networks only."
    for text in ("\n".join(lines), run.data.tags["mlflow.note.content"], (folder / "report.html").read_text()):
        shown = re.sub(r"\\(.)", r"\1", text)  # as Markdown shows it
        assert said in shown
        assert command in shown
    assert run.data.tags["verdicts_about"] == "these two trained networks only"
    assert set(table(run, "pairs")["seeds"]) == {1}


def test_a_filter_and_ids_choose_runs(store: Path, tmp_path: Path) -> None:
    _, run = job(tmp_path, experiment=EXPERIMENT, filter="params.variant = 'late'")
    assert table(run, "pairs")[["first", "second"]].to_numpy()[0].tolist() == ["late alpha=0.2", "late alpha=0.5"]
    assert "Not asked for: shifts=none" in (tmp_path / "report.html").read_text()
    known = finished_runs(find_experiment(EXPERIMENT)[0], "variant")
    ids = [entry.id for entry in known if entry.variant in ("audio_only", "baseline")]
    found = compared_runs(ids, None)
    assert settled_by(found).startswith(f"MLFLOW_EXPERIMENT_NAME={EXPERIMENT} python -m")
    assert {entry.name: len(entry.seeds) for entry in found.variants} == {"audio_only": 1, "baseline": 2}


def test_files_with_a_list_of_locations(store: Path, tmp_path: Path) -> None:
    """The name of one of the files is in Latin-1, no UTF-8."""
    known = finished_runs(find_experiment(EXPERIMENT)[0], "variant")
    leaves = {run.variant: seed_runs(run)[0] for run in known}
    for name, leaf in leaves.items():
        write_course_tsv(tmp_path / "files" / f"{name}.tsv", read_predictions(leaf, "test"))
    (tmp_path / "files" / "baseline.tsv").rename(tmp_path / "files" / "r\udce9ference.tsv")
    listed = read_predictions(leaves["late"], "test").ids
    (tmp_path / "list.csv").write_text("file,location\n" + "".join(f"{clip}-a.wav,{clip[:-2]}\n" for clip in listed))
    lines, run = job(
        tmp_path / "page", predictions=str(tmp_path / "files"), locations=str(tmp_path / "list.csv"), shifts="all"
    )
    assert run.data.params["independent_locations"] == str(len({clip[:-2] for clip in listed}))
    page = (tmp_path / "page" / "report.html").read_text()
    assert "Prediction files hold no model; compare runs instead" in page
    assert "No validation answers are known" in page
    assert "r\\xe9ference" in page and "r\\xe9ference" in "\n".join(lines)


def test_a_city_that_holds_everything_cannot_be_left_out(store: Path) -> None:
    compared = compared_experiment(EXPERIMENT, None, None)
    found = robustness_of(compared, [], ("all",), None, torch.device("cpu"))  # every clip is named as of one town
    assert found.cities is None and "Cannot be left out: without town" in found.no_cities


def test_cities_of_a_list_are_left_out_one_by_one(store: Path, tmp_path: Path) -> None:
    clips = FeatureStore.open(store).clips
    cities = np.where(clips["location"].str[-1].isin(list("02468")), "lyon", "nice")
    clips.assign(city=cities)[["id", "location", "city"]].to_csv(tmp_path / "list.csv", index=False)
    _, run = job(tmp_path, experiment=EXPERIMENT, locations=str(tmp_path / "list.csv"), cities="all")
    found = table(run, "held_out_cities")
    assert found[["city", "variant"]].apply(tuple, axis=1).nunique() == len(found) == 2 * 3
    page = (tmp_path / "report.html").read_text()
    assert "Table H" in page and "Table I" in page and "nice" in page


def test_runs_from_before_a_hyperparameter_are_trained_with_its_default(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def older(run: LoggedRun) -> dict[str, Any]:
        config = read_config(run)
        del config["params"]["precision"]
        return config

    monkeypatch.setattr("avfusion.analysis.sources.read_config", older)
    trainings = [training_of(variant) for variant in compared_experiment(EXPERIMENT, None, None).variants]
    assert {made.params["precision"] for made in trainings} == {"float32"}
    assert {made.params["epochs"] for made in trainings} == {2}


def test_the_best_on_validation_becomes_the_champion(store: Path, tmp_path: Path) -> None:
    known = {run.variant: run for run in reversed(finished_runs(find_experiment(EXPERIMENT)[0], "variant"))}
    losses = {
        name: float(np.mean([log_loss(read_predictions(leaf, "val")) for leaf in seed_runs(run)]))
        for name, run in known.items()
    }
    best = min(losses, key=losses.__getitem__)
    lines, run = job(tmp_path, experiment=EXPERIMENT, promote="true")
    champion = MlflowClient().get_model_version_by_alias("avfusion", "champion")
    assert champion.run_id == known[best].id == run.data.tags["promoted_run"]
    assert run.data.tags["promoted_version"] == str(champion.version) and run.data.params["asked/promote"] == "true"
    said = f"lowest mean validation log loss: {best} {losses[best]:.4f}, "
    assert run.data.tags["promoted_because"].startswith(said)
    told = "\n".join(lines)
    assert f"promoted {best}, run {best} ({champion.run_id[:8]}): version {champion.version} of avfusion" in told
    assert said in told and "models:/avfusion@champion" in told


def test_of_several_seeds_the_model_is_in_their_common_run(store: Path) -> None:
    known = finished_runs(find_experiment(EXPERIMENT)[0], "variant")
    baseline = next(run for run in known if run.variant == "baseline")
    found = compared_runs([run.id for run in known if run.variant in ("late", "baseline")], None)
    candidate = next(one for one in candidates_of(found) if one.name == "baseline")
    assert candidate.run_id == baseline.id and check_model(baseline.id)
    # Of the clips that one variant did not answer, none counts for the others.
    first, *others = found.variants
    answers = tuple(predictions.take(np.arange(5)) for predictions in first.validation)
    fewer = replace(found, variants=(replace(first, validation=answers), *others))
    kept = [
        log_loss(predictions.take(np.flatnonzero(np.isin(predictions.ids, answers[0].ids))))
        for predictions in others[0].validation
    ]
    assert candidates_of(fewer)[1].loss == pytest.approx(np.mean(kept))


def test_a_winner_without_a_model_is_told_of_before_the_work(store: Path, tmp_path: Path) -> None:
    baseline = next(r for r in finished_runs(find_experiment(EXPERIMENT)[0], "variant") if r.variant == "baseline")
    ids = ",".join(leaf.id for leaf in seed_runs(baseline))
    with pytest.raises(UserError, match=r"promote=true: baseline .* is the best .*, but run baseline seed .* no model"):
        run_job("compare", **{**NOTHING, "output": str(tmp_path / "page"), "runs": ids}, promote="true")
    assert not (tmp_path / "page").exists()


def test_trainings_are_those_of_the_runs(store: Path) -> None:
    late = next(one for one in compared_experiment(EXPERIMENT, None, None).variants if one.name == "late")
    (expected,) = resolve_params([variants()["late"]], {"epochs": "2", "batch_size": "16"})
    assert training_of(late).params == expected and training_of(late).seed == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "needs one of experiment, runs and predictions, got none of them: give experiment=NAME"),
        ({"experiment": "a", "runs": "b"}, "got experiment and runs"),
        ({"runs": "a", "filter": "x = 1"}, "filter=x = 1: a filter needs an experiment"),
        ({"experiment": EXPERIMENT, "filter": "nonsense"}, "filter=nonsense: MLflow does not understand it"),
        ({"experiment": EXPERIMENT, "filter": "params.alpha = '0.2'"}, "has 1 finished run"),
        ({"experiment": "nowhere"}, "experiment 'nowhere' is not in"),
        ({"runs": "feed,beef"}, "'feed' is neither a file nor a run"),
        ({"predictions": "/nowhere"}, "/nowhere: no such folder; expected a folder of prediction files"),
        ({"experiment": EXPERIMENT, "shifts": "fog"}, "unknown shift 'fog'"),
        ({"experiment": EXPERIMENT, "cities": "rome"}, "unknown city 'rome'; choose from: all, none, town"),
        ({"experiment": EXPERIMENT, "locations": "/no.csv"}, "/no.csv: no such file"),
        ({"experiment": EXPERIMENT, "device": "tpu"}, "'--device': 'tpu' is not one of"),
        ({"experiment": EXPERIMENT, "promote": "yes"}, "promote=yes: expected true or false"),
        ({"predictions": "/nowhere", "promote": "true"}, "promote=true: predictions=/nowhere is a folder of files"),
    ],
)
def test_mistakes_get_one_clear_line(store: Path, tmp_path: Path, given: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        run_job("compare", **{**NOTHING, "output": str(tmp_path), **given})
    assert "\n" not in str(caught.value)
