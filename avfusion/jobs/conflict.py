"""The job `conflict`: where two unimodal models disagree, and what a fused one makes of it."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from avfusion.analysis.conflict import align
from avfusion.errors import UserError
from avfusion.features import FeatureStore
from avfusion.features.provenance import note
from avfusion.report.conflict_analysis import conflict_figures, conflict_tables
from avfusion.report.writing import png
from avfusion.scoring.folders import file_of_model
from avfusion.scoring.predictions import Predictions
from avfusion.scoring.tsv import read_course_tsv
from avfusion.system.files import replacing, write_atomically
from avfusion.tracking.artifacts import log_table
from avfusion.tracking.lookup import find_run, read_config, read_predictions, seed_runs
from avfusion.tracking.runs import job_run, log_asked, log_batch, log_folder
from avfusion.tracking.session import connect

TOP = 3
"""Classes of most conflict whose errors are shown in the terminal."""


@dataclass(frozen=True)
class Answers:
    """One set of predictions and what is known of it."""

    predictions: Predictions
    origin: str
    features: Mapping[str, Any] | None = None
    """Path and provenance of the features, if it comes from a run."""


def conflict_job(*, audio: str, video: str, fused: str | None, output: Path | None) -> list[str]:
    """Show where the answers of an audio and of a video model disagree, and what a fused model makes of it.

    Args:
        audio, video, fused: the answers of each model, over the same clips: a prediction file, a folder with one, or
            the id of a run; `fused` may be None.
        output: folder for tables (CSV) and figures (PNG); None leaves them to MLflow alone.

    Returns the lines to show. Raises `UserError` for what cannot be read, or sets over different clips.
    """
    connect()
    given = {"audio": audio, "video": video, "fused": fused}
    sets = {name: read_answers(text) for name, text in given.items() if text}
    models = dict(zip(sets, align(*(answers.predictions for answers in sets.values())), strict=True))
    features = next((answers.features for answers in sets.values() if answers.features), None)
    tables = conflict_tables(models, clip_paths(features))
    figures = conflict_figures(models, note(features["provenance"]) if features else None)
    with job_run("conflict"), tempfile.TemporaryDirectory() as temporary:
        folder = output or Path(temporary)
        _write(tables, figures, folder)
        log_asked(given)
        log_batch({}, _metrics(tables))
        for name, table in tables.items():
            log_table(table, name)
        log_folder(folder, "conflict")
    origins = ", ".join(f"{name} = {answers.origin}" for name, answers in sets.items())
    return _lines(tables, origins, str(output.resolve()) if output else "MLflow, run conflict")


def read_answers(text: str) -> Answers:
    """The test answers of a prediction file, of a model's folder with one, or of a run: those of its first seed."""
    path = Path(text)
    if path.is_dir() or path.is_file() or path.suffix in (".tsv", ".csv"):
        path = file_of_model(path) if path.is_dir() else path
        return Answers(read_course_tsv(path, shown=str(path)), str(path))
    run = find_run(text)
    seeds = seed_runs(run)
    several = f", first of {len(seeds)} seeds" if len(seeds) > 1 else ""
    return Answers(read_predictions(seeds[0], "test"), run.title + several, read_config(seeds[0])["features"])


def clip_paths(features: Mapping[str, Any] | None) -> dict[str, tuple[str, str]] | None:
    """Sound and picture file of each clip, if the feature store of a run is still there."""
    if features is None:
        return None
    try:
        store = FeatureStore.open(Path(features["path"]))
    except UserError:
        return None
    root = Path(store.provenance["root"])
    columns = (store.clips[name].astype(str) for name in ("id", "audio", "video"))
    return {
        clip: (str(root / audio) if audio else "", str(root / video) if video else "")
        for clip, audio, video in zip(*columns, strict=True)
    }


def _write(tables: Mapping[str, pd.DataFrame], figures: Mapping[str, Figure], folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, table in tables.items():
            with replacing(folder / f"{name}.csv") as path:
                table.to_csv(path, index=False)
        for name, figure in figures.items():
            write_atomically(folder / f"{name}.png", png(figure))
    except OSError as error:
        raise UserError(
            f"output={folder}: cannot be written ({error.strerror or error}); name a folder that can, as output=FOLDER"
        ) from error


def _metrics(tables: Mapping[str, pd.DataFrame]) -> dict[str, float]:
    cells, scores = tables["cells"].to_dict("records"), tables["accuracy"].to_dict("records")
    shares = {f"share/{row['cell']}": float(row["share"]) for row in cells}
    accuracies = {
        f"accuracy/{row['model'].removesuffix(' of audio and video')}": float(row["accuracy"]) for row in scores
    }
    return {**shares, **accuracies, "conflict_clips": float(len(tables["conflict_clips"]))}


def _lines(tables: Mapping[str, pd.DataFrame], origins: str, place: str) -> list[str]:
    cells, classes = tables["cells"], tables["cells_per_class"]
    lines = ["", f"{cells['clips'].sum()} clips; {origins}", "", _text(cells), "", _text(tables["accuracy"], 4), ""]
    lines += [_text(classes), ""]
    for name in ("video", "audio"):
        for scene in classes["class"].iloc[:TOP]:
            errors = tables[f"errors_{name}"]
            found = errors[errors["true_class"] == scene]
            shares = ", ".join(f"{row['predicted']} {row['share']:.3f}" for row in found.to_dict("records"))
            lines.append(f"{name} errors on {scene}, {found['clips'].sum()} clips: {shares or 'none'}")
    if "rescues_and_harms" in tables:
        lines += ["", _text(tables["rescues_and_harms"])]
    return [*lines, "", f"conflict clips: {len(tables['conflict_clips'])}, in conflict_clips.csv", f"files    {place}"]


def _text(table: pd.DataFrame, decimals: int = 3) -> str:
    return str(table.to_string(index=False, na_rep="–", float_format=lambda value: f"{value:.{decimals}f}"))
