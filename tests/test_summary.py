"""The table at the end of training, as text."""

from avfusion.jobs.summary import BEST, in_order, summary_lines, trained_with
from avfusion.jobs.text_tables import WIDTH


def rows(*names: str) -> list[dict[str, object]]:
    """The last of `names` is the most accurate on test, the first the best on validation."""
    scores = ("log_loss", "macro_f1", "val_accuracy")
    return [
        {"variant": name, "accuracy": number / 10, **dict.fromkeys(scores, 0.5), "val_log_loss": number, "seconds": 1.0}
        for number, name in enumerate(names)
    ]


def test_the_most_accurate_comes_first_and_the_best_on_validation_has_a_star() -> None:
    table = in_order(rows("late", "early", "baseline"))
    assert table["variant"].tolist() == ["baseline", "early", "late"]
    assert table[BEST].tolist() == [False, False, True]
    head, *lines = summary_lines(table)
    assert head.split() == ["variant", "accuracy", "log_loss", "macro_f1", "val_acc", "val_loss", "seconds"]
    assert [line.split()[0] for line in lines] == ["baseline", "early", "*"]


def test_a_narrow_terminal() -> None:
    """Names of 19 letters fit; longer ones take the place of what matters least."""
    assert max(map(len, summary_lines(in_order(rows("class_weighted_late", "late"))))) <= WIDTH
    lines = summary_lines(in_order(rows("a" * 30, "late")))
    assert max(map(len, lines)) <= WIDTH and "seconds" not in lines[0] and "val_loss" in lines[0]


def test_seeds_are_named() -> None:
    assert trained_with((3,)) == "seed 3" and trained_with((0, 1, 2)) == "means over seeds 0, 1, 2"
