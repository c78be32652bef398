"""Prediction files that this field exchanges: the course's TSV (one row per clip) and DCASE's (one per second).

We write tabs, and read tabs or commas.

Course: columns `aid`, `scene_pred`, `scene_label`, then one probability column per class. DCASE 2021 task 1B:
one column of file names, `scene_label` (the *predicted* class), then one probability column per class.

A class may be called like one of the file's own columns: of two columns of that name, the first is the file's.
"""

import csv
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from avfusion.errors import UserError, unknown
from avfusion.scoring.predictions import ROW_SUM_TOLERANCE, SMALLEST_PROBABILITY, Predictions
from avfusion.scoring.table import read_table
from avfusion.system.files import replacing
from avfusion.system.names import check_name

logger = logging.getLogger(__name__)

DcaseNames = Literal["filename_audio_video", "filename_audio", "filename_video"]
COURSE_COLUMNS = ("aid", "scene_pred", "scene_label")
DCASE_NAMES: dict[DcaseNames, str] = {
    "filename_audio_video": ".wav.mp4",
    "filename_audio": ".wav",
    "filename_video": ".mp4",
}
"""First column of a DCASE file and what ends its names, by what the model took in."""

NUMBER = "%.16e"
"""How we write a probability: 17 significant digits bring back the same float64."""
COARSEST_FLOOR = 1e-4
"""Highest floor of a file that rounds its numbers, unless the caller names one."""
ROUNDING_TOLERANCE = 0.05
"""How far a row of printed probabilities may miss 1."""


def write_course_tsv(path: Path, predictions: Predictions) -> None:
    """Write the course's TSV with the decisions as `scene_pred`; reading it back changes no number."""
    classes = np.array(predictions.classes)
    table = pd.DataFrame(
        {
            "aid": predictions.ids,
            "scene_pred": classes[predictions.decisions],
            "scene_label": classes[predictions.labels],
        }
    )
    _write(path, table, predictions)


def read_course_tsv(path: Path, *, floor: float | None = None, shown: str | None = None) -> Predictions:
    """Read the course's TSV over any set of classes; `shown` is what its notes call it, by default the file's name.

    Decisions are the stored `scene_pred`. Probabilities below `floor` are raised to it and rows are then
    normalised. Without a `floor`, it is a tenth of the last decimal that the file prints, at most 1e-4; a file of
    full precision gets none, and its numbers stay as they are. `notes` (also logged) says how many probabilities of
    a true class are exactly 0 and which floor was used.

    Raises `UserError` for a file that is missing, no such table, or in which a clip or a column repeats, a
    column is missing, a class is unknown, or a value is no probability.
    """
    own, cells = read_table(path, COURSE_COLUMNS)
    labels = _indices(path, "scene_label", own["scene_label"], tuple(cells.columns))
    return _predictions(path, cells, own["aid"], "scene_pred", own["scene_pred"], labels, floor, shown)


def write_dcase_tsv(
    path: Path,
    predictions: Predictions,
    names: DcaseNames = "filename_audio_video",
) -> None:
    """Write 1-s predictions (ids `<stem>_<k>`, k = 0..9) as a DCASE TSV; `names` says what the model took in."""
    if names not in DCASE_NAMES:
        raise unknown("column of DCASE file names", names, list(DCASE_NAMES))
    classes = np.array(predictions.classes)
    table = pd.DataFrame(
        {
            names: [clip + DCASE_NAMES[names] for clip in predictions.ids],
            "scene_label": classes[predictions.decisions],
        }
    )
    _write(path, table, predictions)


def read_dcase_tsv(path: Path, truth: Mapping[str, str], *, floor: float | None = None) -> Predictions:
    """Read a DCASE TSV, multimodal or unimodal, as predictions with ids `<stem>_<k>`.

    The file does not hold the true classes: `truth` gives the class of each clip's stem. Decisions, floor,
    notes and errors are those of `read_course_tsv`.
    """
    own, cells = read_table(path, ("filename_audio_video", "scene_label"), tuple(DCASE_NAMES))
    names = next(name for name in DCASE_NAMES if name in own.columns)
    ids = own[names].str.removesuffix(DCASE_NAMES[names])
    stems = ids.str.rpartition("_")[0]
    missing = sorted(set(stems) - set(truth))
    if missing:
        raise UserError(
            f"{path}: the true class of {len(missing)} clip(s) is not known, for instance {missing[0]!r}; "
            "give the list of the clips that the file was made from"
        )
    labels = _indices(path, "true class", stems.map(dict(truth)), tuple(cells.columns))
    return _predictions(path, cells, ids, "scene_label", own["scene_label"], labels, floor)


