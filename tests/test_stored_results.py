"""Results on disk: whole or not there, and equal to the bit."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from avfusion.fusion import FusionNetwork, variants
from avfusion.scoring.predictions import Predictions
from avfusion.training.experiment import Result, resolve_params, score_test, train
from avfusion.training.many import Trainer, Training
from avfusion.training.split_features import SplitFeatures
from avfusion.training.stored_results import StoredResults
from tests.stores import make_store

CPU = torch.device("cpu")
ALL = list(variants().values())
GIVEN = {"epochs": "2", "batch_size": "16", "hidden": "16", "lstm_hidden": "8", "embedding": "8"}


def params_of(variant: type[FusionNetwork]) -> Training:
    own = {name: value for name, value in GIVEN.items() if name in resolve_params([variant], {})[0]}
    return Training(variant, resolve_params([variant], own)[0], 3)


def trained(task: SplitFeatures, variant: type[FusionNetwork]) -> Result:
    training = params_of(variant)
    return score_test(task, train(task, variant, training.params, training.seed, CPU))


def find(results: StoredResults, training: Training) -> Result | None:
    return results.find(training.variant, training.params, training.seed)


def assert_same(found: Predictions | None, expected: Predictions | None) -> None:
    assert (found is None) is (expected is None)
    if found is not None and expected is not None:
        assert (found.ids, found.classes) == (expected.ids, expected.classes)
        for name in ("labels", "probabilities", "decisions"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), strict=True)


@pytest.mark.parametrize("variant", ALL, ids=[variant.id for variant in ALL])
def test_a_result_comes_back_to_the_bit(variant: type[FusionNetwork], tmp_path: Path) -> None:
    task = SplitFeatures(make_store(tmp_path / "store"))
    result, results = trained(task, variant), StoredResults(tmp_path)
    results.keep(result)
    found = find(results, params_of(variant))
    assert found is not None and found.metrics == result.metrics
    for name in ("variant", "params", "seed", "history", "seconds", "recut_clips"):
        assert getattr(found.trained, name) == getattr(result.trained, name)
    assert_same(found.trained.validation, result.trained.validation)
    assert_same(found.test, result.test)
    assert_same(found.test_seconds, result.test_seconds)
    before, after = (r.trained.classifier for r in (result, found))
    assert after.description == before.description
    assert str(after.state_dict()) == str(before.state_dict())
    audio, video = (torch.tensor(task.store.frames(m, 0))[None] for m in ("audio", "video"))
    with torch.no_grad():
        assert torch.equal(after.answers(audio, video)[0], before.answers(audio, video)[0])


def test_only_the_same_training_is_found(tmp_path: Path) -> None:
    results, variant = StoredResults(tmp_path), variants()["late"]
    results.keep(trained(SplitFeatures(make_store(tmp_path / "store")), variant))
    same = params_of(variant)
    assert find(results, same) and results.count() == 1
    assert find(results, replace(same, seed=4)) is None
    assert find(results, replace(same, params={**same.params, "alpha": 0.25})) is None
    assert find(results, replace(same, variant=variants()["early"])) is None


@pytest.mark.parametrize("file", ["result.json", "test.npz", "val.npz", "classifier/weights.safetensors"])
def test_what_is_damaged_is_not_there(file: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    results, variant = StoredResults(tmp_path / "kept"), variants()["late"]
    results.folder.mkdir()
    results.keep(trained(SplitFeatures(make_store(tmp_path / "store")), variant))
    (path,) = results.folder.glob(f"*/{file}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert find(results, params_of(variant)) is None and "trained again" in caplog.text
    assert results.count() == 0


def test_a_folder_that_cannot_be_written_is_told_and_costs_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    result, results = (
        trained(SplitFeatures(make_store(tmp_path / "store")), variants()["late"]),
        StoredResults(tmp_path / "no"),
    )
    results.keep(result)
    assert "cannot be written (No such file or directory)" in caplog.text and results.count() == 0


def test_processes_keep_what_they_trained_before_anyone_asks(tmp_path: Path) -> None:
    late, results = variants()["late"], StoredResults(tmp_path)
    trainer = Trainer(SplitFeatures(make_store(tmp_path / "store")), CPU, results, workers=2)
    trainings = [replace(params_of(late), seed=seed) for seed in (0, 1)]
    first = list(trainer.results(trainings))
    assert results.count() == 2
    shutil.rmtree(tmp_path / "store")  # nothing is read again
    again = list(trainer.results(trainings))
    assert [result.metrics for result in again] == [result.metrics for result in first]
