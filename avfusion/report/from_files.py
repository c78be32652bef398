"""The material of a report from a folder of prediction files."""

from collections.abc import Sequence
from pathlib import Path

from avfusion.datasets.tau import location_of
from avfusion.errors import UserError
from avfusion.predictions import Predictions
from avfusion.report.material import STUDY_MODELS, Material, Model, in_order, over_same_clips
from avfusion.tsv import read_folder

FILE_NAMES = {"early_fusion": "early", "late_fusion": "late"}
"""Other names of files than the ids of the models."""

PLACE = "these files"
UNKNOWN = "not known: prediction files do not say"


def material_of_folder(folder: Path) -> Material:
    """Every course TSV in `folder`: the study's models by name, any other listed too.

    Known names: audio_only, video_only, baseline, early or early_fusion, late or late_fusion, flatten, lstm.
    Raises `UserError` for a folder or file that cannot be used, or if two files are the same model.
    """
    found: dict[str, Model] = {}
    for name, predictions in read_folder(folder).items():
        identity = FILE_NAMES.get(name, name)
        if identity in found:
            raise UserError(f"{folder}: {found[identity].origin} and {name}.tsv are the same model; keep one of them")
        found[identity] = _model(identity, f"{name}.tsv", predictions)
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


def _model(identity: str, file: str, predictions: Predictions) -> Model:
    remarks = {
        "late": "the file does not say which alpha",
    }.get(identity, "" if identity in STUDY_MODELS else "not a model of the study")
    return Model(identity, STUDY_MODELS.get(identity, identity), file, (predictions,), remarks)
