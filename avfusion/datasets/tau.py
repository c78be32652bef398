"""The layout of TAU Urban Audio-Visual Scenes 2021 (Wang et al., ICASSP 2021; zenodo.org/records/4477542).

    ROOT/audio/airport-lisbon-1175-44106.wav
    ROOT/video/airport-lisbon-1175-44106.mp4
    ROOT/evaluation_setup/fold1_train.csv, fold1_evaluate.csv   filename_audio, filename_video, scene_label
    ROOT/meta.csv                                               the same columns

All lists are tab-separated. Training clips are left without a split: there is no official validation
list, and it must be drawn by location. ROOT/synthetic.json marks rendered scenes.
"""

import logging
import re
from pathlib import Path, PurePosixPath

from avfusion.datasets.dataset import Clip, Dataset, inside, unique_ids
from avfusion.datasets.lists import Listed, Row, check_listed_once, read_rows
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
        UserError: a column is missing or repeats, a list is empty or not UTF-8, a cell cannot be used, a
            name does not tell the location, a clip is listed twice, a file has two labels, or a path
            leaves the folder.
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
        names = {row.cells["filename_audio"] for row in tested}
        trained = [row for row in _rows(path / "meta.csv") if row.cells["filename_audio"] not in names]
    for note in notes:
        _log.warning("%s: %s", path, note)
    rows = [(row, "") for row in trained] + [(row, "test") for row in tested]
    ids = unique_ids([row.cells["filename_audio"] for row, _ in rows], path)
    files = [
        [inside(path, row.cells[name], allow_outside=allow_outside) for name in ("filename_audio", "filename_video")]
        for row, _ in rows
    ]
    clips = tuple(
        Clip(
            id=clip_id,
            label=row.cells["scene_label"],
            location=location_of(row.cells["filename_audio"]),
            split=split,
            audio=audio,
            video=video,
        )
        for clip_id, (row, split), (audio, video) in zip(ids, rows, files, strict=True)
    )
    check_listed_once(
        Listed(row.line, clip.label, clip.audio, clip.video) for (row, _), clip in zip(rows, clips, strict=True)
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


def _rows(path: Path) -> list[Row]:
    """The rows of a tab-separated list."""
    columns, rows = read_rows(path, "\t", COLUMNS)
    missing = [name for name in COLUMNS if name not in columns]
    if missing:
        found = ", ".join(columns) if columns else "none"
        raise UserError(f"{path} has no column {missing[0]!r}; columns found: {found} (the list must be tab-separated)")
    if not rows:
        raise UserError(f"{path} lists no clips; it needs one line per clip below the header")
    for row in rows:
        if empty := [name for name in COLUMNS if not row.cells[name]]:
            raise UserError(f"{row.line}: {empty[0]} is empty")
    return rows
