"""Several trainings of one job: none is done twice, and unimodal models go along with those of fusions.

On a CPU many small trainings are done by processes of one thread each, which beat one process of many threads.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import NoReturn

import torch
from tqdm import tqdm

from avfusion.features import FeatureStore
from avfusion.fusion import FusionNetwork, posthoc_late
from avfusion.fusion.hyperparameters import Value
from avfusion.system.processes import spread, training_processes
from avfusion.training.answering import better_alone
from avfusion.training.classifier import SceneClassifier
from avfusion.training.experiment import Result, score_test, train
from avfusion.training.fit import Epoch
from avfusion.training.split_features import SplitFeatures
from avfusion.training.stored_results import StoredResults

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Training:
    """One training to do."""

    variant: type[FusionNetwork]
    params: dict[str, Value]
    """Every hyperparameter and recipe value (see `avfusion.training.experiment.resolve_params`)."""
    seed: int

    def __str__(self) -> str:
        return f"training {self.variant.id} with seed {self.seed}"


@dataclass
class Trainer:
    """Does the trainings of a job, all on the same features."""

    data: SplitFeatures
    device: torch.device
    kept: StoredResults
    """Results on disk: those of trainings that are asked for again, and of every one that is done."""
    workers: int | None = None
    """How many processes of one thread train; None is this process, with all its threads and a progress bar."""
    companions: dict[int, dict[str, SceneClassifier]] = field(default_factory=dict)
    """Seed -> the unimodal classifiers met so far (see `with_companions`), by the id of their variant."""

    def results(self, trainings: Sequence[Training]) -> Iterator[Result]:
        """The results of `trainings`, in their order, each on disk before it is given out.

        Processes work on, however long the caller takes to ask; their numbers are those of one process of one thread. A
        process that is killed costs one training, which is done again; raises `UserError` for one that ends its process
        three times.
        """
        found = [self.kept.find(training.variant, training.params, training.seed) for training in trainings]
        missing = [training for training, result in zip(trainings, found, strict=True) if result is None]
        trained = self._here(missing) if self.workers is None else self._in_processes(missing, self.workers)
        for result in found:
            yield result or next(trained)

    def with_companions(self, results: Iterable[Result]) -> Iterator[Result]:
        """`results` in turn, a fusion's classifier with the companions of its seed; a unimodal one becomes one.

        Companions answer for the fusion where a clip lacks a modality, so unimodal variants are to be trained first. A
        fusion trained with modality dropout answers by itself where it is better at that on validation.
        """
        for result in results:
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
            with tqdm(total=int(one.params["epochs"]), desc=f"{one.variant.id} seed {one.seed}", unit="epoch") as bar:
                trained = train(self.data, one.variant, one.params, one.seed, self.device, partial(_show, bar))
            result = score_test(self.data, trained)
            self.kept.keep(result)
            yield result

    def _in_processes(self, trainings: Sequence[Training], workers: int) -> Iterator[Result]:
        context = training_processes(__name__, posthoc_late.__name__)
        return spread(partial(_train, self.data.store.path, self.device, self.kept), trainings, workers, context)


def check_trainable(data: SplitFeatures, variants: Iterable[type[FusionNetwork]]) -> None:
    """Raise `UserError` if a variant has too few clips; warn of how many clips lack a modality that one needs."""
    for variant in variants:
        data.needing(variant.modalities).check_trainable()
        if n_left_out := data.left_out(variant.modalities):
            _log.warning(
                "%s: %d clips lack %s and are left out", variant.id, n_left_out, " or ".join(variant.modalities)
            )


def _show(bar: "tqdm[NoReturn]", epoch: Epoch) -> None:
    """One epoch on the progress bar."""
    bar.set_postfix(val_loss=f"{epoch.val_loss:.3f}", val_accuracy=f"{epoch.val_accuracy:.3f}", refresh=False)
    bar.update()


def _train(features: Path, device: torch.device, kept: StoredResults, training: Training) -> Result:
    """One training in a process of its own."""
    data = _data(features)
    result = score_test(data, train(data, training.variant, training.params, training.seed, device))
    kept.keep(result)
    return result


@cache
def _data(features: Path) -> SplitFeatures:
    """What a process keeps from one training to the next."""
    torch.set_num_threads(1)
    return SplitFeatures(FeatureStore.open(features))
