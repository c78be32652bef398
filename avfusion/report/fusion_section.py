"""The fused models: Tables 5 to 9, Figures 4 to 8, and every model side by side (Table F, Figure C)."""

import numpy as np
import pandas as pd

from avfusion.figures import alpha_curve, loss_curves, variant_summary
from avfusion.report import published
from avfusion.report.cautions import scope
from avfusion.report.certainty import accuracies
from avfusion.report.document import (
    Absent,
    Block,
    Cell,
    Picture,
    Section,
    Table,
    blank,
    difference,
    label,
    ours,
    printed,
)
from avfusion.report.material import STUDY_MODELS, Material, Sweep
from avfusion.report.unimodal_section import heatmap, published_heading

NO_SWEEP = "not in {searched}: an alpha sweep (entry point `sweep`)"


def fusion_section(material: Material) -> Section:
    """Tables 5 to 9 and Figures 4 to 8."""
    return Section(
        "Fusion",
        (
            score_table("Table 5", "the baseline", ["baseline"], material),
            score_table("Table 6", "early and late fusion", ["early", "late"], material),
            heatmap("Figure 4", "early", material),
            heatmap("Figure 5", "late", material),
            *sweep_blocks(material),
            score_table("Table 8", "frames flattened instead of averaged", ["flatten"], material),
            score_table("Table 9", "LSTM over the frames", ["lstm"], material),
        ),
    )


def score_table(key: str, caption: str, names: list[str], material: Material) -> Block:
    """Accuracy and log loss of some models: published, ours, difference."""
    if not any(name in material.models for name in names):
        return Absent(key, caption, "; ".join(material.absent(name) for name in names))
    rows, notes = [], []
    for name in names:
        model = material.models.get(name)
        found = None if model is None else (model.metrics["accuracy"], model.metrics["log_loss"])
        rows.append(score_row(model.title if model else STUDY_MODELS[name], published.SCORES[name], found))
        if model is None:
            notes.append(material.absent(name))
        elif model.title != STUDY_MODELS[name]:
            notes.append(f"{model.title}: {model.remarks}; published: {STUDY_MODELS[name]}.")
        elif len(model.seeds) > 1:
            notes.append(f"{model.title}: mean over {len(model.seeds)} seeds.")
    return Table(key, caption, score_columns(), tuple(rows), tuple(notes), score_spans(material))


def score_row(name: str, theirs: tuple[float, float] | None, found: tuple[float, float] | None) -> tuple[Cell, ...]:
    """One model's accuracy and log loss: published, ours, difference."""
    both = theirs or (None, None)
    mine = found or (None, None)
    return (
        label(name),
        *(printed(value) for value in both),
        *(ours(value) for value in mine),
        *(difference(value, other) for value, other in zip(mine, both, strict=True)),
    )


def score_columns() -> tuple[str, ...]:
    """Columns of `score_row`."""
    return ("model", *("accuracy", "log loss") * 3)


def score_spans(material: Material) -> tuple[tuple[str, int], ...]:
    """Headings above `score_columns`."""
    return (("", 1), (published_heading(material), 2), ("ours", 2), ("difference", 2))


def sweep_blocks(material: Material) -> list[Block]:
    """Figure 6, Table 7, Figures 7 and 8: all that needs the alpha sweep."""
    sweep = material.sweep
    figures = {
        "Figure 6": "Accuracy against alpha, the weight of the video in late fusion",
        "Figure 7": "Confusion, late fusion at the best alpha",
        "Figure 8": "Training and validation loss, late fusion at the best alpha",
    }
    if sweep is None:
        reason = NO_SWEEP.format(searched=material.searched)
        absent = [Absent(key, caption, reason) for key, caption in figures.items()]
        return [absent[0], Absent("Table 7", "late fusion at the best alpha", reason), *absent[1:]]
    title = f"late fusion, alpha = {sweep.best_alpha:g}"
    drawn = alpha_curve(
        sweep.records, "Late fusion, accuracy by alpha", best_alpha=sweep.best_alpha, note=material.note
    )
    seeds = f"Lines are means over {sweep.n_seeds} seeds, bands run from the least to the greatest. "
    printed_best = f"The study's curve has its best point, {published.SCORES['best_late'][0]}, at alpha 0.25."
    return [
        Picture("Figure 6", figures["Figure 6"], drawn, ((seeds if sweep.n_seeds > 1 else "") + printed_best,)),
        best_alpha_table(sweep, material),
        heatmap("Figure 7", "", material, sweep.answers, title),
        _losses(sweep, figures["Figure 8"], title, material),
    ]


