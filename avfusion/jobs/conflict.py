"""The job `conflict`: where two unimodal models disagree, and what a fused one makes of it."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from avfusion.analysis.conflict import (
    COMBINATIONS,
    ORACLE,
    cell_table,
    conflict_clips,
    confusion_shift,
    error_table,
    fused_in_cells,
    overall_cells,
    ranked_cells,
    rescues_and_harms,
    scores,
)
from avfusion.analysis.sources import in_file_or_run, open_store
from avfusion.analysis.variant_answers import align
from avfusion.features.provenance import note
from avfusion.figures import conflict_cells, confusion_difference, confusion_heatmap
from avfusion.jobs.text_tables import text_table
from avfusion.report.writing import write_tables
from avfusion.scoring.metrics import confusion
from avfusion.scoring.predictions import Predictions
from avfusion.tracking.artifacts import log_table
from avfusion.tracking.lookup import SIDE_BY_SIDE
from avfusion.tracking.notes import note_page
from avfusion.tracking.runs import job_run, log_asked, log_batch, log_folder, set_tags
from avfusion.tracking.session import connect
from avfusion.tracking.views import PAGES, view_lines

SHORT = {f"{what}_over_{name}": f"{what}_{name}" for what in ("rescues", "harms") for name in ("audio", "video")}
"""What the terminal calls some columns."""
TOP = 3
"""Classes of most conflict whose errors are shown in the terminal."""


def conflict_job(*, audio: str, video: str, fused: str | None, output: Path | None) -> list[str]:
    """Show where the answers of an audio and of a video model disagree, and what a fused model makes of it.

    Args:
        audio, video, fused: the answers of each model, over the same clips: a prediction file, a folder with one, or
            the id of a run, of which the first seed counts; `fused` may be None.
        output: folder for tables (CSV) and figures (PNG); None leaves them to MLflow alone.

    Returns the lines to show. Raises `UserError` for what cannot be read, or sets over different clips.
    """
    connect()
    given = {"audio": audio, "video": video, "fused": fused}
    found = [in_file_or_run(text, name) for name, text in given.items() if text]
    aligned = align(*(one.answers for one in found))
    models = {one.name: answers for one, answers in zip(found, aligned, strict=True)}
    trained_on = next((one.config["features"] for one in found if one.config), None)
    measured = scores(models)
    tables = {"accuracy": measured.rename(_in_words).reset_index(), **_tables(models, trained_on)}
    figures = _figures(models, note(trained_on["provenance"]) if trained_on else None)
    with job_run("conflict") as run, tempfile.TemporaryDirectory() as temporary:
        folder = output or Path(temporary)
        write_tables(tables, figures, folder)
        log_asked(given)
        set_tags({SIDE_BY_SIDE: ", ".join(one.origin for one in found)})
        log_batch({}, _metrics(measured, tables))
        for name, table in tables.items():
            log_table(table, name)
        log_folder(folder, "conflict")
        note_page("conflict", "conflict/cells.png", {one.name: one.run_id for one in found})
        ui = view_lines(run.info.experiment_id, PAGES)
    where = "MLflow, run conflict" if output is None else str(folder.resolve())
    origins = ", ".join(f"{one.name} = {one.origin}" for one in found)
    return [*_lines(tables, origins), f"files    {where}", *ui]


def _tables(models: Mapping[str, Predictions], features: Mapping[str, Any] | None) -> dict[str, pd.DataFrame]:
    """Every table by name; `models` are aligned, with the keys audio, video and perhaps fused."""
    audio, video = models["audio"], models["video"]
    tables = {
        "cells": overall_cells(audio, video).reset_index(),
        "cells_per_class": ranked_cells(audio, video),
        **{f"errors_{name}": error_table(answers) for name, answers in models.items()},
        "conflict_clips": conflict_clips(audio, video, clip_paths(features)),
    }
    if fused := models.get("fused"):
        tables["rescues_and_harms"] = rescues_and_harms(audio, video, fused).reset_index()
        tables["fused_in_cells"] = fused_in_cells(audio, video, fused).reset_index()
    return tables


def _figures(models: Mapping[str, Predictions], note: str | None) -> dict[str, Figure]:
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


def clip_paths(features: Mapping[str, Any] | None) -> dict[str, tuple[str, str]] | None:
    """Sound and picture file of each clip, if the feature store of a run is still there."""
    store = open_store(features) if features else None
    if store is None:
        return None
    root = Path(store.provenance["root"])
    columns = (store.clips[name].astype(str) for name in ("id", "audio", "video"))
    return {
        clip: (str(root / audio) if audio else "", str(root / video) if video else "")
        for clip, audio, video in zip(*columns, strict=True)
    }


def _metrics(measured: pd.DataFrame, tables: Mapping[str, pd.DataFrame]) -> dict[str, float]:
    shares = {f"share/{row['cell']}": float(row["share"]) for row in tables["cells"].to_dict("records")}
    accuracies = {f"accuracy/{name}": float(value) for name, value in measured["accuracy"].items()}
    return {**shares, **accuracies, "conflict_clips": float(len(tables["conflict_clips"]))}


def _in_words(model: str) -> str:
    return f"{model} of audio and video" if model in (*COMBINATIONS, ORACLE) else model


def _lines(tables: Mapping[str, pd.DataFrame], origins: str) -> list[str]:
    cells, classes = tables["cells"], tables["cells_per_class"]
    lines = ["", f"{cells['clips'].sum()} clips; {origins}", "", *text_table(cells), ""]
    lines += [*text_table(tables["accuracy"], decimals=4), "", *text_table(classes), ""]
    for name in ("video", "audio"):
        for scene in classes["class"].iloc[:TOP]:
            errors = tables[f"errors_{name}"]
            found = errors[errors["true_class"] == scene]
            shares = ", ".join(f"{row['predicted']} {row['share']:.3f}" for row in found.to_dict("records"))
            lines.append(f"{name} errors on {scene}, {found['clips'].sum()} clips: {shares or 'none'}")
    if "rescues_and_harms" in tables:
        lines += ["", *text_table(tables["rescues_and_harms"], short=SHORT)]
    return [*lines, "", f"conflict clips: {len(tables['conflict_clips'])}, in conflict_clips.csv"]
