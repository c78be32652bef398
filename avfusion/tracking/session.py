"""Connecting to MLflow: where runs go, and whether it answers."""

import os
import re
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.error import URLError
from urllib.parse import unquote, urlsplit
from urllib.request import urlopen

import mlflow
import sqlalchemy
from filelock import FileLock
from mlflow import MlflowClient
from sqlalchemy.exc import DBAPIError

from avfusion.errors import UserError
from avfusion.system.files import TEMPORARY_SUFFIX
from avfusion.system.secrets import masked
from avfusion.tracking.failures import FAILURES, bound_waiting

EXPERIMENT = "avfusion"
"""Experiment of a direct start; `mlflow run --experiment-name` and MLFLOW_EXPERIMENT_NAME name another."""

SERVER_TIMEOUT = 5.0
"""Seconds that a tracking server or a database server may take for its first answer."""

DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
"""What a tracking store's address may begin with, beside http and https; a driver may follow after a plus sign."""

ELSEWHERE = "mend that, or set MLFLOW_TRACKING_URI to another address, as sqlite:////FOLDER/mlflow.db"

NO_ANSWER = (URLError, HTTPException, OSError, ValueError)

SCHEMA = re.compile(r"out-of-date database schema \(found version (\w+), but expected (\w+)\)")


def connect() -> None:
    """Choose the tracking store and experiment, or adopt those of `mlflow run`.

    Without MLFLOW_TRACKING_URI the store is `mlflow.db` in the working directory, made under a lock: several
    processes that make it at once would corrupt it. Raises `UserError` if the store does not answer or cannot be used.
    """
    if "MLFLOW_TRACKING_URI" not in os.environ:
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{Path.cwd() / 'mlflow.db'}"
    uri = os.environ["MLFLOW_TRACKING_URI"] = _plain(os.environ["MLFLOW_TRACKING_URI"])
    mlflow.set_tracking_uri(uri)
    bound_waiting()
    _check(uri)
    with _usable(uri), _creation_lock(uri):
        if uri.startswith("sqlite:///"):
            _make_file(_file(uri))
        if "MLFLOW_RUN_ID" in os.environ:
            MlflowClient().get_run(os.environ["MLFLOW_RUN_ID"])
        elif "MLFLOW_EXPERIMENT_ID" in os.environ:
            mlflow.set_experiment(experiment_id=os.environ["MLFLOW_EXPERIMENT_ID"])
        else:
            mlflow.set_experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT))
            # MLflow notes its choice there, where the next job of this process would take it for the user's
            os.environ.pop("MLFLOW_EXPERIMENT_ID", None)


def _check(uri: str) -> None:
    """Raise `UserError` for what MLflow would refuse by a traceback, or try for minutes."""
    if uri.startswith(("http://", "https://")):
        _check_server(uri)
    elif uri.startswith("sqlite:///"):
        if "MLFLOW_RUN_ID" in os.environ and not _file(uri).is_absolute() and not _file(uri).exists():
            raise UserError(
                f"MLFLOW_TRACKING_URI={uri}: a relative path, but `mlflow run` was typed in another folder than the "
                f'job runs in; give the whole path, as sqlite:///"$PWD"/{_file(uri)}'
            )
        _check_file(_file(uri))
    elif uri.partition(":")[0].partition("+")[0] in DATABASES[1:]:
        with _usable(uri):
            timeout = {} if uri.startswith("mssql") else {"connect_timeout": int(SERVER_TIMEOUT)}
            sqlalchemy.create_engine(uri, connect_args=timeout).connect().close()


def _check_file(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise OSError("it is a folder")
        for place in (path, path.parent):  # sqlite writes a journal beside the file
            if place.exists() and not os.access(place, os.W_OK):
                raise OSError(f"{'the file' if place == path else 'its folder'} is read-only")
        if path.exists() and path.open("rb").read(16) not in (b"", b"SQLite format 3\0"):
            raise OSError("it is not an sqlite database")
    except OSError as error:
        raise UserError(
            f"{path}, where runs are tracked, cannot be written ({error.strerror or error}); {ELSEWHERE}"
        ) from error


def _make_file(path: Path) -> None:
    """Make the database, whole or not at all: MLflow takes a second or more, and never mends one that is half made."""
    if path.exists() and path.stat().st_size:
        return
    prefix = f".{path.name}."
    for leftover in path.parent.glob(f"{prefix}*{TEMPORARY_SUFFIX}"):
        shutil.rmtree(leftover, ignore_errors=True)
    with TemporaryDirectory(TEMPORARY_SUFFIX, prefix, path.parent) as folder:
        made = Path(folder) / path.name
        MlflowClient(f"sqlite:///{made}").search_experiments(max_results=1)
        made.replace(path)


@contextmanager
def _usable(uri: str) -> Iterator[None]:
    """`UserError` in place of what MLflow and the database raise inside."""
    try:
        yield
    except (*FAILURES, ImportError) as error:
        if schema := SCHEMA.search(str(error)):
            there, here = schema.groups()
            raise UserError(
                f"the tracking database is of another version of MLflow (schema {there}, this one's is {here}); copy "
                f"it, then run: mlflow db upgrade {in_shell(uri)}"
            ) from error
        reason = str(error.orig if isinstance(error, DBAPIError) else error).strip().splitlines()[0].partition(". ")[0]
        raise UserError(f"the tracking store {masked(uri)} cannot be used ({reason}); {ELSEWHERE}") from error


def in_shell(uri: str) -> str:
    """The tracking store's address as a shell takes it; one with a secret by the name of its variable."""
    return shlex.quote(uri) if masked(uri) == uri else '"$MLFLOW_TRACKING_URI"'


def ui_version() -> str:
    """Version of the MLflow whose UI shows the tracking store: the server's, else this Python's; "" if unknown."""
    uri = mlflow.get_tracking_uri()
    if not uri.startswith(("http://", "https://")):
        return str(mlflow.__version__)
    try:
        return _asked(uri, "version")
    except NO_ANSWER:
        return ""


def _asked(uri: str, name: str) -> str:
    """What a tracking server says of its `health` or `version`, which it tells without a password."""
    parts = urlsplit(uri)
    address = parts._replace(netloc=parts.netloc.rpartition("@")[2], path=f"{parts.path.rstrip('/')}/{name}")
    with urlopen(address.geturl(), timeout=SERVER_TIMEOUT) as answer:
        return str(answer.read(100).decode(errors="replace"))


def _check_server(uri: str) -> None:
    try:
        _asked(uri, "health")
    except NO_ANSWER as error:
        reason = getattr(error, "reason", error)
        raise UserError(
            f"the tracking server at {masked(uri)} does not answer ({reason}); start it with `mlflow server`, "
            "or unset MLFLOW_TRACKING_URI to use mlflow.db in this folder"
        ) from error


def _creation_lock(uri: str) -> FileLock:
    """A lock beside an sqlite file; for other stores one that nobody else holds."""
    if not uri.startswith("sqlite:///"):
        return FileLock(Path(os.environ.get("TMPDIR", "/tmp")) / f"avfusion-{os.getpid()}.lock")
    return FileLock(f"{_file(uri)}.lock")


def _file(uri: str) -> Path:
    """The file of an sqlite address."""
    return Path(sqlalchemy.make_url(uri).database or "")


def _plain(uri: str) -> str:
    """An sqlite address without %20 and the like, which `mlflow run` writes and MLflow makes a folder of."""
    plain = unquote(uri)
    return plain if uri.startswith("sqlite:///") and "%" not in plain else uri
