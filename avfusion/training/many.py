"""Several trainings of one job: none is done twice, and unimodal models go along with those of fusions.

On a CPU many small trainings are done by processes of one thread each, which beat one process of many threads.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

import torch

from avfusion.datasets.folds import Fold
from avfusion.datasets.splits import short_of_training
from avfusion.features import FeatureStore
from avfusion.fusion import FusionNetwork, posthoc_late
from avfusion.fusion.hyperparameters import Value
from avfusion.system.processes import spread, training_processes
from avfusion.system.progress import Progress, show_progress
from avfusion.training.answering import better_alone
from avfusion.training.cross_validation import CrossValidation, Scored
from avfusion.training.experiment import Result, score_test, train
from avfusion.training.fit import Epoch
from avfusion.training.scene_classifier import SceneClassifier
from avfusion.training.split_features import SplitFeatures
from avfusion.training.stored_results import StoredResults

AnyScored = TypeVar("AnyScored", bound=Scored)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Training:
    """One training to do."""

    variant: type[FusionNetwork]
    params: dict[str, Value]
    """Every hyperparameter and recipe value (see `avfusion.training.experiment.resolve_params`)."""
    seed: int
    fold: Fold | None = None
    """The fold of the clips that it is of; None is the dataset's own split."""

    def __str__(self) -> str:
        return f"training {self.variant.id} with seed {self.seed}" + (f", {self.fold}" if self.fold else "")


@dataclass
class Trainer:
    """Does the trainings of a job, all on the same features."""

    data: SplitFeatures
    device: torch.device
    kept: StoredResults
    """Results on disk: those of trainings that are asked for again, and of every one that is done."""
    workers: int | None = None
    """How many processes of one thread train; None is this process, with all its threads and a progress bar."""
    folds: int | None = None
    """How many folds `scored` trains in; None is the dataset's own split."""
    companions: dict[int, dict[str, SceneClassifier]] = field(default_factory=dict)
    """Seed -> the unimodal classifiers met so far (see `with_companions`), by the id of their variant."""

    def results(self, trainings: Sequence[Training]) -> Iterator[Result]:
        """The results of `trainings`, in their order, each on disk before it is given out.

        Processes work on, however long the caller takes to ask; their numbers are those of one process of one thread. A
        process that is killed costs one training, which is done again; raises `UserError` for one that ends its process
        three times.
        """
        found = [self.kept.find(one.variant, one.params, one.seed, one.fold) for one in trainings]
        missing = [training for training, result in zip(trainings, found, strict=True) if result is None]
        trained = self._here(missing) if self.workers is None else self._in_processes(missing, self.workers)
        for result in found:
            yield result or next(trained)

    def scored(self, trainings: Sequence[Training]) -> Iterator[Scored]:
        """What `trainings` (of no fold) come to, in their order: as `results`, or each over all folds."""
        if self.folds is None:
            yield from self.results(trainings)
            return
        every = self.results([replace(one, fold=fold) for one in trainings for fold in Fold.each(self.folds)])
        for _ in trainings:
            yield CrossValidation.of(tuple(islice(every, self.folds)), self.data)

    def with_companions(self, results: Iterable[AnyScored]) -> Iterator[AnyScored]:
        """`results` in turn, a fusion's classifier with the companions of its seed; a unimodal one becomes one.

        Companions answer for the fusion where a clip lacks a modality, so unimodal variants are to be trained first. A
        fusion trained with modality dropout answers by itself where it is better at that on validation. Folds have no
        one classifier: they are given out as they are.
        """
        for result in results:
            if isinstance(result, CrossValidation):
                yield result
                continue
            classifier, variant = result.trained.classifier, result.trained.variant
            of_seed = self.companions.setdefault(result.trained.seed, {})
            if len(variant.modalities) > 1:
                classifier.companions |= of_seed
                if result.trained.params.get("modality_dropout"):
                    alone = better_alone(self.data, classifier)
                    classifier.description = replace(classifier.description, answers_alone=alone)
            else:
                of_seed[variant.id] = classifier
            yield result

    def _here(self, trainings: Sequence[Training]) -> Iterator[Result]:
        for one in trainings:
            name = f"{one.variant.id} seed {one.seed}" + (f" {one.fold}" if one.fold else "")
            data = _split(self.data, one)
            with show_progress(name, int(one.params["epochs"]), "epoch") as bar:
                trained = train(data, one.variant, one.params, one.seed, self.device, partial(_show, bar))
            result = score_test(data, trained)
            self.kept.keep(result, one.fold)
            yield result

    def _in_processes(self, trainings: Sequence[Training], workers: int) -> Iterator[Result]:
        context = training_processes(__name__, posthoc_late.__name__)
        return spread(partial(_train, self.data.store.path, self.device, self.kept), trainings, workers, context)


def splits_of(data: SplitFeatures, folds: int | None, seeds: Iterable[int]) -> list[SplitFeatures]:
    """`data` in all splits that it is trained on: the dataset's own one, or every fold for each of `seeds`.

    Raises `UserError` for folds that cannot be drawn or that leak (see `avfusion.datasets.folds`).
    """
    if folds is None:
        return [data]
    if (data.store.clips["split"] != "").any():
        _log.info("folds=%d: the split that the dataset brings is set aside", folds)
    return [data.in_fold(fold, seed) for seed in seeds for fold in Fold.each(folds)]


def check_trainable(
    data: SplitFeatures, variants: Iterable[type[FusionNetwork]], splits: Sequence[SplitFeatures] | None = None
) -> None:
    """Raise `UserError` if a variant has too few clips in `data`, or in these `splits` of it in its place.

    Warns of classes with few clips for training, and of how many clips lack a modality that a variant needs.
    """
    _warn_of_short_classes(splits or [data])
    for variant in variants:
        for one in splits or [data]:
            one.needing(variant.modalities).check_trainable()
        if n_left_out := data.left_out(variant.modalities):
            _log.warning(
                "%s: %d clips lack %s and are left out", variant.id, n_left_out, " or ".join(variant.modalities)
            )


def _warn_of_short_classes(splits: Sequence[SplitFeatures]) -> None:
    least: dict[str, float] = {}
    for one in splits:
        for name, share in short_of_training(one.store.clips, one.splits).items():
            least[name] = min(share, least.get(name, 1.0))
    if least:
        shares = ", ".join(f"{name} {share:.0%}" for name, share in sorted(least.items(), key=lambda item: item[1]))
        _log.warning("less than half of a class is for training, for its locations are few or unequal: %s", shares)


def _split(data: SplitFeatures, training: Training) -> SplitFeatures:
    """`data` in the splits that `training` is of."""
    return data.in_fold(training.fold, training.seed) if training.fold else data


def _show(bar: Progress, epoch: Epoch) -> None:
    """One epoch on the progress bar."""
    bar.update(val_loss=f"{epoch.val_loss:.3f}", val_acc=f"{epoch.val_accuracy:.3f}")


def _train(features: Path, device: torch.device, kept: StoredResults, training: Training) -> Result:
    """One training in a process of its own."""
    data = _split(_data(features), training)
    result = score_test(data, train(data, training.variant, training.params, training.seed, device))
    kept.keep(result, training.fold)
    return result


@cache
def _data(features: Path) -> SplitFeatures:
    """What a process keeps from one training to the next."""
    torch.set_num_threads(1)
    return SplitFeatures(FeatureStore.open(features))