def _write(path: Path, table: pd.DataFrame, predictions: Predictions) -> None:
    """Append the class columns and write the table, whole or not at all."""
    for what, names in (("id", predictions.ids), ("class", predictions.classes)):
        for name in names:
            check_name(str(path), what, name)
    probabilities = pd.DataFrame(predictions.probabilities, columns=list(predictions.classes))
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        pd.concat([table, probabilities], axis=1).to_csv(
            temporary, sep="\t", index=False, float_format=NUMBER, quoting=csv.QUOTE_NONE
        )


def _indices(path: Path, what: str, names: pd.Series, classes: tuple[str, ...]) -> NDArray[np.int64]:
    """[N] index into `classes` of each name."""
    index = {name: position for position, name in enumerate(classes)}
    strange = sorted({str(name) for name in names if name not in index})
    if strange:
        raise UserError(f"{path}: {what} {strange[0]!r} has no column; the classes are {', '.join(classes)}")
    return np.array([index[name] for name in names], dtype=np.int64)


def _predictions(
    path: Path,
    cells: pd.DataFrame,
    ids: "pd.Series[str]",
    what_decided: str,
    decided: "pd.Series[str]",
    labels: NDArray[np.int64],
    floor: float | None,
    shown: str | None = None,
) -> Predictions:
    if repeated := ids[ids.duplicated()].tolist():
        raise UserError(
            f"{path}: {len(set(repeated))} clip(s) repeat, for instance {repeated[0]!r}; "
            "each clip must stand on one line"
        )
    classes = tuple(cells.columns)
    as_read = _probabilities(path, cells, ids)
    decimals = max(map(_decimals, cells.to_numpy().flat))
    finest = float(f"1e-{decimals + 1}")
    precise = finest < SMALLEST_PROBABILITY
    if floor is None:
        floor = 0.0 if precise else min(finest, COARSEST_FLOOR)
    probabilities = np.maximum(as_read, floor)
    sums = probabilities.sum(axis=1, keepdims=True)
    # Rows that were a softmax sum to 1 but for the last bit, which dividing by the sum would move.
    if renormalised := bool(floor or np.abs(sums - 1).max() > ROW_SUM_TOLERANCE):
        probabilities = probabilities / sums
    zeros = int((np.take_along_axis(as_read, labels[:, None], axis=1) == 0).sum())
    note = (
        f"{shown or path.name}: {'full precision' if precise else f'{decimals} decimals'}; "
        f"{zeros} of {len(cells)} true-class probabilities are 0; {f'floor {floor:g}' if floor else 'no floor'}"
        + ", rows renormalised"
        * renormalised
    )
    if floor or renormalised or zeros:
        logger.info(note)
    return Predictions(
        ids=tuple(ids),
        classes=classes,
        labels=labels,
        probabilities=probabilities,
        decisions=_indices(path, what_decided, decided, classes),
        as_read=as_read,
        notes=(note,),
    )


def _decimals(number: str) -> int:
    """Place behind the point of the last digit that is printed."""
    mantissa, _, exponent = number.strip().lower().partition("e")
    return max(0, len(mantissa.partition(".")[2]) - int(exponent or 0))


def _probabilities(path: Path, cells: pd.DataFrame, ids: "pd.Series[str]") -> NDArray[np.float64]:
    """[N, C] the printed numbers, checked to be probabilities up to rounding."""
    values: NDArray[np.float64] = cells.apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float64)
    bad = ~np.isfinite(values) | (values < 0)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise UserError(
            f"{path}: clip {ids[row]!r} has {cells.iat[row, column]!r} as probability of {cells.columns[column]!r}; "
            "expected a number from 0 to 1"
        )
    sums = values.sum(axis=1)
    row = int(np.abs(sums - 1).argmax())
    if abs(sums[row] - 1) > ROUNDING_TOLERANCE:
        raise UserError(
            f"{path}: the class columns of clip {ids[row]!r} sum to {sums[row]:.4g}; expected probabilities that "
            "sum to 1 (scores must pass a softmax first)"
        )
    return values
