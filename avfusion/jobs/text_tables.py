"""Tables as text, narrow enough for a terminal."""

from collections.abc import Mapping, Sequence

import pandas as pd

WIDTH = 80
"""Columns of a narrow terminal."""


def text_table(
    table: pd.DataFrame, *, short: Mapping[str, str] | None = None, dropped: Sequence[str] = (), decimals: int = 3
) -> list[str]:
    """The lines of `table`: columns under `short` names if they have one, numbers with so many `decimals`.

    Where that is wider than `WIDTH`, the columns `dropped` are left out, one after the other, as far as needed: MLflow
    has them all.
    """
    lines = _lines(table, short or {}, decimals)
    for column in dropped:
        if max(map(len, lines)) > WIDTH:
            table = table.drop(columns=column, errors="ignore")
            lines = _lines(table, short or {}, decimals)
    return lines


def _lines(table: pd.DataFrame, short: Mapping[str, str], decimals: int) -> list[str]:
    shown = table.rename(columns=dict(short))
    text = shown.to_string(index=False, na_rep="–", float_format=lambda value: f"{value:.{decimals}f}")
    return str(text).splitlines()
