"""What several jobs read from their options."""

import os
from pathlib import Path

from avfusion.errors import UserError

RUNS = Path("runs")
"""Folder, in the working directory, of everything that was not given another place."""


def read_truth(option: str, text: str) -> bool:
    """`true` or `false`; `UserError` for anything else."""
    if text not in ("true", "false"):
        raise UserError(f"{option}={text}: expected true or false")
    return text == "true"


def read_output(text: str) -> Path:
    """The folder `output`, there or not; `UserError` if it cannot be one: said before any work, not after it."""
    folder = Path(text)
    there = next(place for place in (folder, *folder.absolute().parents) if os.path.exists(place))  # noqa: PTH110  (Path's raises where one may not look)
    if not there.is_dir():
        raise UserError(f"output={text}: {there.absolute()} is a file; name a folder, as output=FOLDER")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UserError(f"output={text}: {there.absolute()} cannot be written; name another folder, as output=FOLDER")
    return folder
