import io
from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from numpy.typing import NDArray

from avfusion.errors import UserError
from avfusion.figures import (
    alpha_curve,
    conflict_cells,
    confusion_difference,
    confusion_heatmap,
    diagnostics_by_class,
    ensemble_weights,
    loss_curves,
    variant_summary,
)
from avfusion.figures.style import AUDIO_COLOUR, VIDEO_COLOUR, shown

NOTE = "synthetic scenes"


def names(n_classes: int) -> list[str]:
    long = ("underground_metro_station_platform", "street_pedestrian", "bus")
    return [f"{long[i % 3]}_{i}" for i in range(n_classes)]


def counts(n_classes: int) -> NDArray[np.int64]:
    return np.random.default_rng(0).integers(0, 9, (n_classes, n_classes)) + np.diag([30] * n_classes)


def difference(n_classes: int) -> NDArray[np.float64]:
    return np.random.default_rng(0).uniform(-0.4, 0.4, (n_classes, n_classes))


def cells(n_classes: int) -> pd.DataFrame:
    numbers = np.random.default_rng(0).integers(0, 30, (n_classes, 4))
    return pd.DataFrame(numbers, columns=["both", "only_audio", "only_video", "neither"], index=names(n_classes))


def epochs(n: int = 12) -> pd.DataFrame:
    epoch = np.arange(1, n + 1)
    return pd.DataFrame(
        {
            "epoch": epoch,
            "train_loss": 2 / epoch,
            "val_loss": 2 / epoch + 0.02 * epoch,
            "train_accuracy": 1 - 0.8 / epoch,
            "val_accuracy": 0.9 - 0.8 / epoch,
        }
    )


def alphas(n_seeds: int) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"alpha": a / 20, "seed": s, "val_accuracy": 0.8 - (a / 20 - 0.3) ** 2 + 0.01 * s,
             "test_accuracy": 0.8 - (a / 20 - 0.5) ** 2 - 0.01 * s}
            for a in range(2, 19) for s in range(n_seeds)
        ]
    )  # fmt: skip


def variants() -> pd.DataFrame:
    return pd.DataFrame(
        {"accuracy": [0.7, 0.8], "low": [0.68, np.nan], "high": [0.72, np.nan]},
        index=["audio_only", "late_fusion_with_a_very_long_name"],
    )


MEANINGS = {
    "gate": "mean gate: 1 trusts the sound, 0 the picture",
    "doubt_audio": "uncertainty of the sound: 1 knows nothing",
    "doubt_video": "uncertainty of the picture: 1 knows nothing",
}


def said(n_classes: int = 10) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"diagnostic": name, "class": scene, "mean": place / 20, "low": place / 20 - 0.05, "high": place / 20 + 0.2}
            for number, name in enumerate(MEANINGS)
            for place, scene in enumerate(names(n_classes), 1 + number)
        ]
    )


def weights(n_members: int) -> pd.DataFrame:
    values = np.linspace(0.9, 0.0, n_members)
    return pd.DataFrame({"member": names(n_members), "weight": values, "val_log_loss": values + 0.5})


def heatmap(n_classes: int) -> Figure:
    return confusion_heatmap(counts(n_classes), names(n_classes), "T", note=NOTE)


def shift(n_classes: int) -> Figure:
    return confusion_difference(difference(n_classes), names(n_classes), "T", note=NOTE)


def bars(n_classes: int) -> Figure:
    return conflict_cells(cells(n_classes), "T", note=NOTE)


