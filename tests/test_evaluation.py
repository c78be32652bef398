import numpy as np
import pytest
from sklearn import metrics as reference

from avfusion.errors import UserError
from avfusion.scoring.metrics import METRICS, confusion, evaluate, per_class, row_normalised
from avfusion.scoring.predictions import Predictions
from avfusion.scoring.seconds import (
    clips_of_seconds,
    mean_probability,
    per_clip,
    per_second,
    second_frames,
    sum_log_softmax,
)

CLASSES = tuple("abcde")


def predictions(present: list[int], seed: int = 0) -> Predictions:
    """Answers over five classes for 200 clips whose true classes are among `present`."""
    random = np.random.default_rng(seed)
    labels = random.choice(present, 200)
    scores = random.normal(size=(200, 5)) + 1.5 * np.eye(5)[labels]
    given = Predictions.from_scores([str(i) for i in range(200)], CLASSES, labels, scores)
    # Decisions that are not the argmax tell accuracy apart from what the probabilities say.
    decisions = np.where(random.random(200) < 0.1, random.integers(0, 5, 200), given.decisions)
    return Predictions(given.ids, CLASSES, labels, given.probabilities, decisions)


@pytest.mark.parametrize("present", [[0, 1, 2, 3, 4], [0, 2, 4], [3]])
def test_metrics_equal_scikit_learn(present: list[int]) -> None:
    given = predictions(present)
    truth, decided, probabilities = given.labels, given.decisions, given.probabilities
    per_class_loss = [
        reference.log_loss(truth[truth == c], probabilities[truth == c], labels=range(5)) for c in present
    ]
    expected = {
        "accuracy": reference.accuracy_score(truth, decided),
        "log_loss": reference.log_loss(truth, probabilities, labels=range(5)),
        "macro_f1": reference.f1_score(truth, decided, labels=present, average="macro"),
        "class_accuracy": reference.recall_score(truth, decided, labels=present, average="macro"),
        "class_log_loss": np.mean(per_class_loss),
    }
    assert evaluate(given) == pytest.approx(expected, rel=1e-12)
    assert set(METRICS) == set(expected)


@pytest.mark.parametrize("present", [[0, 1, 2, 3, 4], [0, 2, 4], [3]])
def test_tables_equal_scikit_learn(present: list[int]) -> None:
    given = predictions(present)
    expected = reference.precision_recall_fscore_support(
        given.labels, given.decisions, labels=range(5), zero_division=0
    )
    table = per_class(given)
    assert list(table.index) == list(CLASSES)
    assert list(table.columns) == ["precision", "recall", "f1", "support"]
    np.testing.assert_allclose(table.to_numpy(), np.transpose(expected), rtol=1e-12)
    counts = confusion(given)
    np.testing.assert_array_equal(counts, reference.confusion_matrix(given.labels, given.decisions, labels=range(5)))
    assert counts.dtype == np.int64
    shares = row_normalised(counts)
    np.testing.assert_allclose(shares.sum(axis=1), np.isin(range(5), present).astype(float))


def test_a_true_class_of_probability_0_costs_a_finite_loss() -> None:
    given = Predictions(("a",), ("x", "y"), np.array([0]), np.array([[0.0, 1.0]]), np.array([1]))
    assert evaluate(given)["log_loss"] == pytest.approx(-np.log(np.finfo(np.float64).eps))


@pytest.mark.parametrize("n_frames", [1, 7, 10, 41, 96, 97])
def test_frames_of_the_seconds(n_frames: int) -> None:
    frames = second_frames(n_frames)
    assert frames.tolist() == [int(i * n_frames / 10) for i in range(10)]
    assert frames.max() < n_frames


def test_no_frame_no_second() -> None:
    with pytest.raises(UserError, match="at least 1 frame; got 0"):
        second_frames(0)


def two_clips() -> np.ndarray:
    """[2 clips, 2 answers, 2 classes]: the rules disagree on the first clip."""
    return np.log([[[0.999, 0.001], [0.2, 0.8]], [[0.4, 0.6], [0.4, 0.6]]])


def test_rules_of_aggregation_in_closed_form() -> None:
    np.testing.assert_allclose(np.exp(mean_probability(two_clips())), [[0.5995, 0.4005], [0.4, 0.6]])
    np.testing.assert_allclose(np.exp(sum_log_softmax(two_clips())), [[0.1998, 0.0008], [0.16, 0.36]], rtol=1e-12)
    impossible = np.array([[[0.0, -np.inf], [0.0, -np.inf]]])
    for rule in (mean_probability, sum_log_softmax):
        assert np.isfinite(rule(impossible)).all()
        np.testing.assert_allclose(np.exp(rule(impossible)), [[1.0, 0.0]], atol=1e-300)


def test_seconds_score_one_by_one_and_together() -> None:
    labels = np.array([0, 1])
    seconds = per_second(["u_1", "v"], ["x", "y"], labels, two_clips())
    assert seconds.ids == ("u_1_0", "u_1_1", "v_0", "v_1")
    assert seconds.labels.tolist() == [0, 0, 1, 1]
    assert evaluate(seconds)["accuracy"] == 0.75
    shuffled = seconds.take(np.array([2, 0, 3, 1]))
    for rule in ("mean_probability", "sum_log_softmax"):
        direct = per_clip(["u_1", "v"], ["x", "y"], labels, two_clips(), rule)
        np.testing.assert_allclose(direct.probabilities.sum(axis=1), 1)
        for grouped in (clips_of_seconds(seconds, rule), clips_of_seconds(shuffled, rule)):
            order = np.array([grouped.ids.index(clip) for clip in direct.ids])
            np.testing.assert_allclose(grouped.probabilities[order], direct.probabilities)
            np.testing.assert_array_equal(grouped.labels[order], direct.labels)


def test_aggregation_errors() -> None:
    with pytest.raises(UserError, match="unknown aggregation rule 'median'; choose from: mean_probability, sum_log"):
        per_clip(["u", "v"], ["x", "y"], np.array([0, 1]), two_clips(), "median")
    seconds = per_second(["u", "v"], ["x", "y"], np.array([0, 1]), two_clips())
    with pytest.raises(UserError, match="clip 'v' has 1 seconds, clip 'u' 2"):
        clips_of_seconds(seconds.take(np.arange(3)), "mean_probability")