def best_alpha_table(sweep: Sweep, material: Material) -> Table:
    """Table 7: late fusion at the alpha chosen on validation, and at the one that the test clips favour.

    The second row is what the study seems to have done. It is computed here, for reading, and goes nowhere else.
    """
    means = sweep.means[["test_accuracy", "test_log_loss"]]
    favoured = float(means.index[int(means["test_accuracy"].to_numpy().argmax())])
    rows = (
        score_row("alpha chosen on validation", published.SCORES["best_late"], _scores(means, sweep.best_alpha)),
        score_row("alpha favoured by the test clips", published.SCORES["best_late"], _scores(means, favoured)),
    )
    alphas = (printed(published.BEST_ALPHA, 2), ours(sweep.best_alpha, 2)), (blank(), ours(favoured, 2))
    notes = [
        "Choosing alpha on the test clips is what the study seems to have done; it flatters the result, and nothing in "
        "this project selects by that row."
    ]
    if sweep.n_seeds > 1:
        notes.append(f"Means over {sweep.n_seeds} seeds; Figures 7 and 8 are of the first.")
    return Table(
        "Table 7",
        "late fusion at the best alpha",
        (*score_columns(), "alpha published", "alpha ours"),
        tuple((*row, *pair) for row, pair in zip(rows, alphas, strict=True)),
        tuple(notes),
        (*score_spans(material), ("", 2)),
    )


def overview_section(material: Material) -> Section:
    """Table F and Figure C: every model side by side."""
    metrics = ("accuracy", "log_loss", "macro_f1", "class_accuracy", "class_log_loss")
    found = accuracies(material)
    rows = tuple(
        (label(model.title), *(ours(model.metrics[name]) for name in metrics), ours(_interval(low, high)))
        for model, low, high in zip(material.variants, found["low"], found["high"], strict=True)
    )
    columns = ("model", "accuracy", "log loss", "macro F1", "class-averaged accuracy", "class-averaged log loss",
               "accuracy, 95 % interval")  # fmt: skip
    together = (
        "clips of one location counted together."
        if material.clip_locations is not None
        else "locations are not known, so every clip counts for itself, which makes it too narrow if several clips "
        "come from one recording."
    )
    notes = (f"Test clips, one answer per clip. Interval: {together} {scope(material)}",)
    summary = found.set_axis([model.title for model in material.variants]).rename(columns={"value": "accuracy"})
    summary = summary.replace([-np.inf, np.inf], np.nan)
    chance = 1 / len(material.first.classes)
    drawn = variant_summary(summary, "Test accuracy, 95 % interval", chance=chance, note=material.note)
    return Section(
        "Every model",
        (
            Table("Table F", "every model", columns, rows, notes),
            Picture("Figure C", "Accuracy of every model with its 95 % interval", drawn),
        ),
    )


def _interval(low: float, high: float) -> str:
    return f"{low:.3f} to {high:.3f}" if np.isfinite(high - low) else "not known"


def _scores(means: pd.DataFrame, alpha: float) -> tuple[float, float]:
    return float(means["test_accuracy"].loc[alpha]), float(means["test_log_loss"].loc[alpha])


def _losses(sweep: Sweep, caption: str, title: str, material: Material) -> Block:
    if sweep.history.empty:
        return Absent("Figure 8", caption, f"not in {material.searched}: the loss curves of the sweep's best alpha")
    best = int(sweep.history["epoch"].to_numpy()[sweep.history["val_loss"].to_numpy().argmin()])
    drawn = loss_curves(sweep.history, best, f"{title}, loss by epoch", note=material.note)
    return Picture("Figure 8", caption, drawn)
