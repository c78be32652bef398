"""Answers by nested cross-validation: in each fold those of the trial that the fold's own validation clips choose.

They are prediction files, FOLDER/GROUP/seed0/fold1/NAME.tsv, with those of the validation clips in val/ beside them;
FOLDER/GROUP/NAME.csv has all trials, and says that NAME is done.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from avfusion.analysis.ensembles import fit_ensemble
from avfusion.analysis.sources import in_folder
from avfusion.analysis.variant_answers import SideBySide, VariantAnswers
from avfusion.errors import UserError
from avfusion.fusion import FusionNetwork
from avfusion.fusion.hyperparameters import Value
from avfusion.scoring.folders import VALIDATION
from avfusion.scoring.predictions import Predictions
from avfusion.scoring.tsv import read_course_tsv, write_course_tsv
from avfusion.system.files import replacing
from avfusion.training.cross_validation import CrossValidation, pooled
from avfusion.training.ensemble import ENSEMBLE
from avfusion.training.experiment import Result
from avfusion.training.many import Trainer, Training

DEFAULTS, TUNED, OPTIONS = "defaults", "tuned", "options"

_log = logging.getLogger(__name__)


class Row(NamedTuple):
    """One row of the table: a variant, or the ensemble, in a group."""

    group: str
    name: str
    """In the group `options` the variant's id, a blank and what is changed."""

    @property
    def title(self) -> str:
        """Unique among all rows."""
        return f"{TUNED} {self.name}" if self.group == TUNED else self.name

    @property
    def variant(self) -> str:
        """The id of its variant."""
        return self.name.split()[0]


@dataclass(frozen=True)
class Answers:
    """What is trained for the table, and where its answers are."""

    trainer: Trainer
    seeds: tuple[int, ...]
    folder: Path

    def answer(self, row: Row, variant: type[FusionNetwork], configurations: Sequence[Mapping[str, Value]]) -> None:
        """Train `variant` with each configuration, and write what the best of each fold, on validation, answers."""
        done = self.folder / row.group / f"{row.name}.csv"
        if done.is_file():
            return
        best, trials = list[CrossValidation](), list[dict[str, object]]()
        for number, params in enumerate(configurations):
            try:
                found = list(self.trainer.scored([Training(variant, dict(params), seed) for seed in self.seeds]))
            except UserError as error:  # its training diverged in some fold
                _log.warning("%s, trial %d: %s", row.title, number, error)
                continue
            trained = [one for one in found if isinstance(one, CrossValidation)]
            for one in trained:
                for fold, result in enumerate(one.folds, 1):
                    known = {"seed": one.seed, "fold": fold, "val_log_loss": _loss(result)}
                    trials.append({"trial": number, **known, "seconds": result.trained.seconds, **params})
            sides = zip(best, trained, strict=True) if best else ((one,) for one in trained)
            best = [CrossValidation.chosen(side, _lowest, self.trainer.data) for side in sides]
            _log.info("%s, trial %d of %d", row.title, number + 1, len(configurations))
        for one in best:
            for fold, result in enumerate(one.folds, 1):
                self._write(row, one.seed, fold, result.test, result.trained.validation)
        write_csv(done, pd.DataFrame(trials))

    def combine(self, group: str) -> None:
        """Write the answers of the ensemble of all rows of `group`, with weights for each fold of each seed."""
        done = self.folder / group / f"{ENSEMBLE}.csv"
        if done.is_file():
            return
        weights = []
        for seed, fold, folder in self._folds(group):
            members = tuple(one for one in in_folder(folder) if one.name != ENSEMBLE)
            fitted = fit_ensemble(SideBySide(members, str(folder)))
            self._write(Row(group, ENSEMBLE), seed, fold, fitted.answers.answers, fitted.answers.validation[0])
            weights.append({"seed": seed, "fold": fold, **fitted.weights})
        write_csv(done, pd.DataFrame(weights).fillna(0.0))

    def read(self, row: Row) -> VariantAnswers:
        """The answers of a row, for each seed those of all folds."""
        ids, seeds = list(self.trainer.data.store.clips["id"]), dict[int, list[Predictions]]()
        for seed, _, folder in self._folds(row.group):
            seeds.setdefault(seed, []).append(read_course_tsv(folder / f"{row.name}.tsv"))
        return VariantAnswers(row.title, str(self.folder), tuple(pooled(folds, ids) for folds in seeds.values()))

    def trials(self, row: Row) -> pd.DataFrame:
        """The trials of a row, one line for each fold of each seed, and whether it is the fold's best."""
        table = pd.read_csv(self.folder / row.group / f"{row.name}.csv")
        best = table.groupby(["seed", "fold"])["val_log_loss"].idxmin()
        return table.assign(chosen=table.index.isin(best))

    def _folds(self, group: str) -> Iterator[tuple[int, int, Path]]:
        for seed in self.seeds:
            for fold in range(1, (self.trainer.folds or 0) + 1):
                yield seed, fold, self._answers(group, seed, fold)

    def _answers(self, group: str, seed: int, fold: int) -> Path:
        return self.folder / group / f"seed{seed}" / f"fold{fold}"

    def _write(self, row: Row, seed: int, fold: int, test: Predictions, validation: Predictions) -> None:
        folder = self._answers(row.group, seed, fold)
        write_course_tsv(folder / f"{row.name}.tsv", test)
        write_course_tsv(folder / VALIDATION / f"{row.name}.tsv", validation)


def _loss(result: Result) -> float:
    return float(result.trained.validation.losses.mean())


def _lowest(results: Sequence[Result]) -> Result:
    """The best on validation, of equals the first: the defaults, if they are one of them."""
    return min(results, key=_loss)


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write `table` whole or not at all, into a folder that is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False)
