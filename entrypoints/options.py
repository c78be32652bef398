"""The table of options: of each the type, the default and the help.

A new option is an entry here, its name in the list of an entry point (`entry_points`), and a parameter of the job.
"""

from dataclasses import dataclass
from typing import Any

import click

from entrypoints.kinds import (
    Fractions,
    Kind,
    Names,
    Needed,
    Number,
    OrNone,
    OutputFolder,
    Pairs,
    PathName,
    PathOr,
    Seconds,
    Seeds,
    Text,
    Truth,
    Whole,
)


@dataclass(frozen=True)
class Option:
    """One option: the type that turns its text into a value, the text that stands for nothing typed, and its help."""

    type: click.ParamType  # type: ignore[type-arg]
    default: str
    help: str

    @property
    def annotation(self) -> Any:
        """The Python type that a job's signature gives its value."""
        return self.type.annotation if isinstance(self.type, Kind) else str


ANSWERS = "a prediction file, a folder with one, or the id of a run"
RUN = "(runs:/)?[0-9a-f]+(/.*)?"
"""How the id of a run is written, where a path may stand too."""

OPTIONS = {
    "data": Option(OrNone(PathName()), "none", "TAU folder or CSV list of clips; `none` renders synthetic scenes."),
    "output": Option(OrNone(OutputFolder()), "none", "Folder to write; `none` chooses one under runs/."),
    "features": Option(
        Needed(PathName(), "features: none given; name the feature store that extract wrote, as features=FOLDER"),
        "none",
        "Feature store to read, or a folder of HDF5 features (DCASE baseline, course).",
    ),
    "embedder": Option(
        Text(),
        "auto",
        "What turns clips into features: demo, openl3, PICTURE+SOUND (efficientnet_lite0+yamnet; hf:MODEL is any of the"
        " Hugging Face hub), or auto: efficientnet_lite0+yamnet for real clips, demo for synthetic ones.",
    ),
    "hop": Option(
        OrNone(Seconds("a number of seconds above 0")),
        "none",
        "Seconds from one window of sound to the next; `none` takes the embedder's own.",
    ),
    "frames": Option(
        OrNone(Number("a number of pictures per second above 0")),
        "none",
        "Pictures per second, of an embedder that can choose; `none` takes its own.",
    ),
    "weights": Option(
        OrNone(PathOr("untrained")),
        "none",
        "Weights of the embedder: a file or folder, or untrained; `none` takes its own.",
    ),
    "precision": Option(click.Choice(["float32", "bf16", "auto"]), "float32", "Arithmetic of the embedder."),
    "device": Option(click.Choice(["auto", "cpu", "cuda"]), "auto", "Where to compute."),
    "modalities": Option(
        click.Choice(["both", "any"]), "both", "What a clip must have: both (sound and pictures), or any (one will do)."
    ),
    "strict": Option(Truth(), "false", "Whether a clip that cannot be used is an error."),
    "allow_outside": Option(Truth(), "false", "Whether lists may name files outside their folder."),
    "timeout": Option(
        Seconds("seconds above 0 for decoding one clip"), "600", "Seconds that decoding one clip may take."
    ),
    "executor": Option(
        click.Choice(["local", "ray"]), "local", "Who extracts: local (processes of this machine) or ray (a cluster)."
    ),
    "address": Option(
        OrNone(Text()),
        "none",
        "Ray cluster: HOST:PORT or auto; `none`: RAY_ADDRESS, or a Ray of this machine's own.",
    ),
    "parts": Option(
        OrNone(PathOr(".*(://|::).*")),
        "none",
        "fsspec address for a cluster's unfinished work, as s3://...; `none`: the output folder.",
    ),
    "preset": Option(click.Choice(["demo", "openl3"]), "demo", "L3-Net to train."),
    "steps": Option(Whole(1), "1300", "Training steps of 64 clips each."),
    "seed": Option(Whole(0), "0", "Seed of weights, pairs and held-out locations."),
    "variants": Option(Names(), "quick", "Fusion variants: quick, all, or ids with commas."),
    "seeds": Option(Seeds(), "0", "Seeds with commas; several are averaged."),
    "folds": Option(
        OrNone(Whole(2)), "none", "Folds of cross-validation by location, testing every clip; `none`: the data's split."
    ),
    "alphas": Option(
        OrNone(Fractions(), word="study"),
        "study",
        "Values of alpha with commas; `study` takes its 17, from 0.10 to 0.90.",
    ),
    "workers": Option(Whole(1), "2", "Processes of one thread each."),
    "variant": Option(Names(), "late", "Fusion variant to tune: an id, several with commas, or all; a study for each."),
    "trials": Option(Whole(1), "60", "Trials of a study in total, whoever runs them."),
    "metric": Option(click.Choice(["log_loss", "accuracy"]), "log_loss", "What validation is to improve."),
    "sampler": Option(click.Choice(["tpe", "gp", "random", "grid"]), "tpe", "How trials are chosen."),
    "pruner": Option(
        click.Choice(["median", "none"]),
        "median",
        "When a trial is given up: median (after an epoch, or with folds after a fold), or none.",
    ),
    "space": Option(Pairs(), "none", "Instead of what the variant searches: alpha=0.2:0.6,hidden=128|256,dropout=0.3."),
    "storage": Option(
        OrNone(PathOr("(?!sqlite:).*://.*", "sqlite:///", "journal:")),
        "none",
        "Where studies live: a journal file, sqlite:///FILE or postgresql://...; `none`: under runs/.",
    ),
    "study": Option(OrNone(Text()), "none", "Name of the study; `none` makes one of variant, features and metric."),
    "retrain": Option(
        Seeds(), "0,1,2,3,4", "Seeds with which the best hyperparameters and the defaults are trained at the end."
    ),
    "audio": Option(
        Needed(PathOr(RUN), "audio: none given; name a prediction file or the id of a run, as audio=FILE"),
        "none",
        f"Answers of the audio model: {ANSWERS}.",
    ),
    "video": Option(
        Needed(PathOr(RUN), "video: none given; name a prediction file or the id of a run, as video=FILE"),
        "none",
        f"Answers of the video model: {ANSWERS}.",
    ),
    "fused": Option(OrNone(PathOr(RUN)), "none", "Answers of a fused model, likewise; `none` leaves it out."),
    "experiment": Option(OrNone(Text()), "none", "MLflow experiment whose runs to take, by name or id."),
    "predictions": Option(
        OrNone(PathName()),
        "none",
        "Folder of prediction files (TSV, CSV), or of a folder per model; its folder val is for validation clips.",
    ),
    "filter": Option(
        OrNone(Text()), "none", "MLflow filter on the runs of the experiment; `none` takes the newest of each variant."
    ),
    "runs": Option(OrNone(Names()), "none", "Ids of runs to take, with commas."),
    "locations": Option(
        OrNone(PathName()),
        "none",
        "CSV with a column location, one line per clip; `none`: from the features or TAU's names.",
    ),
    "shifts": Option(OrNone(Names()), "all", "Spoilt inputs for robustness: all, none, or ids with commas."),
    "cities": Option(
        OrNone(Names()), "none", "Cities to leave out of training, one at a time: none, all, or names with commas."
    ),
    "promote": Option(Truth(), "false", "Whether the best on validation becomes models:/avfusion@champion."),
    "register": Option(Truth(), "false", "Whether each model is put into the MLflow registry as `avfusion`."),
    "model": Option(
        Needed(
            PathOr(rf"{RUN}|\w+:/.*"),
            "no model given; give model=runs:/ID/model, models:/avfusion/1 or models:/avfusion@champion",
        ),
        "none",
        "Trained model: runs:/ID/model, models:/avfusion/1, models:/avfusion@champion, or a folder.",
    ),
    "clip": Option(
        OrNone(PathName()),
        "none",
        "Media file, folder, list (CSV, or text with a path on each line), or - for a list on stdin.",
    ),
    "timeline": Option(
        OrNone(Seconds("seconds of at least 0", zero=True)),
        "10",
        "Clips longer than this many seconds get a timeline per second; `none`: no timelines.",
    ),
    "params": Option(Pairs(), "none", "Hyperparameters as name=value,name=value; `none` takes the study's."),
}
"""Every option by name."""
