"""What all entry points share: their options, and how a mistake of the user or an interruption ends."""

import logging
import os
import sys
import warnings
from collections.abc import Callable, Mapping

import click

OPTIONS: dict[str, tuple[str, str]] = {
    "data": ("none", "TAU folder or CSV manifest of clips; `none` renders synthetic scenes."),
    "output": ("none", "Folder to write; `none` chooses one under runs/ (conflict: none, MLflow keeps everything)."),
    "features": ("none", "Feature store to read, or a folder of HDF5 features (DCASE baseline, course)."),
    "embedder": ("demo", "What turns clips into features: demo or openl3."),
    "weights": ("none", "Weights of the embedder: a file or folder; `none` takes its own."),
    "precision": ("float32", "Arithmetic of the embedder: float32, bf16 or auto."),
    "device": ("auto", "Where to compute: auto, cpu or cuda."),
    "modalities": ("both", "What a clip must have: both (sound and pictures), or any (one will do)."),
    "strict": ("false", "Whether a clip that cannot be used is an error: true or false."),
    "allow_outside": ("false", "Whether lists may name files outside their folder: true or false."),
    "timeout": ("600", "Seconds that decoding one clip may take."),
    "executor": ("local", "Who extracts: local (processes of this machine) or ray (a cluster)."),
    "address": ("none", "Ray cluster: HOST:PORT or auto; `none`: RAY_ADDRESS, or a Ray of this machine's own."),
    "parts": ("none", "fsspec address for a cluster's unfinished work, as s3://...; `none`: the output folder."),
    "preset": ("demo", "L3-Net to train: demo or openl3."),
    "steps": ("1300", "Training steps of 64 clips each."),
    "seed": ("0", "Seed of weights, pairs and held-out locations."),
    "variants": ("quick", "Fusion variants: quick, all, or ids with commas."),
    "seeds": ("0", "Seeds with commas; several are averaged."),
    "alphas": ("study", "Values of alpha with commas; `study` takes its 17, from 0.10 to 0.90."),
    "workers": ("2", "Processes of one thread each."),
    "variant": ("late", "Fusion variant to tune: an id, several with commas, or all; a study for each."),
    "trials": ("60", "Trials of a study in total, whoever runs them."),
    "metric": ("log_loss", "What validation is to improve: log_loss or accuracy."),
    "sampler": ("tpe", "How trials are chosen: tpe, gp, random or grid."),
    "pruner": ("median", "When a trial is given up early: median or none."),
    "space": ("none", "Instead of what the variant searches: alpha=0.2:0.6,hidden=128|256,dropout=0.3."),
    "storage": ("none", "Where studies live: a journal file, sqlite:///FILE or postgresql://...; `none`: under runs/."),
    "study": ("none", "Name of the study; `none` makes one of variant, features and metric."),
    "retrain": ("0,1,2,3,4", "Seeds with which the best and the default settings are trained at the end."),
    "audio": (
        "none",
        "Answers of the audio model: a prediction file, a folder with one, or the id of a run.",
    ),
    "video": (
        "none",
        "Answers of the video model: a prediction file, a folder with one, or the id of a run.",
    ),
    "fused": ("none", "Answers of a fused model, likewise; `none` leaves it out."),
    "experiment": ("none", "MLflow experiment to report on or compare, by name or id."),
    "predictions": (
        "none",
        "Folder of prediction files (TSV, CSV), or of a folder per model, to report or compare.",
    ),
    "filter": ("none", "MLflow filter on the runs of the experiment; `none` takes the newest of each variant."),
    "runs": ("none", "Ids of runs to compare, with commas."),
    "locations": ("none", "CSV with a column location, one line per clip; `none`: from the features or TAU's names."),
    "shifts": ("all", "Spoilt inputs for robustness: all, none, or ids with commas."),
    "cities": ("none", "Cities to leave out of training, one at a time: none, all, or names with commas."),
    "promote": ("false", "Whether the best on validation becomes models:/avfusion@champion: true or false."),
    "register": ("false", "Whether each model is put into the MLflow registry as `avfusion`: true or false."),
    "model": ("none", "Trained model: runs:/ID/model, models:/avfusion/1, models:/avfusion@champion, or a folder."),
    "clip": ("none", "Media file, folder, list (CSV, or text with a path on each line), or - for a list on stdin."),
    "timeline": ("10", "Clips longer than this many seconds get a timeline per second; `none`: no timelines."),
    "params": ("none", "Hyperparameters as name=value,name=value; `none` takes the study's."),
}
"""Name -> (default, help) of every option; all are strings, because MLflow checks no other type well."""

