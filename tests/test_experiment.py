"""One experiment: same seed, same result; what is chosen does not depend on the test split."""

from pathlib import Path

import numpy as np
import pytest
import torch

from avfusion.features import MODALITIES
from avfusion.fusion import FusionNetwork, variants
from avfusion.training.experiment import Result, best_epoch, resolve_params, score_test, train
from avfusion.training.fit import Epoch
from avfusion.training.split_features import TEST, SplitFeatures
from tests.stores import make_store

CPU = torch.device("cpu")
ALL = list(variants().values())
GIVEN = {"epochs": "3", "batch_size": "16", "hidden": "16", "lstm_hidden": "8", "embedding": "8"}


def run(data: SplitFeatures, variant: type[FusionNetwork], seed: int = 0) -> Result:
    own = {name: value for name, value in GIVEN.items() if name in resolve_params([variant], {})[0]}
    return score_test(data, train(data, variant, resolve_params([variant], own)[0], seed, CPU))


@pytest.mark.parametrize("variant", ALL, ids=[variant.id for variant in ALL])
def test_same_seed_same_result(variant: type[FusionNetwork], tmp_path: Path) -> None:
    data = SplitFeatures(make_store(tmp_path / "store"))
    first, again, other = run(data, variant), run(data, variant), run(data, variant, seed=1)
    timeless = [{**result.metrics, "seconds": 0.0} for result in (first, again, other)]
    assert timeless[0] == timeless[1] != timeless[2]
    np.testing.assert_array_equal(first.test.probabilities, again.test.probabilities)


@pytest.mark.parametrize("variant", ALL, ids=[variant.id for variant in ALL])
@pytest.mark.parametrize("pictures", [None, (3, 6)], ids=["as many pictures", "fewer pictures"])
def test_the_classifier_answers_raw_features_as_the_experiment_did(
    variant: type[FusionNetwork], pictures: tuple[int, int] | None, tmp_path: Path
) -> None:
    data = SplitFeatures(make_store(tmp_path / "store", lengths=(5, 4, 5), pictures=pictures))
    result = run(data, variant)
    for position, row in enumerate(data.rows(TEST)):
        audio, video = (torch.tensor(data.store.frames(m, int(row)))[None] for m in ("audio", "video"))
        with torch.no_grad():
            log_probabilities, decision = result.trained.classifier.answers(audio, video)
        expected = result.test.probabilities[position]
        np.testing.assert_allclose(torch.softmax(log_probabilities, 1)[0], expected, rtol=2e-4, atol=1e-5)
        assert int(decision) == result.test.decisions[position]


def test_nothing_before_scoring_reads_the_test_split(tmp_path: Path) -> None:
    """Other test clips, same training clips: everything that training chose stays the same."""
    late = variants()["late"]
    data, spoiled = (SplitFeatures(make_store(tmp_path / name)) for name in ("store", "spoiled"))
    rows = spoiled.rows(TEST)
    frames = {int(row): np.full_like(spoiled.store.frames("audio", int(row)), 1e3) for row in rows}
    read = spoiled.store.frames
    spoiled.store.frames = lambda modality, index: frames.get(index, read(modality, index))  # type: ignore[method-assign]
    params = resolve_params([late], {"epochs": "3"})[0]
    first, second = (train(t, late, params, 0, CPU) for t in (data, spoiled))
    assert [e.val_loss for e in first.history] == [e.val_loss for e in second.history]
    assert score_test(data, first).metrics["test/log_loss"] != score_test(spoiled, second).metrics["test/log_loss"]


def test_the_chosen_epoch_is_the_first_with_the_lowest_validation_loss() -> None:
    history = [Epoch("", n, 1e-4, 0.0, 0.0, loss, 0.0, False, 0.0) for n, loss in enumerate([3.0, 1.0, 2.0, 1.0], 1)]
    assert best_epoch(history).epoch == 2


def test_variants_keep_their_own_recipe() -> None:
    two_stage, late = resolve_params([variants()["two_stage"], variants()["late"]], {"dropout": "0.3"})
    assert (two_stage["batch_size"], two_stage["epochs"], late["batch_size"]) == (64, 200, 128)
    assert two_stage["dropout"] == late["dropout"] == 0.3


@pytest.mark.parametrize("variant", ALL, ids=[variant.id for variant in ALL])
def test_the_one_second_protocol_scores_ten_frames_of_each_clip(variant: type[FusionNetwork], tmp_path: Path) -> None:
    data = SplitFeatures(make_store(tmp_path / "store", n_frames=25))
    result = run(data, variant)
    if not variant.any_length:
        assert result.test_seconds is None
        return
    seconds, clips = result.test_seconds, data.ids(TEST)
    assert seconds is not None and seconds.ids == tuple(f"{clip}_{k}" for clip in clips for k in range(10))
    row, k = int(data.rows(TEST)[2]), 7
    audio, video = (torch.tensor(data.store.frames(m, row))[None, int(k * 25 / 10)][:, None] for m in MODALITIES)
    with torch.no_grad():
        expected = result.trained.classifier.answers(audio, video)[0].exp()[0]
    np.testing.assert_allclose(seconds.probabilities[2 * 10 + k], expected / expected.sum(), rtol=1e-3, atol=1e-5)
    assert {"test_1s/accuracy", "test_1s/class_log_loss"} <= set(result.metrics)
