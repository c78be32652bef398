"""What optuna-dashboard shows of tuning studies beside their trials: notes. The package need not be installed for that.

A note is Markdown, kept with the study in two of Optuna's system attributes, as `optuna_dashboard.save_note` does it
(optuna-dashboard 0.21, `_note.py`).
"""

import shlex
from importlib.util import find_spec

from optuna import Study

PAGE = "http://127.0.0.1:8080/dashboard"
"""Where the command shows the studies."""

LONGEST = 2045
"""Characters of a note that fit into one attribute."""


def leave_note(study: Study, text: str, trial: int | None = None) -> None:
    """`text` as the note of the trial of this number, or of the study, unless there is one, as a person's."""
    storage, study_id, owner = study._storage, study._study_id, ""
    if trial is not None:
        owner = f"{storage.get_trial_id_from_study_id_trial_number(study_id, trial)}:"
    if f"dashboard:{owner}note_ver" not in storage.get_study_system_attrs(study_id):
        storage.set_study_system_attr(study_id, f"dashboard:{owner}note_str:0", text[:LONGEST])
        storage.set_study_system_attr(study_id, f"dashboard:{owner}note_ver", 1)


def dashboard_lines(storage: str) -> list[str]:
    """What to type, and which address to open, to see the studies in `storage` (as `resolve_storage` gives it)."""
    install = "" if find_spec("optuna_dashboard") else "  # pip install optuna-dashboard"
    return [f"look     optuna-dashboard {shlex.quote(storage)}{install}", f"open     {PAGE}"]
