"""The table of entry points: what each does, and which options it takes, in order.

Commands, their --help and MLproject are made from it and from the table of options (`make mlproject`), and the
signatures of the jobs are tested against both.
"""

from dataclasses import dataclass, field

from entrypoints.kinds import Needed, OrNone, OutputFolder, PathName, Text, Whole
from entrypoints.options import OPTIONS, Option


@dataclass(frozen=True)
class EntryPoint:
    """One entry point: what --help says of it, and its options in order."""

    help: str
    takes: str
    """The names of its options."""
    continues: bool
    """Whether the same command, after an interruption, goes on with what is already done."""
    own: dict[str, Option] = field(default_factory=dict)
    """Options that mean something else here than elsewhere."""

    @property
    def options(self) -> tuple[str, ...]:
        """The names of its options, in order."""
        return tuple(self.takes.split())

    def option(self, name: str) -> Option:
        """The option `name` of this entry point."""
        return self.own.get(name) or OPTIONS[name]


EXTRACTION = (
    "data output embedder hop frames weights precision device modalities strict allow_outside "
    "timeout executor address parts"
)
"""The options of every entry point that extracts."""

ENTRY_POINTS = {
    "main": EntryPoint(
        "From clips to compared fusion variants: extract, train, summary.",
        f"{EXTRACTION} variants seeds folds params register",
        continues=True,
    ),
    "extract": EntryPoint(
        "Embed the sound and the picture of every clip into a feature store.", EXTRACTION, continues=True
    ),
    "pretrain": EntryPoint(
        "Train L3-Net on audio-visual correspondence, from unlabelled clips.",
        "data output preset steps seed device",
        continues=True,
    ),
    "train": EntryPoint(
        "Train fusion variants on a feature store, each a run of its own.",
        "features variants seeds folds params device allow_outside register",
        continues=True,
    ),
    "sweep": EntryPoint(
        "Train late fusion for each alpha, choose alpha on validation, draw accuracy against alpha.",
        "features alphas seeds folds params workers device",
        continues=True,
    ),
    "tune": EntryPoint(
        "Search a variant's hyperparameters by validation, then compare the best with the default.",
        "features variant trials workers metric sampler pruner space storage study folds retrain device promote",
        continues=True,
        own={
            "folds": Option(
                OrNone(Whole(2)),
                "none",
                "Folds of the clips outside the test split, over which a trial is scored; `none`: the data's split.",
            )
        },
    ),
    "predict": EntryPoint(
        "Say which scene clips show, with a model that was trained before.",
        "model clip audio video output timeline embedder weights device workers timeout",
        continues=False,
        own={
            "audio": Option(
                OrNone(PathName()),
                "none",
                "Sound file of a clip whose pictures are in another file (or that has none).",
            ),
            "video": Option(
                OrNone(PathName()),
                "none",
                "Video file of a clip whose sound is in another file (or that has none).",
            ),
            "embedder": Option(
                OrNone(Text()),
                "none",
                "Name that the embedder of the model's features must have; `none` takes it as it is.",
            ),
        },
    ),
    "conflict": EntryPoint(
        "Where the audio and the video model disagree, and what a fused model makes of it.",
        "audio video fused output",
        continues=False,
        own={
            "output": Option(
                OrNone(OutputFolder()), "none", "Folder to write; `none` writes none: MLflow keeps everything."
            )
        },
    ),
    "ensemble": EntryPoint(
        "Several variants as one, weighted by their answers on validation clips.",
        "experiment filter runs predictions locations",
        continues=False,
    ),
    "report": EntryPoint(
        "Every table and figure of the study, published beside ours, as one page.",
        "experiment predictions output",
        continues=False,
    ),
    "export": EntryPoint(
        "Write a feature store as HDF5 files in the layout of the course.",
        "features output",
        continues=False,
        own={
            "output": Option(
                Needed(OutputFolder(), "output: none given; name a new folder for the HDF5 files, as output=FOLDER"),
                "none",
                "New folder to write.",
            )
        },
    ),
    "compare": EntryPoint(
        "Whether variants can be told apart, how well calibrated and how robust they are, as one page.",
        "experiment filter runs predictions locations shifts cities output device promote",
        continues=False,
    ),
}
"""Every entry point by name, in the order of MLproject."""
