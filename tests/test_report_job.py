"""The job `report` and its material from MLflow runs."""

from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient

from avfusion.errors import UserError
from avfusion.features import FeatureStore
from avfusion.report.data_section import data_section
from avfusion.report.document import Table
from avfusion.report.gathering import material_of_experiment
from avfusion.report.material import Material
from avfusion.scoring.metrics import accuracy
from avfusion.tracking.lookup import LoggedRun, find_experiment, finished_runs, read_predictions, read_table, seed_runs
from tests.edge import run_job
from tests.stand_ins import draw_nothing
from tests.study_runs import EXPERIMENT, study_runs


@pytest.fixture(scope="module")
def store(tracking_uri: str, tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    return FeatureStore.open(study_runs(tmp_path_factory.getbasetemp() / "study"))


@pytest.fixture(scope="module")
def made(store: FeatureStore) -> Material:
    return material_of_experiment(EXPERIMENT)


def read_locations(material: Material, run: LoggedRun) -> list[str]:
    """The locations of a run's validation clips, as its feature store has them."""
    assert material.store is not None
    clips = material.store.clips.set_index("id")["location"]
    return [str(clips[clip]) for clip in read_predictions(run, "val").ids]


def data_table(material: Material) -> Table:
    (found,) = [block for block in data_section(material).blocks if isinstance(block, Table) and block.key == "Data"]
    return found


def test_the_newest_run_of_each_variant_on_the_newest_features(made: Material, store: FeatureStore) -> None:
    assert list(made.models) == ["audio_only", "video_only", "baseline", "late"]
    runs = finished_runs(find_experiment(EXPERIMENT)[0], "variant")
    late = next(run for run in runs if run.params["alpha"] == "0.5")  # the newest late has alpha 0.9
    assert made.models["late"].origin == late.title
    expected = [read_predictions(run, "test") for run in seed_runs(late)]
    assert made.models["late"].metrics["accuracy"] == pytest.approx(np.mean([accuracy(p) for p in expected]))
    assert made.remarks == ("Left out: 1 run(s) on other features than those of the newest.",)
    assert made.models["late"].remarks == "batch_size = 16 (default 128), epochs = 2 (default 100)"


def test_what_the_data_were(made: Material, store: FeatureStore) -> None:
    facts = {row[0].text: row[1].text for row in data_table(made).rows}
    assert (facts["dataset"], facts["synthetic scenes"]) == ("toys (synthetic)", "yes")
    assert (facts["embedder"], facts["embedder trained?"]) == ("toy", "no: its weights are random")
    n_test = len(made.first)
    assert int(facts["training clips"]) + int(facts["validation clips"]) + n_test == len(store.clips)
    assert made.clip_locations is not None and made.clip_locations.origin == "the feature store"
    assert len(made.clip_locations.in_order(made.first.ids)) == n_test
    assert made.note == "synthetic scenes, untrained embedder"
    assert made.not_tau[0] == "the scenes are synthetic"


def test_the_sweep_comes_from_its_own_run(made: Material) -> None:
    (run,) = finished_runs(find_experiment(EXPERIMENT)[0], "sweep")
    assert made.sweep is not None
    table = read_table(run, "sweep")
    assert made.sweep.records.equals(table)
    assert made.sweep.best_alpha == float(run.tags["best_alpha"])
    assert made.sweep.answers.ids == made.first.ids
    chosen = table[table["alpha"] == made.sweep.best_alpha].iloc[0]
    assert accuracy(made.sweep.answers) == pytest.approx(chosen["test_accuracy"])
    assert made.sweep.history.columns.tolist() == ["epoch", "train_loss", "val_loss"]
    validation = made.sweep.validation
    assert validation is not None and list(validation.right) == [0.25, 0.5]
    for alpha, right in validation.right.items():
        assert right.shape == (2, len(validation.locations.members))
        known = table[table["alpha"] == alpha].sort_values("seed")["val_accuracy"]
        assert right.mean(axis=1) == pytest.approx(known.to_numpy())
    assert set(validation.locations.names) == set(read_locations(made, run))


def test_the_job_writes_and_logs_the_page(made: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw_nothing(monkeypatch)
    lines = run_job("report", experiment=EXPERIMENT, predictions="none", output=str(tmp_path / "report"))
    assert f"report   {tmp_path / 'report' / 'report.html'}" in lines
    text = "\n".join(lines)
    row = next(line.split() for line in lines if line.strip().startswith("baseline"))
    assert (row[-3], row[-1]) == ("0.809", "0.535") and "the study's are for reference only" in text
    assert "differs" not in text  # the data are not the study's
    assert "the study's claims (about these data, not about the study)" in text
    client = MlflowClient()
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    run = client.search_runs(experiments, order_by=["attributes.start_time DESC"], max_results=1)[0]
    names = {entry.path for entry in client.list_artifacts(run.info.run_id)}
    assert names == {"report.html", "report.md", "figures"}
    page = (tmp_path / "report" / "report.html").read_text()
    assert "Published values are shown for reference only" in page
    assert "Not in this experiment: flatten." in page


@pytest.mark.parametrize(
    ("experiment", "predictions", "message"),
    [
        ("none", "none", "needs one of experiment and predictions, got neither: give experiment=NAME"),
        ("x", "y", "got both"),
        ("no such", "none", f"experiment 'no such' is not in .*{EXPERIMENT}"),
        ("empty", "none", "experiment 'empty' has no finished run of a variant; train some first"),
        ("none", "/nowhere", "/nowhere: no such folder; expected a folder of prediction files"),
    ],
)
def test_mistakes_get_one_clear_line(store: FeatureStore, experiment: str, predictions: str, message: str) -> None:
    if experiment == "empty":
        MlflowClient().create_experiment("empty")
    with pytest.raises(UserError, match=message) as caught:
        run_job("report", experiment=experiment, predictions=predictions, output="none")
    assert "\n" not in str(caught.value)


def test_late_fusion_with_another_alpha_alone_is_nothing_to_report(monkeypatch: pytest.MonkeyPatch) -> None:
    run = LoggedRun("0123456789", "0", "late", "variant", "late", None, {}, {"alpha": "0.9"}, "digest")
    monkeypatch.setattr("avfusion.report.gathering.runs_of_experiment", lambda name: (name, [run], []))
    with pytest.raises(UserError, match=r"'mine' has nothing to report: no .* alpha = 0.5 \(run late \(01234567\)"):
        material_of_experiment("mine")
