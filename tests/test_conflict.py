import numpy as np
import pytest

from avfusion.analysis.conflict import (
    ALL,
    CELLS,
    cell_table,
    combine,
    conflict_clips,
    confusion_shift,
    error_distribution,
    fused_in_cells,
    oracle_accuracy,
    overall_cells,
    rescues_and_harms,
)
from avfusion.analysis.variant_answers import align
from avfusion.errors import UserError
from avfusion.scoring.predictions import Predictions

CLASSES = ("bus", "park", "tram", "never")
LABELS = [0, 0, 0, 0, 1, 1, 2, 2]
AUDIO = [0, 0, 1, 2, 1, 0, 2, 2]
VIDEO = [0, 2, 0, 2, 1, 1, 2, 2]
FUSED = [0, 0, 2, 0, 1, 1, 2, 0]


def decided(decisions: list[int], labels: list[int] = LABELS) -> Predictions:
    """Predictions of 0.7 for the decided class and 0.1 for each other."""
    probabilities = np.full((len(labels), 4), 0.1)
    probabilities[range(len(labels)), decisions] = 0.7
    ids = tuple(f"clip{i}" for i in range(len(labels)))
    return Predictions(ids, CLASSES, np.array(labels), probabilities, np.array(decisions))


def random_models(seed: int, n_models: int, n_clips: int = 300) -> list[Predictions]:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, n_clips)
    return [
        Predictions.from_scores(
            [str(i) for i in range(n_clips)], CLASSES, labels, random.normal(size=(n_clips, 4)) + np.eye(4)[labels]
        )
        for _ in range(n_models)
    ]


def test_cells_by_hand() -> None:
    audio, video = decided(AUDIO), decided(VIDEO)
    table = cell_table(audio, video)
    assert table.index.tolist() == ["bus", "park", "tram", "never"]
    assert table[[*CELLS, "clips"]].to_numpy().tolist() == [
        [1, 1, 1, 1, 4],
        [1, 0, 1, 0, 2],
        [2, 0, 0, 0, 2],
        [0, 0, 0, 0, 0],
    ]
    assert table["conflict"].tolist() == [0.5, 0.5, 0, 0]
    assert overall_cells(audio, video)["clips"].to_dict() == {
        "both": 4, "only_audio": 1, "only_video": 2, "neither": 1,
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(5))
def test_cells_sum_to_the_clips_and_rank_by_conflict(seed: int) -> None:
    audio, video = random_models(seed, 2)
    table, overall = cell_table(audio, video), overall_cells(audio, video)
    assert overall["clips"].sum() == len(audio)
    assert overall["share"].sum() == pytest.approx(1)
    assert (table[list(CELLS)].sum(axis=1) == table["clips"]).all()
    assert (table[list(CELLS)].sum() == overall["clips"]).all()
    assert table["conflict"].is_monotonic_decreasing
    assert table["clips"].to_dict() == dict(zip(CLASSES, np.bincount(audio.labels, minlength=4), strict=True))
    assert len(conflict_clips(audio, video)) == overall.loc[["only_audio", "only_video"], "clips"].sum()


@pytest.mark.parametrize("seed", range(5))
def test_no_selector_beats_the_oracle(seed: int) -> None:
    models = random_models(seed, 3)
    oracle = oracle_accuracy(*models)
    decisions, labels = np.array([model.decisions for model in models]), models[0].labels
    random = np.random.default_rng(seed)
    for _ in range(200):
        choice = random.integers(0, 3, len(labels))
        assert (decisions[choice, np.arange(len(labels))] == labels).mean() <= oracle
    # The best selector, which knows the truth, reaches it.
    best = (decisions == labels).argmax(axis=0)
    assert (decisions[best, np.arange(len(labels))] == labels).mean() == oracle
    neither = overall_cells(models[0], models[1])["share"].to_dict()["neither"]
    assert oracle_accuracy(*models[:2]) == pytest.approx(1 - neither)


def test_errors_by_predicted_class() -> None:
    table = error_distribution(decided([2, 2, 1, 0, 1, 1, 2, 2]), "bus")
    assert table.index.tolist() == ["tram", "park"]
    assert table["clips"].tolist() == [2, 1]
    assert table["share"].tolist() == pytest.approx([2 / 3, 1 / 3])
    assert error_distribution(decided(LABELS), "bus").empty
    assert error_distribution(decided(LABELS), "never").empty
    with pytest.raises(UserError, match="unknown class 'boat'; choose from: bus, never, park, tram"):
        error_distribution(decided(LABELS), "boat")


def test_shift_of_the_confusion() -> None:
    expected = np.zeros((4, 4))
    expected[0] = [0, 0.25, -0.25, 0]
    expected[1] = [0.5, -0.5, 0, 0]
    np.testing.assert_allclose(confusion_shift(decided(AUDIO), decided(VIDEO)), expected)


