"""What several jobs read from their options."""

from pathlib import Path

from avfusion.errors import UserError

RUNS = Path("runs")
"""Folder, in the working directory, of everything that was not given another place."""


def read_truth(option: str, text: str) -> bool:
    """`true` or `false`; `UserError` for anything else."""
    if text not in ("true", "false"):
        raise UserError(f"{option}={text}: expected true or false")
    return text == "true"
