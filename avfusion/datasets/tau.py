"""The layout of TAU Urban Audio-Visual Scenes 2021 (Wang et al., ICASSP 2021; zenodo.org/records/4477542).

    ROOT/audio/airport-lisbon-1175-44106.wav
    ROOT/video/airport-lisbon-1175-44106.mp4
    ROOT/evaluation_setup/fold1_train.csv, fold1_evaluate.csv   filename_audio, filename_video, scene_label
    ROOT/meta.csv                                               the same columns

All lists are tab-separated. Training clips are left without a split: there is no official validation
list, and it must be drawn by location. ROOT/synthetic.json marks rendered scenes.
"""

import csv
import logging
import re
from pathlib import Path, PurePosixPath

from avfusion.datasets.clips import Clip, Dataset, inside, unique_ids
from avfusion.errors import UserError

LAYOUT = "a TAU folder with evaluation_setup/fold1_train.csv and fold1_evaluate.csv, or meta.csv (tab-separated)"
COLUMNS = ("filename_audio", "filename_video", "scene_label")
SYNTHETIC_MARK = "synthetic.json"

# scene-city-location-segment, where newer recordings carry the device (-a) behind it.
_NAME = re.compile(r"(?P<location>[^-]+-[^-]+-[^-]+)-[^-]+(-[a-z]\d*)?")

_log = logging.getLogger(__name__)


def matches(path: Path) -> bool:
    """Whether `path` is a folder with the lists of TAU."""
    return path.is_dir() and any((path / name).is_file() for name in ("evaluation_setup/fold1_train.csv", "meta.csv"))


def read(path: Path, *, allow_outside: bool = False) -> Dataset:
    """The clips of the fold 1 lists: training clips with split "", evaluation clips with "test".

    Without fold1_train.csv, every clip of meta.csv that fold1_evaluate.csv does not name has split "";
    without fold1_evaluate.csv, no clip is marked "test".

    Raises:
        UserError: a column is missing, a list is empty or not UTF-8, a name does not tell the
            location, a clip is listed twice, or a path leaves the folder.
    """
    setup = path / "evaluation_setup"
    training, evaluation = setup / "fold1_train.csv", setup / "fold1_evaluate.csv"
    notes = []
    tested = _rows(evaluation) if evaluation.is_file() else []
    if not tested:
        notes.append("there is no fold1_evaluate.csv: the test clips are drawn by location")
    if training.is_file():
        trained = _rows(training)
    else:
        notes.append("there is no fold1_train.csv: the clips come from meta.csv")
        names = {row["filename_audio"] for row in tested}
        trained = [row for row in _rows(path / "meta.csv") if row["filename_audio"] not in names]
    for note in notes:
        _log.warning("%s: %s", path, note)
    rows = [(row, "") for row in trained] + [(row, "test") for row in tested]
    ids = unique_ids([row["filename_audio"] for row, _ in rows], path)
    clips = tuple(
        Clip(
            id=clip_id,
            label=row["scene_label"],
            location=location_of(row["filename_audio"]),
            split=split,
            audio=inside(path, row["filename_audio"], allow_outside=allow_outside),
            video=inside(path, row["filename_video"], allow_outside=allow_outside),
        )
        for clip_id, (row, split) in zip(ids, rows, strict=True)
    )
    root = path.absolute()
    return Dataset(root.name, root, clips, synthetic=(path / SYNTHETIC_MARK).exists(), notes=tuple(notes))


def location_of(name: str) -> str:
    """The location in a file name: "audio/airport-lisbon-1175-44106-a.wav" gives "airport-lisbon-1175".

    Raises:
        UserError: the name is not scene-city-location-segment.
    """
    match = _NAME.fullmatch(PurePosixPath(name).stem)
    if match is None:
        raise UserError(
            f"the file name {name!r} is not scene-city-location-segment, which TAU lists need to keep locations apart"
        )
    return match["location"]


def _rows(path: Path) -> list[dict[str, str]]:
    """The rows of a tab-separated list."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, delimiter="\t", restval="")
            columns = reader.fieldnames or []
            missing = [name for name in COLUMNS if name not in columns]
            if missing:
                found = ", ".join(columns) if columns else "none"
                raise UserError(
                    f"{path} has no column {missing[0]!r}; columns found: {found} (the list must be tab-separated)"
                )
            rows = list(reader)
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        raise UserError(f"{path} cannot be read as a UTF-8 tab-separated file: {error}") from error
    if not rows:
        raise UserError(f"{path} lists no clips; it needs one line per clip below the header")
    for number, row in enumerate(rows, start=2):
        empty = [name for name in COLUMNS if not row[name].strip()]
        if empty:
            raise UserError(f"{path}, line {number}: {empty[0]} is empty")
    return rows