def test_rescues_and_harms_by_hand() -> None:
    table = rescues_and_harms(decided(AUDIO), decided(VIDEO), decided(FUSED))
    assert table.index.tolist() == [*CLASSES, ALL]
    assert table.to_numpy().tolist() == [
        [4, 1, 0, 2, 1],
        [2, 1, 0, 0, 0],
        [2, 0, 1, 0, 1],
        [0, 0, 0, 0, 0],
        [8, 2, 1, 2, 2],
    ]


@pytest.mark.parametrize("seed", range(3))
def test_rescues_minus_harms_is_the_gain_and_cells_make_up_the_accuracy(seed: int) -> None:
    audio, video, fused = random_models(seed, 3)
    total = rescues_and_harms(audio, video, fused).loc[ALL]
    for name, modality in (("audio", audio), ("video", video)):
        gain = total[f"rescues_over_{name}"] - total[f"harms_over_{name}"]
        assert gain == fused.right.sum() - modality.right.sum()
    table = fused_in_cells(audio, video, fused)
    assert table.loc[ALL, [f"{cell}_fused_right" for cell in CELLS]].sum() == fused.right.sum()
    assert table.loc[ALL, [f"{cell}_clips" for cell in CELLS]].sum() == len(fused)
    only_audio = audio.right & ~video.right
    assert table.loc[ALL, "only_audio_fused_accuracy"] == pytest.approx(fused.right[only_audio].mean())
    assert table["both_fused_accuracy"].isna().to_dict()["never"]


def test_conflict_clips_with_their_files() -> None:
    paths = {"clip1": ("1.wav", "1.mp4"), "clip2": ("2.wav", "2.mp4")}
    table = conflict_clips(decided(AUDIO), decided(VIDEO), paths)
    assert table.to_numpy().tolist() == [
        ["clip1", "bus", "bus", "tram", "audio", "1.wav", "1.mp4"],
        ["clip2", "bus", "park", "bus", "video", "2.wav", "2.mp4"],
        ["clip5", "park", "bus", "park", "video", "", ""],
    ]
    assert list(conflict_clips(decided(LABELS), decided(LABELS)).columns) == [
        "id", "truth", "audio", "video", "right",
    ]  # fmt: skip


def test_sets_are_joined_by_id_whatever_their_order() -> None:
    audio, video = random_models(0, 2)
    turned = video.with_class_order(("never", "tram", "bus", "park"))
    shuffled = turned.take(np.random.default_rng(1).permutation(len(video)))
    first, second = align(audio, shuffled)
    assert first is audio
    assert (second.ids, second.classes) == (video.ids, video.classes)
    np.testing.assert_array_equal(second.decisions, video.decisions)
    np.testing.assert_array_equal(second.probabilities, video.probabilities)


def test_sets_that_do_not_match_are_refused() -> None:
    audio, video = random_models(0, 2)
    with pytest.raises(UserError, match="295 only in the first set, 0 only in the other, for instance"):
        align(audio, video.take(np.arange(5)))
    with pytest.raises(UserError, match="0 only in the first set, 295 only in the other"):
        align(audio.take(np.arange(5)), video)
    other = decided(LABELS, [0, 0, 0, 1, 1, 1, 2, 2])
    with pytest.raises(UserError, match=r"true class of 1 clip\(s\) differs .* 'clip3': 'bus' and 'park'"):
        align(decided(AUDIO), other)


def test_combinations_in_closed_form() -> None:
    labels, ids = np.array([0]), ("a",)
    left = Predictions(ids, ("x", "y", "z"), labels, np.array([[0.6, 0.4, 0.0]]), np.array([0]))
    right = Predictions(ids, ("x", "y", "z"), labels, np.array([[0.0, 0.5, 0.5]]), np.array([1]))
    for rule, scores in {
        "mean": [0.30005, 0.45, 0.25005],
        "maximum": [0.6, 0.5, 0.5],
        "product": [0.6e-4, 0.2, 0.5e-4],
    }.items():
        combined = combine(left, right, rule)
        np.testing.assert_allclose(combined.probabilities[0], np.array(scores) / sum(scores), rtol=1e-12)
        assert combined.decisions[0] == int(np.argmax(scores))
        assert combined.notes == (f"{rule} of the two, floor 0.0001",)
    with pytest.raises(UserError, match="unknown rule of combination 'vote'; choose from: maximum, mean, product"):
        combine(left, right, "vote")


def test_combination_starts_from_what_the_file_printed() -> None:
    printed = np.array([[0.5, 0.503]])
    read = Predictions(("a",), ("x", "y"), np.array([0]), printed / printed.sum(), np.array([1]), as_read=printed)
    other = Predictions(("a",), ("x", "y"), np.array([0]), np.array([[0.9, 0.1]]), np.array([0]))
    expected = np.array([[1.4, 0.603]]) / 2.003
    np.testing.assert_allclose(combine(read, other, "mean").probabilities, expected, rtol=1e-12)
