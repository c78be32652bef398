"""A project that `mlflow run` fetched by its address: the job starts in a copy that is thrown away.

MLflow clones a git repository, and unpacks a zip file, into a new temporary folder, and starts the job there. Nothing
tells which folder the user was in, so that relative paths of inputs cannot be meant, and what the job writes belongs
somewhere else.
"""

import os
import re
import shlex
import tempfile
from pathlib import Path
from urllib.parse import unquote

from avfusion.errors import UserError

TEMPORARY = re.compile(r"tmp[a-z0-9_]{8}")
"""How Python names the temporary folders that nobody named."""


def _copy(here: Path) -> Path | None:
    temporary = Path(tempfile.gettempdir()).resolve()
    if "MLFLOW_RUN_ID" not in os.environ or not here.is_relative_to(temporary):
        return None
    name = "".join(here.relative_to(temporary).parts[:1])
    return temporary / name if TEMPORARY.fullmatch(name) else None


STARTED_IN = Path.cwd()
"""Where this process was started; under `mlflow run` the folder of the project, or the one that was named in it."""
COPY = _copy(STARTED_IN)
"""The copy of the project that is thrown away; None if the project lies in a folder of the user's."""


def refuse_relative(option: str, path: str, prefix: str = "") -> None:
    """Raises `UserError` for a relative `path` in the value of an option, if it would lie in a copy thrown away.

    `prefix` stands before it in the value, as `sqlite:///`.
    """
    if COPY is not None and not Path(path).is_absolute():
        raise UserError(
            f"{option}={prefix}{path}: a relative path, but `mlflow run` works in a copy of the project that is thrown "
            f'away; give the whole path, as -P {option}={prefix}"$PWD"/{shlex.quote(path)}'
        )


def leave_copy() -> str | None:
    """Go on in a folder that lasts, if the job was started in a copy that is thrown away; what to tell people of it.

    It is the folder of MLflow's database, if that is a file (by default it is in the folder where `mlflow run` was
    typed), else `avfusion` in the folder for data of users. Raises `UserError` if it cannot be made.
    """
    if COPY is None:
        return None
    tracking = os.environ.get("MLFLOW_TRACKING_URI", "")
    if tracking.startswith("sqlite:////"):
        folder = Path(unquote(tracking.removeprefix("sqlite:///").partition("?")[0])).parent
    else:
        folder = Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share").expanduser() / "avfusion"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        os.chdir(folder)
    except (OSError, RuntimeError) as error:  # the latter where there is no home
        raise UserError(f"{folder}, for what the job writes, cannot be used ({error}); set XDG_DATA_HOME") from error
    return f"{COPY} is a copy of the project that is thrown away: the job writes to {folder}"
