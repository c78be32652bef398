"""Tables of text in a prediction file: the columns of the file itself, and one per class."""

import csv
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from avfusion.errors import UserError


class Header(NamedTuple):
    """The first line of a table."""

    separator: str
    columns: tuple[str, ...]


def read_header(path: Path) -> Header:
    """What separates the columns of the table `path`, and their names; a table without a tab may have commas."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            line = next((line for line in file if line.strip()), "").rstrip("\r\n")
    except OSError as error:
        raise UserError(f"{path.resolve()}: cannot be read ({error.strerror}); expected predictions") from error
    if "," in line and "\t" not in line:
        return Header(",", tuple(next(csv.reader([line]))))
    return Header("\t", tuple(line.split("\t")))


def read_table(
    path: Path, expected: tuple[str, ...], instead: tuple[str, ...] = ()
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The file's own columns, the `expected`, and those of its classes, as text cells; none of either repeats.

    The first of `instead` that is there takes the place of the first `expected`.
    """
    if not path.is_file():
        raise UserError(f"{path.resolve()}: no such file; expected predictions, a table with tabs or commas")
    separator = read_header(path).separator
    tabs = separator == "\t"
    try:
        cells = pd.read_csv(
            path, sep=separator, header=None, dtype=str, keep_default_na=False,
            quoting=csv.QUOTE_NONE if tabs else csv.QUOTE_MINIMAL,
            encoding="utf-8-sig", skip_blank_lines=True,
        )  # fmt: skip
    except ValueError as error:  # pandas' parser errors and undecodable text are all ValueErrors
        reason = str(error).splitlines()[0]
        kind = "tab" if tabs else "comma"
        raise UserError(f"{path}: not a {kind}-separated table ({reason}); expected predictions") from error
    if not cells.iat[0, 0]:  # the row numbers that pandas writes unless told otherwise
        cells = cells.iloc[:, 1:].set_axis(range(cells.shape[1] - 1), axis=1)
    header = [str(name) for name in cells.iloc[0]]
    expected = (next((name for name in header if name in instead), expected[0]), *expected[1:])
    if missing := [name for name in expected if name not in header]:
        raise UserError(
            f"{path}: no column {', '.join(missing)}; found {', '.join(header)}; "
            f"expected {', '.join(expected)} and one column per class, separated by tabs or commas"
        )
    own = [header.index(name) for name in expected]
    classes = [number for number in range(len(header)) if number not in own]
    names = [header[number] for number in classes]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"{path}: column {repeated[0]!r} repeats; each column must occur once")
    if not names:
        raise UserError(f"{path}: no class columns; expected one column of probabilities per class")
    table = cells.iloc[1:].reset_index(drop=True).fillna("")  # cells that a short line lacks
    if table.empty:
        raise UserError(f"{path}: has a header and no clip; at least one row is needed")
    return table[own].set_axis(list(expected), axis=1), table[classes].set_axis(names, axis=1)
