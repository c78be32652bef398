"""The material of a report from a folder of prediction files."""

import re
from collections.abc import Sequence
from pathlib import Path

from avfusion.datasets.tau import location_of
from avfusion.errors import UserError
from avfusion.report import published
from avfusion.report.material import STUDY_MODELS, Material, Model, in_order, over_same_clips
from avfusion.scoring.folders import read_folder
from avfusion.scoring.predictions import Predictions

LATE = re.compile(r"late(_fusion)?([-_ ]alpha[-_ =]?(?P<alpha>[01]?\.\d+))?")
"""Names of files of late fusion; the study's only if they name its alpha, or none."""

PLACE = "these files"
UNKNOWN = "not known: prediction files do not say"


def material_of_folder(folder: Path) -> Material:
    """Every model in `folder` (see `read_folder`): those of the study by name, any other listed too.

    Known names: audio_only, video_only, baseline, early or early_fusion, late or late_fusion (with `_alpha_0.5` or
    without), flatten, lstm. Raises `UserError` for what cannot be used, or if two files are the same model.
    """
    found: dict[str, Model] = {}
    for name, (origin, predictions) in read_folder(folder).items():
        model = _model(name, origin, predictions)
        if model.id in found:
            raise UserError(f"{folder}: {found[model.id].origin} and {origin} are the same model; keep one of them")
        found[model.id] = model
    models, remarks = over_same_clips(in_order(list(found.values())))
    return Material(
        source=f"the prediction files in {folder.resolve().name}",
        place=PLACE,
        models=models,
        facts=(
            ("dataset", UNKNOWN),
            ("synthetic scenes", UNKNOWN),
            ("embedder, trained?", UNKNOWN),
            ("training and validation clips", UNKNOWN),
        ),
        remarks=tuple(remarks),
        locations=locations_by_name(next(iter(models.values())).answers.ids),
    )


def locations_by_name(clips: Sequence[str]) -> dict[str, str] | None:
    """The place of each clip, if all are named scene-city-location-segment; else None."""
    try:
        return {clip: location_of(clip) for clip in clips}
    except UserError:
        return None


def _model(name: str, origin: str, predictions: Predictions) -> Model:
    if late := LATE.fullmatch(name):
        if late["alpha"] is None:
            return Model("late", "late fusion", origin, (predictions,), "the file does not say which alpha")
        if float(late["alpha"]) == published.ALPHA:
            name = "late"
    identity = "early" if name == "early_fusion" else name
    remarks = "" if identity in STUDY_MODELS else "not a model of the study"
    return Model(identity, STUDY_MODELS.get(identity, identity), origin, (predictions,), remarks)