FIGURES: dict[str, Callable[[], Figure]] = {
    **{f"{draw.__name__} {n}": partial(draw, n) for draw in (heatmap, shift, bars) for n in (2, 10, 20)},
    "loss": lambda: loss_curves(epochs(), 8, "T", note=NOTE),
    "loss and accuracy": lambda: loss_curves(epochs(), 8, "T", show_accuracy=True, note=NOTE),
    "one epoch": lambda: loss_curves(epochs(1), 1, "T", note=NOTE),
    "alpha": lambda: alpha_curve(alphas(1), "T", note=NOTE),
    "alpha, seeds": lambda: alpha_curve(alphas(3), "T", note=NOTE),
    "diagnostics": lambda: diagnostics_by_class(said(), MEANINGS, "T", note=NOTE),
    "one diagnostic": lambda: diagnostics_by_class(said(2), {"gate": MEANINGS["gate"]}, "T", note=NOTE),
    "weights": lambda: ensemble_weights(weights(6), "T", note=NOTE),
    "one weight": lambda: ensemble_weights(weights(1), "T", note=NOTE),
    "variants": lambda: variant_summary(variants(), "T", chance=0.1, note=NOTE),
}


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


@pytest.mark.parametrize("name", FIGURES)
def test_nothing_is_clipped_and_the_note_stands_there(name: str) -> None:
    figure = FIGURES[name]()
    figure.canvas.draw()
    drawn = figure.get_tightbbox()
    assert drawn.x0 >= 0
    assert drawn.y0 >= 0
    assert drawn.x1 <= figure.get_figwidth()
    assert drawn.y1 <= figure.get_figheight()
    assert NOTE in texts(figure)
    assert figure.get_figwidth() <= 7.2


@pytest.mark.parametrize("name", ["heatmap 2", "loss and accuracy", "alpha, seeds", "bars 2", "weights", "variants"])
def test_the_same_data_give_the_same_bytes(name: str) -> None:
    pictures = []
    for _ in range(2):
        file = io.BytesIO()
        FIGURES[name]().savefig(file, format="png")
        pictures.append(file.getvalue())
    assert pictures[0] == pictures[1]


def test_weights_are_as_long_as_they_are_large_and_the_dropped_say_so() -> None:
    axes = ensemble_weights(weights(4), "T").axes[0]
    widths = [patch.get_width() for patch in axes.patches if isinstance(patch, Rectangle)]
    assert widths == pytest.approx([0.9, 0.6, 0.3, 0.0])
    assert [text.get_text() for text in axes.texts] == [
        "0.90, alone 1.400", "0.60, alone 1.100", "0.30, alone 0.800", "dropped, alone 0.500",
    ]  # fmt: skip
    with pytest.raises(UserError, match="ensemble weights: the table has no column weight"):
        ensemble_weights(weights(2).drop(columns="weight"), "T")


def test_heatmap_prints_shares_of_rows_in_class_order() -> None:
    figure = confusion_heatmap(np.array([[3, 1, 0], [0, 0, 0], [1, 399, 0]]), ["b", "a", "c"], "T")
    axes = figure.axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["b", "a", "c"]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["b", "a", "c"]
    assert [text.get_text() for text in axes.texts] == ["0.75", "0.25", "0", "–", "–", "–", "0.00", "1.00", "0"]


def test_numbers_stay_inside_their_cells() -> None:
    for n_classes in (10, 20):
        figure = confusion_heatmap(counts(n_classes), names(n_classes), "T")
        figure.canvas.draw()
        axes = figure.axes[0]
        cell = axes.bbox.width / n_classes
        assert max(text.get_window_extent().width for text in axes.texts) < cell


def test_difference_is_centred_on_zero() -> None:
    figure = confusion_difference(np.array([[0.3, -0.3], [0.004, -1.0]]), ["x", "y"], "T")
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.texts] == ["+.30", "−.30", "0", "−1.00"]
    assert axes.images[0].get_clim() == (-1.0, 1.0)