EXTRACTION = [
    "data",
    "output",
    "embedder",
    "weights",
    "precision",
    "device",
    "modalities",
    "strict",
    "allow_outside",
    "timeout",
    "executor",
    "address",
    "parts",
]
"""The options of every entry point that extracts."""

Job = Callable[..., list[str]]

CONTINUES = "the same command continues with what is already done"
BEGINS_ANEW = "the same command begins anew"
"""What an interrupted job does when it is started again."""


def command(
    name: str,
    options: list[str],
    load: Callable[[], Job],
    own: Mapping[str, tuple[str, str]] | None = None,
    *,
    again: str,
) -> click.Command:
    """A click command `name` with these of `OPTIONS`, which calls the job that `load` imports.

    `own` says otherwise for options that mean something else in this command; `again` is what the same command does
    after an interruption. The job is imported only after the options are parsed, so that --help and a typing error
    answer at once.
    """

    def callback(**values: str) -> None:
        _quiet()
        from avfusion.errors import UserError
        from avfusion.system.interruption import exit_code, interruptible

        adopted = os.environ.get("MLFLOW_RUN_ID")  # which MLflow takes away when a run begins
        try:
            with interruptible(parent=adopted is not None):
                _refuse_secrets(values)
                lines = load()(**values)
        except UserError as error:
            _say(f"error: {error}", err=True)
            sys.exit(2)
        except KeyboardInterrupt as interruption:
            if adopted is not None:
                from avfusion.tracking.runs import close_adopted

                close_adopted(adopted)
            click.echo(f"stopped; {again}", err=True)
            sys.exit(exit_code(interruption))
        for line in lines:
            _say(line)

    known = {**OPTIONS, **(own or {})}
    params: list[click.Parameter] = [
        click.Option([f"--{option}"], default=known[option][0], show_default=True, help=known[option][1])
        for option in options
    ]
    return click.Command(name, callback=callback, params=params, help=load.__doc__)


def _refuse_secrets(values: Mapping[str, str]) -> None:
    """Raises `UserError` for an option whose address holds a secret; it names the run in which MLflow shows it."""
    from avfusion.errors import UserError
    from avfusion.system.secrets import refuse_secret

    for option, value in values.items():
        try:
            refuse_secret(option, value)
        except UserError as error:
            if (run := os.environ.get("MLFLOW_RUN_ID")) is None:
                raise
            raise UserError(
                f"{error}; MLflow has logged it already, as a parameter of run {run}: change the secret, and remove "
                f"the run with `mlflow runs delete --run-id {run}` and `mlflow gc --run-ids {run}`"
            ) from error


def _say(text: str, *, err: bool = False) -> None:
    """Print for people: no secrets, and nothing that a terminal obeys."""
    from avfusion.system.names import escaped
    from avfusion.system.secrets import masked

    click.echo(escaped(masked(text), lines=True), err=err)


class _Shown(logging.Formatter):
    """Log lines as `_say` prints; tracebacks too."""

    def format(self, record: logging.LogRecord) -> str:
        from avfusion.system.names import escaped
        from avfusion.system.secrets import masked

        return escaped(masked(super().format(record)), lines=True)


def _quiet() -> None:
    """Our own log lines, and silence from libraries that would call home or advertise."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_DISABLE_AGENT_HINT", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    warnings.filterwarnings("ignore", category=UserWarning, module=r"mlflow\.")
    handler = logging.StreamHandler()
    handler.setFormatter(_Shown("%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("avfusion").setLevel(logging.INFO)
