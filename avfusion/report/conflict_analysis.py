"""The whole conflict analysis of two sets of answers as tables and figures, for files and for MLflow."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from avfusion.analysis.conflict import (
    ALL,
    COMBINATIONS,
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
from avfusion.figures import conflict_cells, confusion_difference, confusion_heatmap
from avfusion.scoring.metrics import accuracy, confusion, log_loss
from avfusion.scoring.predictions import Predictions


def conflict_tables(
    models: Mapping[str, Predictions], paths: Mapping[str, tuple[str, str]] | None
) -> dict[str, pd.DataFrame]:
    """Every table by name; `models` are aligned, with keys audio, video and perhaps fused.

    `paths` gives each clip's sound and picture file, for the list of conflict clips.
    """
    audio, video = models["audio"], models["video"]
    tables = {
        "accuracy": accuracies(models),
        "cells": overall_cells(audio, video).reset_index(),
        "cells_per_class": ranked_cells(audio, video),
        **{f"errors_{name}": error_table(answers) for name, answers in models.items()},
        "conflict_clips": conflict_clips(audio, video, paths),
    }
    if fused := models.get("fused"):
        tables["rescues_and_harms"] = rescues_and_harms(audio, video, fused).reset_index()
        tables["fused_in_cells"] = fused_in_cells(audio, video, fused).reset_index()
    return tables


def accuracies(models: Mapping[str, Predictions]) -> pd.DataFrame:
    """Accuracy and log loss of each model, of combinations without training, and of the oracle."""
    audio, video = models["audio"], models["video"]
    combined = {f"{rule} of audio and video": combine(audio, video, rule) for rule in COMBINATIONS}
    rows = [
        {"model": name, "accuracy": accuracy(answers), "log_loss": log_loss(answers)}
        for name, answers in {**models, **combined}.items()
    ]
    return pd.DataFrame([*rows, {"model": "oracle of audio and video", "accuracy": oracle_accuracy(audio, video)}])


def ranked_cells(audio: Predictions, video: Predictions) -> pd.DataFrame:
    """The four cells per class with its rank by conflict (1: most), then all classes together."""
    table = cell_table(audio, video)
    counts = table.drop(columns="conflict").sum()
    conflict = (counts["only_audio"] + counts["only_video"]) / counts["clips"]
    total = pd.DataFrame([{"class": ALL, **counts.to_dict(), "conflict": conflict}])
    ranked = pd.concat([table.reset_index(), total], ignore_index=True)
    ranked.insert(1, "rank", pd.Series([*range(1, len(table) + 1), None], dtype="Int64"))
    return ranked


def error_table(predictions: Predictions) -> pd.DataFrame:
    """For each true class, what the model answers where it is wrong: clips and share of the class's errors."""
    tables = [
        error_distribution(predictions, scene).reset_index().assign(true_class=scene) for scene in predictions.classes
    ]
    return pd.concat(tables, ignore_index=True)[["true_class", "predicted", "clips", "share"]]


def conflict_figures(models: Mapping[str, Predictions], note: str | None) -> dict[str, Figure]:
    """Every figure by name; `note` stands in each."""
    audio, video = models["audio"], models["video"]
    return {
        "cells": conflict_cells(cell_table(audio, video), "Who is right", note=note),
        "confusion_difference": confusion_difference(
            confusion_shift(audio, video), audio.classes, "Confusion, audio minus video", note=note
        ),
        **{
            f"confusion_{name}": confusion_heatmap(confusion(answers), answers.classes, f"Confusion, {name}", note=note)
            for name, answers in models.items()
        },
    }