def test_bars_of_cells_fill_the_width_from_the_top() -> None:
    table = pd.DataFrame(
        {"both": [1, 0], "only_audio": [2, 0], "only_video": [1, 0], "neither": [0, 0]}, index=["x", "empty"]
    )
    axes = conflict_cells(table, "T").axes[0]
    widths = [patch.get_width() for patch in axes.patches if isinstance(patch, Rectangle)]
    assert widths == [0.25, 0, 0.5, 0, 0.25, 0, 0, 0]
    assert axes.yaxis_inverted()
    assert [text.get_text() for text in axes.texts] == ["25", "50", "25"]


def test_loss_curves_draw_the_records_and_mark_the_chosen_epoch() -> None:
    records = epochs()
    figure = loss_curves(records, 8, "T", show_accuracy=True)
    for axes, quantity in zip(figure.axes, ("loss", "accuracy"), strict=True):
        lines = {line.get_label(): line for line in axes.lines}
        for label, part in (("training", "train"), ("validation", "val")):
            np.testing.assert_array_equal(lines[label].get_ydata(), records[f"{part}_{quantity}"])
        np.testing.assert_array_equal(np.asarray(lines["chosen epoch, 8"].get_xdata()), [8, 8])


def test_alpha_is_marked_where_validation_is_best() -> None:
    axes = alpha_curve(alphas(3), "T").axes[0]
    lines = {str(line.get_label()): line for line in axes.lines}
    np.testing.assert_array_equal(np.asarray(lines["alpha chosen on validation: 0.3"].get_xdata()), [0.3, 0.3])
    expected = alphas(3).groupby("alpha")["test_accuracy"].mean()
    np.testing.assert_allclose(np.asarray(lines["test, mean of 3 seeds"].get_ydata(), float), expected)
    band = axes.collections[0].get_paths()[0].get_extents()
    assert (band.y0, band.y1) == pytest.approx((0.8 - 0.36, 0.82))
    given = alpha_curve(alphas(1), "T", best_alpha=0.25).axes[0]
    assert "alpha chosen on validation: 0.25" in [line.get_label() for line in given.lines]


def test_diagnostics_stand_at_their_means_in_the_colour_of_their_modality() -> None:
    axes = diagnostics_by_class(said(2), MEANINGS, "T").axes[0]
    assert [line.get_label() for line in axes.lines] == list(MEANINGS.values())
    assert [np.asarray(line.get_xdata()).tolist() for line in axes.lines] == [[0.05, 0.1], [0.1, 0.15], [0.15, 0.2]]
    assert [line.get_color() for line in axes.lines[1:]] == [AUDIO_COLOUR, VIDEO_COLOUR]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == [shown(name) for name in names(2)]


def test_long_names_keep_both_ends() -> None:
    assert shown("street_pedestrian") == "street_pedestrian"
    assert shown("underground_metro_station_platform_7") == "underground_…_platform_7"


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: confusion_heatmap(counts(3), names(2), "T"), r"shape \(3, 3\) for 2 classes"),
        (lambda: confusion_difference(difference(2), names(3), "T"), r"shape \(2, 2\) for 3 classes"),
        (lambda: loss_curves(epochs()[["epoch", "val_loss"]], 1, "T"), "no column train_loss"),
        (lambda: loss_curves(epochs(), 99, "T"), "the chosen epoch 99 is not among the records"),
        (lambda: alpha_curve(alphas(1).drop(columns="seed"), "T"), "no column seed"),
        (lambda: diagnostics_by_class(said(2).drop(columns="low"), {}, "T"), "no column low"),
        (lambda: conflict_cells(cells(2).drop(columns="both"), "T"), "no column both"),
        (lambda: variant_summary(pd.DataFrame({"f1": [1]}), "T"), "no column accuracy; found f1"),
    ],
)
def test_figures_say_what_is_missing(draw: Callable[[], Figure], message: str) -> None:
    with pytest.raises(UserError, match=message):
        draw()


def test_a_figure_leaves_no_state_behind() -> None:
    import sys

    before = "matplotlib.pyplot" in sys.modules
    FIGURES["loss"]()
    assert ("matplotlib.pyplot" in sys.modules) == before
