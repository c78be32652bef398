"""What the prediction files leave open: rounded probabilities, zeros, ties (Table G)."""

from dataclasses import replace

import numpy as np

from avfusion.report.document import NOTHING, Section, Table, fact, label, ours
from avfusion.report.material import Material
from avfusion.report.unimodal_section import DECIMALS, rounded_scores
from avfusion.scoring.metrics import accuracy, log_loss
from avfusion.scoring.predictions import Predictions

TINY = 1e-15
"""The floor of many public scorers."""


def reading_section(material: Material) -> Section:
    """Table G and what the reader said about each file."""
    rows = []
    for model in material.variants:
        read, argmax = model.answers, model.answers.by_argmax()
        moved = (rounded_scores(argmax) - rounded_scores(read)).abs().to_numpy()
        cells = int((moved > 10.0 ** -(DECIMALS + 1)).sum())
        largest = f" (at most {moved.max():.2f})" if cells else ""
        rows.append(
            (
                label(model.title),
                ours(str(true_class_zeros(read))),
                ours(log_loss(read)),
                ours(log_loss(floored(read, TINY))),
                fact(int((argmax.decisions != read.decisions).sum())),
                ours(accuracy(argmax)),
                fact(f"{cells}{largest}" if cells else NOTHING),
            )
        )
    columns = (
        "model", "true-class zeros", "log loss as here", "log loss, floor 10⁻¹⁵", "decided otherwise by argmax",
        "accuracy by argmax", "per-class cells changed by that",
    )  # fmt: skip
    notes = (
        "Decisions are those stored. Argmax may decide otherwise: a file with few decimals holds ties, which go to the "
        "first class, and some models decide by another rule than the largest probability.",
        "Per-class cells: precision, recall and F1 of each class with two decimals, as in Tables 1 and 2.",
        "Of the first seed, where a model has several.",
        "; ".join(note.replace(";", ",") for model in material.variants for note in model.answers.notes),
    )
    table = Table("Table G", "what rounding leaves open", columns, tuple(rows), tuple(filter(None, notes)))
    return Section("How the answers were read", (table,))


def true_class_zeros(predictions: Predictions) -> int:
    """How many clips have probability 0 for their true class, as the file printed it."""
    values = _stored(predictions)
    return int((values[np.arange(len(predictions)), predictions.labels] == 0).sum())


def floored(predictions: Predictions, floor: float) -> Predictions:
    """The probabilities as printed, raised to `floor`, rows renormalised."""
    raised = np.maximum(_stored(predictions), floor)
    return replace(predictions, probabilities=raised / raised.sum(axis=1, keepdims=True))


def _stored(predictions: Predictions) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return predictions.probabilities if predictions.as_read is None else predictions.as_read
