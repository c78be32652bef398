from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from avfusion.errors import UserError
from avfusion.scoring.metrics import evaluate
from avfusion.scoring.predictions import Predictions
from avfusion.scoring.tsv import (
    read_course_tsv,
    read_dcase_tsv,
    write_course_tsv,
    write_dcase_tsv,
)

CLASSES = ("bus", "park", "tram")
HEADER = "aid\tscene_pred\tscene_label\tbus\tpark\ttram\n"


def some(n_clips: int = 40, seed: int = 0) -> Predictions:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, n_clips)
    scores = random.normal(scale=4, size=(n_clips, 3))
    return Predictions.from_scores([f"clip-{i}" for i in range(n_clips)], CLASSES, labels, scores)


def build(
    ids: tuple[str, ...] = ("a", "b"),
    classes: tuple[str, ...] = ("x", "y"),
    labels: tuple[int, ...] = (0, 1),
    probabilities: object = ((0.5, 0.5), (0.1, 0.9)),
    decisions: tuple[int, ...] = (0, 1),
) -> Predictions:
    given: NDArray[np.float64] = np.array(probabilities, dtype=np.float64)
    return Predictions(ids, classes, np.array(labels), given, np.array(decisions))


def test_from_scores_is_softmax_and_argmax_even_of_huge_scores() -> None:
    scores = np.array([[0.0, np.log(3.0)], [1000.0, -1000.0]])
    predictions = Predictions.from_scores(["a", "b"], ["x", "y"], np.array([0, 1]), scores)
    np.testing.assert_allclose(predictions.probabilities, [[0.25, 0.75], [1.0, 0.0]], atol=1e-15)
    assert predictions.decisions.tolist() == [1, 0]
    assert not predictions.right.any()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"ids": ("a", "a")}, r"1 clip id\(s\) repeat, for instance 'a'"),
        ({"classes": ("x", "x")}, r"1 class\(s\) repeat, for instance 'x'"),
        ({"labels": (0, 2)}, "labels run from 0 to 2; expected indices of 2 classes"),
        ({"decisions": (-1, 0)}, "decisions run from -1 to 0"),
        ({"labels": (0,)}, r"labels are int64 of shape \(1,\); expected integers of shape \(2,\)"),
        ({"probabilities": ((0.5, 0.5),)}, r"probabilities have shape \(1, 2\); expected \(2, 2\)"),
        ({"probabilities": ((0.5, 0.5), (0.1, np.nan))}, "clip 'b' has a probability that is not finite"),
        ({"probabilities": ((0.5, 0.5), (0.1, 0.8))}, "clip 'b' sum to 0.9"),
        ({"probabilities": ((0.5, 0.5), (-0.1, 1.1))}, "smallest is -0.1"),
        ({"ids": ()}, "no clip given"),
    ],
)
def test_construction_refuses_what_is_no_prediction(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(**wrong)  # type: ignore[arg-type]


def test_scores_must_be_finite_and_of_the_right_shape() -> None:
    with pytest.raises(UserError, match=r"scores have shape \(1, 3\) and must be finite, of shape \(2, 2\)"):
        Predictions.from_scores(["a", "b"], ["x", "y"], np.array([0, 1]), np.zeros((1, 3)))
    with pytest.raises(UserError, match="must be finite"):
        Predictions.from_scores(["a"], ["x", "y"], np.array([0]), np.array([[np.inf, 0]]))


def test_another_class_order_moves_columns_labels_and_decisions_together() -> None:
    predictions = some()
    turned = predictions.with_class_order(("tram", "bus", "park"))
    np.testing.assert_array_equal(turned.probabilities, predictions.probabilities[:, [2, 0, 1]])
    assert [turned.classes[i] for i in turned.labels] == [CLASSES[i] for i in predictions.labels]
    np.testing.assert_array_equal(turned.right, predictions.right)
    with pytest.raises(UserError, match="boat, tram in only one of them"):
        predictions.with_class_order(("bus", "park", "boat"))


def test_course_file_returns_what_was_written(tmp_path: Path) -> None:
    predictions = some()
    write_course_tsv(tmp_path / "late.tsv", predictions)
    back = read_course_tsv(tmp_path / "late.tsv")
    assert (back.ids, back.classes) == (predictions.ids, predictions.classes)
    np.testing.assert_array_equal(back.labels, predictions.labels)
    np.testing.assert_array_equal(back.decisions, predictions.decisions)
    np.testing.assert_array_equal(back.probabilities, predictions.probabilities)
    assert back.notes == ("late.tsv: full precision; 0 of 40 true-class probabilities are 0; no floor",)
    assert [path.name for path in tmp_path.iterdir()] == ["late.tsv"]


@pytest.mark.parametrize("scale", [1, 40, 2000])
def test_a_round_trip_changes_no_score(tmp_path: Path, scale: float) -> None:
    """Scores far apart make probabilities of 1e-14, of 1e-320 and of 0, which the log loss meets with its own floor."""
    random = np.random.default_rng(1)
    ids = [f"bus-lyon-{clip}_{k}" for clip in range(300) for k in range(10)]
    labels = np.repeat(random.integers(0, 3, 300), 10)
    predictions = Predictions.from_scores(ids, CLASSES, labels, random.normal(scale=scale, size=(3000, 3)))
    write_course_tsv(tmp_path / "c.tsv", predictions)
    write_dcase_tsv(tmp_path / "d.tsv", predictions)
    truth = {name.rpartition("_")[0]: CLASSES[label] for name, label in zip(ids, labels, strict=True)}
    for back in (read_course_tsv(tmp_path / "c.tsv"), read_dcase_tsv(tmp_path / "d.tsv", truth)):
        assert evaluate(back) == evaluate(predictions)
        np.testing.assert_array_equal(back.probabilities, predictions.probabilities)
    table = pd.read_csv(tmp_path / "c.tsv", sep="\t")
    np.testing.assert_allclose(table[list(CLASSES)], predictions.probabilities, rtol=1e-15, atol=1e-300)


@pytest.mark.parametrize(
    ("row", "note"),
    [
        ("1 0 0", "0 decimals; 0 of 1 true-class probabilities are 0; floor 0.0001, rows renormalised"),
        ("0.900 0.100 0.000", "3 decimals; 0 of 1 true-class probabilities are 0; floor 0.0001, rows renormalised"),
        ("0.0000 0.1 0.9", "4 decimals; 1 of 1 true-class probabilities are 0; floor 1e-05, rows renormalised"),
        ("0.9 0.1000000 0.0", "7 decimals; 0 of 1 true-class probabilities are 0; floor 1e-08, rows renormalised"),
        ("0.90009 0.0999 1E-05", "5 decimals; 0 of 1 true-class probabilities are 0; floor 1e-06, rows renormalised"),
        ("0.0 1.0 4.5e-13", "14 decimals; 1 of 1 true-class probabilities are 0; floor 1e-15, rows renormalised"),
        ("0.0 1.0 4.56789e-13", "full precision; 1 of 1 true-class probabilities are 0; no floor"),
        (
            "0.12345678901234567 0.87 0.0",
            "full precision; 0 of 1 true-class probabilities are 0; no floor, rows",
        ),
    ],
)
def test_the_floor_is_a_tenth_of_the_last_decimal(tmp_path: Path, row: str, note: str) -> None:
    (tmp_path / "p.tsv").write_text(HEADER + "a\tbus\tbus\t" + row.replace(" ", "\t") + "\n")
    predictions = read_course_tsv(tmp_path / "p.tsv")
    assert predictions.notes[0].startswith(f"p.tsv: {note}")
    assert predictions.probabilities.sum() == pytest.approx(1, abs=1e-12)


def test_course_file_is_what_public_scorers_read(tmp_path: Path) -> None:
    predictions = some()
    write_course_tsv(tmp_path / "p.tsv", predictions)
    table = pd.read_csv(tmp_path / "p.tsv", sep="\t")
    assert list(table.columns) == ["aid", "scene_pred", "scene_label", *CLASSES]
    assert (table["scene_pred"] == table["scene_label"]).mean() == predictions.right.mean()
    assert all(len(cell.split(".")[1]) >= 8 for cell in (tmp_path / "p.tsv").read_text().split() if "." in cell)


def test_floor_lifts_zeros_renormalises_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "few.tsv"
    path.write_text(HEADER + "a\tpark\tbus\t0.000\t0.700\t0.303\nb\tbus\tbus\t0.5\t0.5\t0.0\n")
    with caplog.at_level("INFO"):
        rounded = read_course_tsv(path)
    expected = np.array([1e-4, 0.7, 0.303]) / 1.0031
    np.testing.assert_allclose(rounded.probabilities[0], expected, rtol=1e-12)
    np.testing.assert_array_equal(rounded.as_read, [[0, 0.7, 0.303], [0.5, 0.5, 0]])
    note = "few.tsv: 3 decimals; 1 of 2 true-class probabilities are 0; floor 0.0001, rows renormalised"
    assert rounded.notes == (note,)
    assert note in caplog.text
    assert read_course_tsv(path, floor=1e-15).probabilities[0, 0] == pytest.approx(1e-15 / 1.003)


def test_the_stored_decision_breaks_a_tie(tmp_path: Path) -> None:
    path = tmp_path / "tie.tsv"
    path.write_text(HEADER + "a\ttram\ttram\t0.400\t0.200\t0.400\n")
    predictions = read_course_tsv(path)
    assert predictions.decisions.tolist() == [2]
    assert predictions.by_argmax().decisions.tolist() == [0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a tab-separated table"),
        (HEADER, "has a header and no clip"),
        ("aid\tscene_label\tbus\na\tbus\t1\n", "no column scene_pred; found aid, scene_label, bus"),
        ("aid\tscene_pred\tscene_label\na\tbus\tbus\n", "no class columns"),
        (HEADER.replace("park", "bus") + "a\tbus\tbus\t1\t0\t0\n", "column 'bus' repeats"),
        (HEADER + "a\tbus\tbus\t1\t0\t0\n" * 2, r"1 clip\(s\) repeat, for instance 'a'"),
        (HEADER + "a\tbus\tboat\t1\t0\t0\n", "scene_label 'boat' has no column; the classes are bus, park"),
        (HEADER + "a\tboat\tbus\t1\t0\t0\n", "scene_pred 'boat' has no column"),
        (HEADER + "a\tbus\tbus\t1\tnan\t0\n", "clip 'a' has 'nan' as probability of 'park'"),
        (HEADER + "a\tbus\tbus\t1\t\t0\n", "clip 'a' has '' as probability of 'park'"),
        (HEADER + "a\tbus\tbus\t1\t0\n", "clip 'a' has '' as probability of 'tram'"),
        (HEADER + "a\tbus\tbus\t1.5\t-0.5\t0\n", "clip 'a' has '-0.5' as probability"),
        (HEADER + "a\tbus\tbus\t3\t1\t0\n", "clip 'a' sum to 4; expected probabilities"),
        (HEADER + "a\tbus\tbus\t1\t0\t0\t0\n", "not a tab-separated table"),
    ],
)
def test_course_reader_refuses_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "p.tsv"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        read_course_tsv(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_missing_file_and_binary_garbage_are_user_errors(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_course_tsv(tmp_path / "none.tsv")
    (tmp_path / "p.tsv").write_bytes(bytes(range(128, 256)))
    with pytest.raises(UserError, match="not a tab-separated table"):
        read_course_tsv(tmp_path / "p.tsv")


def test_names_that_would_break_the_table_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"the id 'a\\tb' holds the character '\\t'"):
        write_course_tsv(tmp_path / "p.tsv", build(ids=("a\tb", "c")))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("names", ["filename_audio_video", "filename_audio", "filename_video"])
def test_classes_may_be_called_like_the_columns(tmp_path: Path, names: str) -> None:
    """Whichever they are: the file's own columns are the first of their name."""
    classes = ("aid", "filename_audio", "filename_audio_video", "filename_video", "scene_label", "scene_pred")
    probabilities = np.full((6, 6), 0.1) + 0.4 * np.eye(6)
    labels = tuple(range(6))
    clips = build(tuple(f" {name}" for name in classes), classes, labels, probabilities, labels[::-1])
    write_course_tsv(tmp_path / "p.tsv", clips)
    seconds = build(tuple(f"{name}_0" for name in clips.ids), classes, labels, probabilities, labels[::-1])
    write_dcase_tsv(tmp_path / "d.tsv", seconds, names)  # type: ignore[arg-type]
    truth = dict(zip(clips.ids, classes, strict=True))
    for written, read in (
        (clips, read_course_tsv(tmp_path / "p.tsv")),
        (seconds, read_dcase_tsv(tmp_path / "d.tsv", truth)),
    ):
        assert (read.ids, read.classes) == (written.ids, written.classes)
        assert (read.labels.tolist(), read.decisions.tolist()) == (list(labels), list(labels[::-1]))
        np.testing.assert_allclose(read.probabilities, probabilities)


@pytest.mark.parametrize(
    ("names", "ending"),
    [("filename_audio_video", ".wav.mp4"), ("filename_audio", ".wav"), ("filename_video", ".mp4")],
)
def test_dcase_file_returns_what_was_written(tmp_path: Path, names: str, ending: str) -> None:
    clips = some(20)
    seconds = Predictions(
        tuple(f"{scene}-lyon-{i // 10}_{i % 10}" for i, scene in enumerate(["bus"] * 10 + ["tram"] * 10)),
        CLASSES,
        np.repeat([0, 2], 10),
        clips.probabilities,
        clips.decisions,
    )
    path = tmp_path / "d.tsv"
    write_dcase_tsv(path, seconds, names)  # type: ignore[arg-type]
    table = pd.read_csv(path, sep="\t")
    assert list(table.columns) == [names, "scene_label", *CLASSES]
    assert table[names][3] == "bus-lyon-0_3" + ending
    back = read_dcase_tsv(path, {"bus-lyon-0": "bus", "tram-lyon-1": "tram"})
    assert back.ids == seconds.ids
    np.testing.assert_array_equal(back.labels, seconds.labels)
    np.testing.assert_array_equal(back.decisions, seconds.decisions)
    np.testing.assert_array_equal(back.probabilities, seconds.probabilities)
    with pytest.raises(UserError, match=r"true class of 1 clip\(s\) is not known, for instance 'tram-lyon-1'"):
        read_dcase_tsv(path, {"bus-lyon-0": "bus"})


def test_dcase_errors(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown column of DCASE file names 'name'"):
        write_dcase_tsv(tmp_path / "d.tsv", build(), "name")  # type: ignore[arg-type]
    (tmp_path / "d.tsv").write_text("clip\tscene_label\tbus\na_0\tbus\t1\n")
    with pytest.raises(UserError, match="no column filename_audio_video; found clip"):
        read_dcase_tsv(tmp_path / "d.tsv", {})


def test_commas_do_where_there_are_no_tabs(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text('\ufeffaid,scene_pred,scene_label,bus,"shop, indoor"\na,bus,bus,0.25,0.75\n')
    predictions = read_course_tsv(tmp_path / "p.csv")
    assert (predictions.ids, predictions.classes) == (("a",), ("bus", "shop, indoor"))
    (tmp_path / "p.tsv").write_text("aid\tscene_pred\tscene_label\tbus\tshop, indoor\na\tbus\tbus\t0.25\t0.75\n")
    np.testing.assert_array_equal(read_course_tsv(tmp_path / "p.tsv").probabilities, predictions.probabilities)
    (tmp_path / "p.csv").write_text("aid,scene_pred,scene_label,bus\na,bus,bus,1,2\n")
    with pytest.raises(UserError, match=r"p.csv: not a comma-separated table"):
        read_course_tsv(tmp_path / "p.csv")


def test_row_numbers_of_pandas_are_no_class(tmp_path: Path) -> None:
    write_course_tsv(tmp_path / "p.tsv", some())
    for name, separator in (("numbered.tsv", "\t"), ("numbered.csv", ",")):
        pd.read_csv(tmp_path / "p.tsv", sep="\t").to_csv(tmp_path / name, sep=separator)
        assert read_course_tsv(tmp_path / name).classes == CLASSES
