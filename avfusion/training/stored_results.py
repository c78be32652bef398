"""Results as folders, so that what was trained outlives the process that trained it.

A result is a folder of `classifier/` (see `avfusion.training.scene_classifier`), `result.json` (hyperparameters and
curves), `diagnostics.npy`, and the answers `val.npz`, `test.npz` and `test_1s.npz`, at full precision; nothing is
pickled.
"""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from avfusion.datasets.folds import Fold
from avfusion.fusion import FusionNetwork, variants
from avfusion.fusion.hyperparameters import Value
from avfusion.scoring.predictions import Predictions
from avfusion.system.files import TEMPORARY_SUFFIX, read_object
from avfusion.training.experiment import Result, Trained
from avfusion.training.fit import Epoch
from avfusion.training.scene_classifier import SceneClassifier
from avfusion.training.split_features import SplitSummary

RESULT, CLASSIFIER, DIAGNOSTICS = "result.json", "classifier", "diagnostics.npy"

_log = logging.getLogger(__name__)


def params_digest(params: Mapping[str, Value]) -> str:
    """Eight hexadecimal digits that tell sets of hyperparameters apart."""
    return hashlib.sha256(json.dumps(params, sort_keys=True).encode()).hexdigest()[:8]


@dataclass(frozen=True)
class StoredResults:
    """The results in `folder`, one for each variant, set of hyperparameters, seed and fold."""

    folder: Path

    def find(
        self, variant: type[FusionNetwork], params: Mapping[str, Value], seed: int, fold: Fold | None = None
    ) -> Result | None:
        """The result of this training, its classifier without companions; None if it is not here, or damaged."""
        folder = self._folder(variant, params, seed, fold)
        if not folder.is_dir():
            return None
        try:
            return _load(folder)
        except Exception as error:  # numpy and its unpackers raise whatever damage leads them to
            _log.warning("%s: damaged (%s), trained again", folder, " ".join(str(error).split()))
            shutil.rmtree(folder, ignore_errors=True)
            return None

    def keep(self, result: Result, fold: Fold | None = None) -> None:
        """Write `result`, of this `fold` if any, whole or not at all.

        Where that cannot be done (a full disk) only a warning tells of it.
        """
        trained = result.trained
        folder = self._folder(trained.variant, trained.params, trained.seed, fold)
        temporary = folder.with_name(f".{folder.name}.{os.getpid()}{TEMPORARY_SUFFIX}")
        try:
            temporary.mkdir()
            _save(result, temporary)
            temporary.rename(folder)
        except OSError as error:
            shutil.rmtree(temporary, ignore_errors=True)
            if not folder.is_dir():
                _log.warning("%s cannot be written (%s); it is lost if this job breaks off", folder, error.strerror)

    def count(self) -> int:
        """How many results there are."""
        return sum(1 for path in self.folder.glob(f"*/{RESULT}") if not path.parent.name.startswith("."))

    def _folder(self, variant: type[FusionNetwork], params: Mapping[str, Value], seed: int, fold: Fold | None) -> Path:
        of_fold = f"-fold{fold.number}of{fold.total}" if fold else ""
        return self.folder / f"{variant.id}-seed{seed}{of_fold}-{params_digest(params)}"


def _save(result: Result, folder: Path) -> None:
    trained = result.trained
    trained.classifier.save(folder / CLASSIFIER)
    for split, predictions in _answers(result).items():
        np.savez(
            folder / f"{split}.npz",
            ids=np.array(predictions.ids),
            classes=np.array(predictions.classes),
            labels=predictions.labels,
            probabilities=predictions.probabilities,
            decisions=predictions.decisions,
        )
    np.save(folder / DIAGNOSTICS, np.array(list(result.diagnostics.values())))
    fields = {
        "variant": trained.variant.id,
        "params": trained.params,
        "seed": trained.seed,
        "seconds": trained.seconds,
        "recut_clips": trained.recut_clips,
        "splits": {split: asdict(summary) for split, summary in trained.splits.items()},
        "answers": list(_answers(result)),
        "history": [asdict(epoch) for epoch in trained.history],
    }
    (folder / RESULT).write_text(json.dumps(fields, indent=2), encoding="utf-8")
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb+") as file:
                os.fsync(file.fileno())  # before the folder takes its name: see avfusion.system.files


def _load(folder: Path) -> Result:
    fields = read_object(folder / RESULT)
    answers = {split: _load_predictions(folder / f"{split}.npz") for split in fields["answers"]}
    trained = Trained(
        variant=variants()[fields["variant"]],
        params=fields["params"],
        seed=fields["seed"],
        history=[Epoch(**epoch) for epoch in fields["history"]],
        classifier=SceneClassifier.load(folder / CLASSIFIER),
        validation=answers["val"],
        seconds=fields["seconds"],
        recut_clips=fields["recut_clips"],
        splits={split: SplitSummary(**summary) for split, summary in fields["splits"].items()},
    )
    diagnostics = dict(zip(trained.variant.diagnosed, np.load(folder / DIAGNOSTICS, allow_pickle=False), strict=True))
    return Result(trained, answers["test"], answers.get("test_1s"), diagnostics)


def _answers(result: Result) -> dict[str, Predictions]:
    """The answers of `result` by the name of their file."""
    found = {"val": result.trained.validation, "test": result.test, "test_1s": result.test_seconds}
    return {name: predictions for name, predictions in found.items() if predictions is not None}


def _load_predictions(path: Path) -> Predictions:
    with np.load(path, allow_pickle=False) as arrays:
        ids, classes = (tuple(map(str, arrays[name])) for name in ("ids", "classes"))
        return Predictions(ids, classes, arrays["labels"], arrays["probabilities"], arrays["decisions"])
