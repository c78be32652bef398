"""What all entry points share: their options, and how a mistake of the user ends."""

import logging
import os
import sys
import warnings
from collections.abc import Callable

import click

OPTIONS: dict[str, tuple[str, str]] = {
    "data": ("none", "TAU folder or CSV manifest of clips; `none` renders the synthetic demo scenes."),
    "output": ("none", "Feature store to write; `none` puts it under runs/, named after data and embedder."),
    "features": ("none", "Feature store to read."),
    "embedder": ("demo", "What turns clips into features: demo or openl3."),
    "weights": ("none", "Weights of the embedder: a file or folder; `none` takes its own."),
    "precision": ("float32", "Arithmetic of the embedder: float32, bf16 or auto."),
    "device": ("auto", "Where to compute: auto, cpu or cuda."),
    "variants": ("quick", "Fusion variants: quick, all, or ids with commas."),
    "seeds": ("0", "Seeds with commas; several are averaged."),
    "alphas": ("study", "Values of alpha with commas; `study` takes its 17, from 0.10 to 0.90."),
    "workers": ("2", "Processes of one thread each."),
    "params": ("none", "Hyperparameters as name=value,name=value; `none` takes the study's."),
}
"""Name -> (default, help) of every option; all are strings, because MLflow checks no other type well."""

Job = Callable[..., list[str]]


def command(name: str, options: list[str], load: Callable[[], Job]) -> click.Command:
    """A click command `name` with these of `OPTIONS`, which calls the job that `load` imports.

    The job is imported only after the options are parsed, so that --help and a typing error answer at once.
    """

    def callback(**values: str) -> None:
        _quiet()
        from avfusion.errors import UserError

        try:
            lines = load()(**values)
        except UserError as error:
            click.echo(f"error: {error}", err=True)
            sys.exit(2)
        except KeyboardInterrupt:
            click.echo("stopped; the same command continues with what is already done", err=True)
            sys.exit(130)
        for line in lines:
            click.echo(line)

    params: list[click.Parameter] = [
        click.Option([f"--{option}"], default=OPTIONS[option][0], show_default=True, help=OPTIONS[option][1])
        for option in options
    ]
    return click.Command(name, callback=callback, params=params, help=load.__doc__)


def _quiet() -> None:
    """Our own log lines, and silence from libraries that would call home or advertise."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_DISABLE_AGENT_HINT", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    warnings.filterwarnings("ignore", category=UserWarning, module=r"mlflow\.")
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("avfusion").setLevel(logging.INFO)
