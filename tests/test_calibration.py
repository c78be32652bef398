import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import log_loss as reference_log_loss

from avfusion.scoring.calibration import (
    best_weights,
    brier_score,
    expected_calibration_error,
    fit_temperature,
    reliability,
    split_log_loss,
    with_temperature,
)
from avfusion.scoring.metrics import log_loss
from avfusion.scoring.predictions import Predictions


def predictions(probabilities: NDArray[np.float64], labels: NDArray[np.integer]) -> Predictions:
    classes = tuple("abcdefghij"[: probabilities.shape[1]])
    ids = tuple(map(str, range(len(labels))))
    return Predictions(ids, classes, np.asarray(labels, np.int64), probabilities, probabilities.argmax(axis=1))


def honest(n_clips: int = 20000, sharpness: float = 1.0, seed: int = 0, n_classes: int = 4) -> Predictions:
    """Truth drawn from the stated probabilities, which are then raised to the power `sharpness`."""
    generator = np.random.default_rng(seed)
    probabilities = generator.dirichlet(np.full(n_classes, 0.7), size=n_clips)
    labels = (generator.random(n_clips)[:, None] > probabilities.cumsum(axis=1)).sum(axis=1).clip(max=n_classes - 1)
    stated = probabilities**sharpness
    return predictions(stated / stated.sum(axis=1, keepdims=True), labels)


def test_calibration_error_by_hand() -> None:
    # Confidences 0.6 (2 of 4 right) and 0.9 (1 of 1): 4/5 * |0.5 - 0.6| + 1/5 * |1 - 0.9| = 0.1.
    rows = np.array([[0.6, 0.4]] * 4 + [[0.9, 0.1]])
    assert expected_calibration_error(predictions(rows, np.array([0, 0, 1, 1, 0]))) == pytest.approx(0.1)
    table = reliability([predictions(rows, np.array([0, 0, 1, 1, 0]))])
    assert table["clips"].sum() == 5 and table.loc[table["clips"] == 4, "accuracy"].item() == 0.5
    assert table.loc[table["clips"] == 4, "high"].item() == pytest.approx(0.6)  # bins hold their upper end
    assert table["confidence"].isna().sum() == 13


def test_several_seeds_share_their_bins() -> None:
    first, second = honest(50, seed=1), honest(70, seed=2)
    together = reliability([first, second])
    assert together["clips"].tolist() == (reliability([first])["clips"] + reliability([second])["clips"]).tolist()


def test_brier_by_hand() -> None:
    rows = np.array([[1.0, 0.0, 0.0], [0.5, 0.25, 0.25], [0.0, 1.0, 0.0]])
    # 0; 0.25 + 0.0625 + 0.5625; 2
    assert brier_score(predictions(rows, np.array([0, 2, 0]))) == pytest.approx((0 + 0.875 + 2) / 3)


def test_honest_probabilities_are_calibrated() -> None:
    found = honest()
    assert expected_calibration_error(found) < 0.015
    assert split_log_loss(found).calibration < 1e-3
    assert fit_temperature(found) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("sharpness", [0.4, 2.5])
def test_a_wrong_temperature_is_all_calibration(sharpness: float) -> None:
    bent, true = honest(sharpness=sharpness), honest()
    parts = split_log_loss(bent)
    assert parts.calibration + parts.refinement == pytest.approx(reference_log_loss(bent.labels, bent.probabilities))
    assert parts.calibration > 0.05
    assert parts.refinement == pytest.approx(split_log_loss(true).refinement, abs=1e-4)
    assert fit_temperature(bent) == pytest.approx(sharpness, rel=0.03)
    mended = with_temperature(bent, sharpness)
    np.testing.assert_allclose(mended.probabilities, true.probabilities, atol=1e-6)


def test_a_temperature_never_worsens_the_validation_loss() -> None:
    for seed in range(30):
        generator = np.random.default_rng(seed)
        validation = predictions(generator.dirichlet(np.full(3, 0.3), size=7), generator.integers(0, 3, 7))
        temperature = fit_temperature(validation)
        assert log_loss(with_temperature(validation, temperature)) <= log_loss(validation)


def test_no_better_temperature_means_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avfusion.scoring.calibration.best_temperature", lambda scores, labels: 3.0)
    assert fit_temperature(honest(2000)) == 1.0


def test_scaling_keeps_decisions_and_says_so() -> None:
    rows = np.array([[0.5, 0.5], [0.3, 0.7]])
    tied = Predictions(("x", "y"), ("a", "b"), np.array([1, 1]), rows, np.array([1, 1]))
    scaled = with_temperature(tied, 2.0)
    assert scaled.decisions.tolist() == [1, 1]  # also where the stored decision is not the first of equals
    assert scaled.notes == ("probabilities scaled by temperature 2",)
    assert with_temperature(tied, 1.0) is tied


def test_a_probability_of_zero_has_a_finite_loss() -> None:
    certain = predictions(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0, 0]))
    parts = split_log_loss(certain)
    assert np.isfinite([parts.calibration, parts.refinement]).all()
    # The floor inside the logarithm is the smallest step of a double; the greatest temperature is 20.
    gap = -np.log(np.finfo(float).eps) / 20
    assert parts.refinement == pytest.approx(np.mean(np.log1p(np.exp([-gap, gap]))), rel=1e-3)


def test_weights_are_found_again_and_none_is_negative() -> None:
    """Truth drawn from the product of two models' probabilities to known powers; a third knows nothing."""
    generator = np.random.default_rng(0)
    first, second, noise = (np.log(generator.dirichlet(np.full(4, 0.7), size=40_000)) for _ in range(3))
    product = np.exp(0.7 * first + 1.4 * second)
    product /= product.sum(axis=1, keepdims=True)
    labels = torch.from_numpy((generator.random(40_000)[:, None] > product.cumsum(axis=1)).sum(axis=1).clip(max=3))
    tensors = [torch.from_numpy(one) for one in (first, second, noise)]
    assert best_weights(tensors, labels) == pytest.approx([0.7, 1.4, 0.0], abs=0.03)
    assert best_weights([tensors[0], -tensors[1]], labels)[1] == 0


@pytest.mark.parametrize("clips", [30, 3_000])
def test_weights_stay_finite_where_every_clip_is_told_right(clips: int) -> None:
    """The probability of what is right has a closed form: with one model of two classes, (N + 0.5) / (N + 1)."""
    labels = torch.arange(clips) % 2
    model = torch.where(torch.eye(2)[labels] == 1, 0.8, 0.2).log()
    (found,) = best_weights([model], labels)
    right = torch.softmax(found * model, 1)[torch.arange(clips), labels]
    assert right.numpy() == pytest.approx((clips + 0.5) / (clips + 1), abs=1e-4)


def test_weights_are_no_worse_than_any_near_them() -> None:
    truth = torch.arange(300) % 3
    models = [torch.randn(300, 3, generator=torch.Generator().manual_seed(seed)).log_softmax(1) for seed in (1, 2)]
    models[0][torch.arange(300), truth] += 1.0
    found = best_weights(models, truth)

    def loss(first: float, second: float) -> float:
        scores = (first * models[0] + second * models[1]).log_softmax(1)
        right, all_classes = scores[torch.arange(300), truth].mean(), scores.mean()
        return float(-(300 * right + all_classes) / 301)  # 300 clips, and one more that could be of any class

    assert all(
        loss(*found) <= loss(found[0] + d, max(found[1] + e, 0)) + 1e-7 for d in (-0.05, 0, 0.05) for e in (0, 0.05)
    )
