"""Tracking stores that cannot be used: one line each, at once."""

import errno
import os
import shutil
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import mlflow
import pytest
from mlflow.exceptions import MlflowException

from avfusion.errors import UserError
from avfusion.tracking.session import SERVER_TIMEOUT, connect


@pytest.fixture(autouse=True)
def back(tracking_uri: str) -> Iterator[None]:
    yield
    mlflow.set_tracking_uri(tracking_uri)


def refusal(monkeypatch: pytest.MonkeyPatch, uri: str) -> str:
    """What is said of the store at `uri`."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(UserError) as caught:
        connect()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_database_whose_making_is_interrupted_is_made_anew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """MLflow by itself leaves tables without the mark of their version, and refuses them ever after."""
    database = tmp_path / "mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database}")
    with monkeypatch.context() as context, pytest.raises(KeyboardInterrupt):
        context.setattr("mlflow.store.db.utils._upgrade_db", interrupt)
        connect()
    assert not database.exists()
    connect()
    assert mlflow.search_runs().empty and {path.name for path in tmp_path.iterdir()} <= {"mlflow.db", "mlflow.db.lock"}


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_database_of_another_mlflow(monkeypatch: pytest.MonkeyPatch, tracking_uri: str, tmp_path: Path) -> None:
    old = tmp_path / "an old one.db"
    shutil.copy(tracking_uri.removeprefix("sqlite:///"), old)
    with closing(sqlite3.connect(old)) as database:
        database.execute("update alembic_version set version_num = '0123'")
        database.commit()
    line = refusal(monkeypatch, f"sqlite:///{old}")
    assert "another version of MLflow (schema 0123" in line and line.endswith(f"mlflow db upgrade 'sqlite:///{old}'")


def test_a_database_with_a_password_of_another_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its command names the variable, which the shell fills in: what is printed shows no password."""

    def refuse(*_: object, **__: object) -> None:
        raise MlflowException(
            "Detected out-of-date database schema (found version 0123, but expected 0456). Take a backup"
        )

    monkeypatch.setattr("sqlalchemy.create_engine", refuse)
    line = refusal(monkeypatch, "postgresql://ada:s3cr3t@host/runs")
    assert line.endswith(
        '(schema 0123, this one\'s is 0456); copy it, then run: mlflow db upgrade "$MLFLOW_TRACKING_URI"'
    )


def test_a_database_as_mlflow_run_writes_it(monkeypatch: pytest.MonkeyPatch, tracking_uri: str, tmp_path: Path) -> None:
    """It is where SQLAlchemy finds it, and no folder has a name with %20."""
    (tmp_path / "a Übung").mkdir()
    shutil.copy(tracking_uri.removeprefix("sqlite:///"), tmp_path / "a Übung" / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/a%20%C3%9Cbung/mlflow.db")
    connect()
    assert mlflow.search_experiments() and [path.name for path in tmp_path.iterdir()] == ["a Übung"]


def test_a_relative_database_of_mlflow_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """MLflow has made it where the command was typed; here there is none, and none is made."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    line = refusal(monkeypatch, "sqlite:///runs of mine.db")
    assert "was typed in another folder" in line and line.endswith('as sqlite:///"$PWD"/runs of mine.db')
    assert list(tmp_path.iterdir()) == []


def test_files_that_are_no_database(monkeypatch: pytest.MonkeyPatch, tracking_uri: str, tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("this is no database at all")
    with Path(tracking_uri.removeprefix("sqlite:///")).open("rb") as whole:
        (tmp_path / "cut.db").write_bytes(whole.read(50_000))
    (tmp_path / "folder.db").mkdir()
    for name, reason in (
        ("text", "(it is not an sqlite database)"),
        ("cut", "(database disk image is malformed)"),
        ("folder", "(it is a folder)"),
        ("text.db/mlflow", "(File exists)"),
    ):
        line = refusal(monkeypatch, f"sqlite:///{tmp_path / name}.db")
        assert str(tmp_path / name) in line and reason in line and "set MLFLOW_TRACKING_URI" in line


def test_a_read_only_database(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Who runs the tests may write everywhere: the system's answer is replaced."""
    database = tmp_path / "mlflow.db"
    database.touch()
    monkeypatch.setattr(os, "access", lambda path, mode: path != database)
    assert "mlflow.db, where runs are tracked, cannot be written (the file is read-only)" in refusal(
        monkeypatch, f"sqlite:///{database}"
    )
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    assert "(its folder is read-only)" in refusal(monkeypatch, f"sqlite:///{database}")


def test_addresses_that_lead_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    line = refusal(monkeypatch, "postgresql+psycopg://user:secret@127.0.0.1:1/runs")
    assert "postgresql+psycopg://user:***@127.0.0.1:1/runs cannot be used" in line and "refused" in line
    assert "unsupported URI 'ftp://host/runs'" in refusal(monkeypatch, "ftp://host/runs")
    assert "Can't load plugin: sqlalchemy.dialects:postgresql.nosuch" in refusal(
        monkeypatch, "postgresql+nosuch://host/runs"
    )


def test_servers_that_do_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that refuses, and one that takes requests and stays silent."""
    assert SERVER_TIMEOUT <= 5
    monkeypatch.setattr("avfusion.tracking.session.SERVER_TIMEOUT", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        for port, reason in (
            (silent.getsockname()[1], "timed out"),
            (1, f"[Errno {errno.ECONNREFUSED}] Connection refused"),
        ):
            line = refusal(monkeypatch, f"http://127.0.0.1:{port}")
            assert f"the tracking server at http://127.0.0.1:{port} does not answer ({reason}); start it" in line
