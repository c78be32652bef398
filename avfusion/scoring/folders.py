"""Folders of prediction files: a file per model, named after it, or a folder per model with one file in it."""

from pathlib import Path
from typing import NamedTuple

from avfusion.errors import UserError
from avfusion.scoring.predictions import Predictions
from avfusion.scoring.table import read_header
from avfusion.scoring.tsv import COURSE_COLUMNS, read_course_tsv
from avfusion.system.names import escaped

VALIDATION = "val"
"""Folder beside those of the test clips' answers, laid out alike, for answers on validation clips; no model."""
LOOKED_FOR = f"looked for *.tsv, and *.csv with the columns {', '.join(COURSE_COLUMNS)}"


class ModelAnswers(NamedTuple):
    """What a file says, and its path from the folder that was given."""

    origin: str
    predictions: Predictions


def read_folder(folder: Path) -> dict[str, ModelAnswers]:
    """The answers of every model in `folder` by its name, in the order of the names.

    A model is a prediction file in `folder`, under its name without suffix, or a folder with one such file in it. What
    no text can hold of a name, as bytes that are not UTF-8, is written out (see `escaped`).
    Raises `UserError` if there is none, if two have one name, if a model's folder has several files, and for a file
    that cannot be read.
    """
    found: dict[str, Path] = {}
    for name, path in _models(folder):
        if name in found:
            both = " and ".join(str(one.relative_to(folder)) for one in (found[name], path))
            raise UserError(f"{folder}: {both} are both of the model {name!r}; rename or remove one")
        found[name] = path
    if not found:
        raise UserError(f"{folder.resolve()}: no predictions here; {LOOKED_FOR}, in it and in its folders")
    origins = {name: escaped(str(found[name].relative_to(folder))) for name in sorted(found)}
    return {name: ModelAnswers(origin, read_course_tsv(found[name], shown=origin)) for name, origin in origins.items()}


def file_of_model(folder: Path) -> Path:
    """The prediction file of a model's folder; `UserError` unless there is exactly one."""
    files = prediction_files(folder)
    if not files:
        raise UserError(f"{folder.resolve()}: no predictions here; {LOOKED_FOR}; name a file or one model's folder")
    if len(files) > 1:
        names = ", ".join(path.name for path in files)
        raise UserError(f"{folder}: {len(files)} prediction files of one model ({names}); keep or name one of them")
    return files[0]


def prediction_files(folder: Path) -> list[Path]:
    """The prediction files directly in `folder`; a CSV that has none of the course's columns is something else."""
    return [path for path in _visible(folder) if path.is_file() and _holds_predictions(path)]


def _models(folder: Path) -> list[tuple[str, Path]]:
    files = [(escaped(path.stem), path) for path in prediction_files(folder)]
    folders = [path for path in _visible(folder) if path.is_dir() and path.name != VALIDATION]
    return files + [(escaped(path.name), file_of_model(path)) for path in folders if prediction_files(path)]


def _visible(folder: Path) -> list[Path]:
    if not folder.is_dir():
        found = "not a folder" if folder.exists() else "no such folder"
        raise UserError(f"{folder.resolve()}: {found}; expected a folder of prediction files")
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise UserError(f"{folder.resolve()}: cannot be read ({error.strerror})") from error


def _holds_predictions(path: Path) -> bool:
    suffix = path.suffix.lower()
    return suffix == ".tsv" or (suffix == ".csv" and not set(COURSE_COLUMNS).isdisjoint(read_header(path).columns))
