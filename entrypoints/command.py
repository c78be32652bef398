"""What all entry points share: options become values, and a mistake of the user or an interruption ends in one line."""

import logging
import os
import sys
import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any

import click

from avfusion.errors import UserError
from avfusion.system.names import escaped
from avfusion.system.secrets import masked, refuse_secret
from entrypoints.entry_points import ENTRY_POINTS, EntryPoint
from entrypoints.kinds import Kind


class Command(click.Command):
    """A click command whose mistakes are one line each, and exit code 2."""

    def make_context(self, *arguments: Any, **settings: Any) -> click.Context:
        """Raises `UserError` for what cannot be parsed."""
        try:
            return super().make_context(*arguments, **settings)
        except click.UsageError as error:
            raise UserError(error.format_message()) from error

    def main(self, *arguments: Any, **settings: Any) -> Any:
        """See `click.Command`."""
        try:
            return super().main(*arguments, **settings)
        except UserError as error:
            line = _shown(str(error)).replace("\n", "\\n")  # a value may hold a line feed
            click.echo(f"error: {line}", err=True)
            sys.exit(2)


class _Option(click.Option):
    """An option that holds no secret: MLflow logs what `mlflow run` was given."""

    def type_cast_value(self, ctx: click.Context, value: Any) -> Any:
        """Raises `UserError` for a secret; it names the run in which MLflow shows it."""
        try:
            refuse_secret(str(self.name), value)
        except UserError as error:
            if (run := os.environ.get("MLFLOW_RUN_ID")) is None:
                raise
            raise UserError(
                f"{error}; MLflow has logged it already, as a parameter of run {run}: change the secret, and remove "
                f"the run with `mlflow runs delete --run-id {run}` and `mlflow gc --run-ids {run}`"
            ) from error
        return super().type_cast_value(ctx, value)


def command(name: str) -> Command:
    """The click command of the entry point `name`.

    Its job is imported only after the options are parsed, so that --help and a typing error answer at once.
    """
    entry = ENTRY_POINTS[name]
    params: list[click.Parameter] = []
    for key in entry.options:
        option = entry.option(key)
        metavar = option.type.name if isinstance(option.type, Kind) else None
        params.append(
            _Option(
                [f"--{key}"], type=option.type, default=option.default, show_default=True, help=option.help,
                metavar=metavar,
            )
        )  # fmt: skip
    return Command(name, callback=lambda **values: _run(name, entry, values), params=params, help=entry.help)


def load_job(name: str) -> Callable[..., list[str]]:
    """The job of the entry point `name`: by convention `NAME_job` in `avfusion.jobs.NAME`."""
    job: Callable[..., list[str]] = getattr(import_module(f"avfusion.jobs.{name}"), f"{name}_job")
    return job


def _run(name: str, entry: EntryPoint, values: dict[str, Any]) -> None:
    """Do the job and print its lines; an interruption says what the same command will do."""
    from avfusion.system.interruption import exit_code, interruptible
    from avfusion.system.progress import close_all, say
    from avfusion.system.project import leave_copy

    _quiet()
    if where := leave_copy():
        say(_shown(where))
    adopted = os.environ.get("MLFLOW_RUN_ID")  # which MLflow takes away when a run begins
    try:
        with interruptible(parent=adopted is not None):
            lines = load_job(name)(**values)
    except KeyboardInterrupt as interruption:
        close_all()
        if adopted is not None:
            from avfusion.tracking.runs import close_adopted

            close_adopted(adopted)
        again = "continues with what is already done" if entry.continues else "begins anew"
        click.echo(f"stopped; the same command {again}", err=True)
        sys.exit(exit_code(interruption))
    for line in lines:
        click.echo(_shown(line))


def _shown(text: str) -> str:
    """`text` for people: no secrets, and nothing that a terminal obeys but line feeds."""
    return escaped(masked(text), lines=True)


class _Log(logging.Handler):
    """Log lines as people see them, above the bars; tracebacks too."""

    def emit(self, record: logging.LogRecord) -> None:
        from avfusion.system.progress import say

        try:
            say(_shown(self.format(record)))
        except Exception:  # as every handler of logging does: a log that cannot be written stops no work
            self.handleError(record)


def _quiet() -> None:
    """Our own log lines, and silence from libraries that would call home or advertise."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_DISABLE_AGENT_HINT", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    warnings.filterwarnings("ignore", category=UserWarning, module=r"mlflow\.")
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[_Log()])
    logging.getLogger("avfusion").setLevel(logging.INFO)
