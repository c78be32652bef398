"""One modality alone: Tables 1 and 2 (per class), Figures 2 and 3 (confusion)."""

import pandas as pd

from avfusion.analysis.variant_answers import VariantAnswers
from avfusion.figures import confusion_heatmap
from avfusion.report import published
from avfusion.report.document import (
    Absent,
    Block,
    Cell,
    Picture,
    Section,
    Table,
    difference,
    fact,
    label,
    ours,
    printed,
)
from avfusion.report.material import Material
from avfusion.scoring.metrics import confusion, per_class
from avfusion.scoring.predictions import Predictions

SCORES = ("precision", "recall", "f1")
DECIMALS = 2


def unimodal_section(material: Material) -> Section:
    """Tables 1 and 2, Figures 2 and 3."""
    blocks: list[Block] = []
    for table, figure, name in (("Table 1", "Figure 2", "video_only"), ("Table 2", "Figure 3", "audio_only")):
        caption = f"{name.replace('_', ' ')}, per class"
        model = material.models.get(name)
        if model is None:
            blocks.append(Absent(table, caption, material.absent(name)))
        else:
            blocks.append(per_class_table(table, caption, model, material))
        blocks.append(heatmap(figure, name, material))
    return Section("One modality alone", tuple(blocks))


def per_class_table(key: str, caption: str, model: VariantAnswers, material: Material) -> Table:
    """Precision, recall and F1 of each class: published, ours, difference; classes of either side."""
    reference = published.PER_CLASS[model.name]
    scores = per_class(model.answers)[list(SCORES)]
    support = per_class(model.answers)["support"]
    rows: list[tuple[Cell, ...]] = []
    for scene in [*model.answers.classes, *(name for name in reference if name not in model.answers.classes)]:
        theirs = reference.get(scene, (None,) * len(SCORES))
        mine = list(scores.loc[scene]) if scene in scores.index else [None] * len(SCORES)
        rows.append(
            (
                label(scene),
                *(printed(value, DECIMALS) for value in theirs),
                *(ours(value, DECIMALS) for value in mine),
                *(difference(value, other, DECIMALS) for value, other in zip(mine, theirs, strict=True)),
                fact(support.get(scene, 0)),
            )
        )
    several = len(model.seeds) > 1
    over = f", means over {len(model.seeds)} seeds" if several else ""
    notes = [f"Accuracy {model.metrics['accuracy']:.3f}, log loss {model.metrics['log_loss']:.3f}{over} (Table F)."]
    if several:
        notes.insert(0, "The table is of the first seed.")
    names = ("precision", "recall", "F1")
    spans = (("", 1), (published_heading(material), 3), ("ours", 3), ("difference", 3), ("", 1))
    return Table(key, caption, ("class", *names, *names, *names, "test clips"), tuple(rows), tuple(notes), spans)


def rounded_scores(predictions: Predictions) -> pd.DataFrame:
    """Precision, recall and F1 per class with the decimals of the study."""
    return per_class(predictions)[list(SCORES)].round(DECIMALS)


def published_heading(material: Material) -> str:
    """Heading of published values: on other data than the study's they are for reference only."""
    return "published (reference only)" if material.not_tau else "published"


def heatmap(key: str, name: str, material: Material, predictions: Predictions | None = None, title: str = "") -> Block:
    """The confusion heatmap of a model, by its id, or of these predictions."""
    model = material.models.get(name)
    if predictions is None and model is not None:
        predictions, title = model.answers, model.title
    caption = f"Confusion, {title or name.replace('_', ' ')}: shares of each true class, test clips"
    if predictions is None:
        return Absent(key, caption, material.absent(name))
    drawn = confusion_heatmap(confusion(predictions), predictions.classes, f"{title}, test clips", note=material.note)
    several = model is not None and len(model.seeds) > 1
    notes = (f"Of the first of {len(model.seeds)} seeds.",) if model is not None and several else ()
    return Picture(key, caption, drawn, notes)
