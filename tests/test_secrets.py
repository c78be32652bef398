"""Secrets of addresses, and what people and logs see of them."""

import logging
import os
from pathlib import Path

import mlflow
import pytest
from click.testing import CliRunner

from avfusion.errors import UserError
from avfusion.system.secrets import masked, refuse_secret
from avfusion.tracking.session import connect
from avfusion.tracking.ui import runs_page, ui_lines
from avfusion.tuning.storage import open_storage, resolve_storage
from entrypoints.command import command
from tests.postgres import postgres_server


@pytest.mark.parametrize(
    ("address", "seen"),
    [
        ("postgresql://ada:s3cr3t@host/db", "postgresql://ada:***@host/db"),
        ("postgresql+psycopg://ada:s3/cr3t@x@host:5432/db", "postgresql+psycopg://ada:***@host:5432/db"),
        ("postgresql://host/db?user=ada&password=s3cr3t", "postgresql://host/db?user=ada&password=***"),
        ("postgresql://ada:1234/s3cr3t@host/db", "postgresql://ada:***@host/db"),
        ("s3://KEY:12/s3cr3t@bucket", "s3://KEY:***@bucket"),
        ("s3://KEY:s3cr3t@bucket/folder", "s3://KEY:***@bucket/folder"),
        ("simplecache::s3://KEY:s3cr3t@bucket", "simplecache::s3://KEY:***@bucket"),
        ("https://s3cr3t@git.example/project", "https://***@git.example/project"),
        ("https://x.example/a?X-Amz-Signature=s3cr3t&part=1", "https://x.example/a?X-Amz-Signature=***&part=1"),
        ("two: ftp://a:s3cr3t@b/c, http://d:s3cr3t@e", "two: ftp://a:***@e"),
        ("(psycopg) at postgresql://ada:s3cr3t@host refused 'x'", "(psycopg) at postgresql://ada:***@host refused 'x'"),
    ],
)
def test_secrets_of_addresses_are_masked(address: str, seen: str) -> None:
    assert "s3cr3t" not in masked(address)
    assert masked(address) == masked(masked(address))
    if not address.startswith("two"):  # there more than the secrets may go
        assert masked(address) == seen
    with pytest.raises(UserError, match="which MLflow would log") as caught:
        refuse_secret("storage", address)
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    "harmless",
    [
        "none", "runs/features/a:b@c", "postgresql://ada@host:5432/db", "http://127.0.0.1:5000/#/experiments/1?a=b@c",
        "s3://bucket/folder", "sqlite:////tmp/a.db", "postgresql:///?service=studies", "learning_rate=1e-3",
        "https://host/page?keyboard", "git+https://host:8443/project@tag",
    ],
)  # fmt: skip
def test_other_text_stays_as_it_is(harmless: str) -> None:
    assert masked(harmless) == harmless
    refuse_secret("data", harmless)


def test_lines_errors_and_logs_of_a_command_are_shown_so(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    logging.getLogger().handlers[:], before = [], logging.getLogger().handlers[:]

    def job(**options: object) -> list[str]:
        logging.getLogger("avfusion.x").warning("log \x1b[2J http://u:s3cr3t@h")
        if options["data"] == Path("bad"):
            raise UserError("clip '\x1b[2J\udce9' at s3://u:s3cr3t@b")
        return ["clip \x1b]0;title\x07", "at s3://u:s3cr3t@b"]

    monkeypatch.setattr("entrypoints.command.load_job", lambda name: job)
    try:
        good, bad = (CliRunner().invoke(command("extract"), ["--data", data]) for data in ("good", "bad"))
    finally:
        logging.getLogger().handlers[:] = before
    assert good.output == "log \\x1b[2J http://u:***@h\nclip \\x1b]0;title\\x07\nat s3://u:***@b\n"
    assert bad.exit_code == 2 and "error: clip '\\x1b[2J\\xe9' at s3://u:***@b\n" in bad.output


def test_a_secret_in_an_option_is_refused_and_the_run_that_shows_it_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `mlflow run -P storage=...` starts it: MLflow has logged the parameter before our code starts."""
    monkeypatch.setenv("MLFLOW_RUN_ID", "0123abcd")
    done = CliRunner().invoke(command("tune"), ["--storage", "postgresql://a:s3cr3t@h/d"])
    assert done.exit_code == 2 and "s3cr3t" not in done.output and len(done.output.splitlines()) == 1
    assert "PGPASSFILE" in done.output and "mlflow gc --run-ids 0123abcd" in done.output


def test_a_tracking_address_with_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    before = mlflow.get_tracking_uri()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ada:s3cr3t@127.0.0.1:1")
    try:
        with pytest.raises(UserError, match=r"http://ada:\*\*\*@127.0.0.1:1 does not answer .*refused"):
            connect()
        assert ui_lines(runs_page("1")) == [
            "open     http://ada:***@127.0.0.1:1/#/experiments/1/runs?workflowType=machine_learning"
        ]
        mlflow.set_tracking_uri("postgresql://ada:s3cr3t@h/d")
        assert (
            ui_lines(runs_page("1"))[0] == 'look     mlflow ui --backend-store-uri "$MLFLOW_TRACKING_URI" --port 5000'
        )
    finally:
        mlflow.set_tracking_uri(before)


def test_a_database_reads_its_password_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passwords, services = tmp_path / "passwords", tmp_path / "services"
    with postgres_server(password="s3cr3t") as address:
        monkeypatch.setenv("PGPASSFILE", os.devnull)
        with pytest.raises(UserError, match=r"does not answer .*password"):
            open_storage(resolve_storage(address))
        passwords.write_text("*:*:*:avfusion:s3cr3t\n")
        passwords.chmod(0o600)
        monkeypatch.setenv("PGPASSFILE", str(passwords))
        assert open_storage(resolve_storage(address)).get_all_studies() == []
        host, _, port = address.partition("@")[2].partition("/")[0].partition(":")
        services.write_text(
            f"[studies]\nhost={host}\nport={port}\nuser=avfusion\ndbname=postgres\npassword=s3cr3t\n", encoding="utf-8"
        )
        monkeypatch.setenv("PGSERVICEFILE", str(services))
        monkeypatch.setenv("PGPASSFILE", os.devnull)
        assert open_storage(resolve_storage("postgresql:///?service=studies")).get_all_studies() == []


def test_the_address_of_a_saved_view_stays_whole() -> None:
    address = "http://127.0.0.1:5000/#/experiments/1/runs?workflowType=machine_learning&viewStateShareKey=0a1b"
    assert masked(address) == address
    assert masked("s3://bucket?apiKey=0a1b") == "s3://bucket?apiKey=***"
