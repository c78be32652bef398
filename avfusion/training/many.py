"""Many small trainings at once: processes of one thread each, which on a CPU beat one process of many threads."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import torch

from avfusion.features import FeatureStore
from avfusion.fusion import FusionNetwork, posthoc_late
from avfusion.fusion.hyperparameters import Value
from avfusion.system.processes import spread, training_processes
from avfusion.training.experiment import Result, score_test, train
from avfusion.training.split_features import SplitFeatures
from avfusion.training.stored_results import StoredResults


@dataclass(frozen=True)
class Training:
    """One training to do."""

    variant: type[FusionNetwork]
    params: dict[str, Value]
    seed: int

    def __str__(self) -> str:
        return f"training {self.variant.id} with seed {self.seed}"


def train_many(
    features: Path, trainings: Sequence[Training], device: torch.device, workers: int, kept: StoredResults
) -> Iterator[Result]:
    """The results of `trainings` on the feature store `features`, in their order.

    Those that are in `kept` are taken from there. The others are made by `workers` processes, which put them there as
    soon as they are done, however long the caller takes to ask. Each process reads the features once. The numbers are
    those of one process of one thread. A process that is killed costs one training, which is done again; raises
    `UserError` for one that ends its process three times.
    """
    found = [kept.find(training.variant, training.params, training.seed) for training in trainings]
    missing = [training for training, result in zip(trainings, found, strict=True) if result is None]
    trained = _trained(features, missing, device, workers, kept)
    for result in found:
        yield result or next(trained)


def _trained(
    features: Path, trainings: Sequence[Training], device: torch.device, workers: int, kept: StoredResults
) -> Iterator[Result]:
    context = training_processes(__name__, posthoc_late.__name__)
    return spread(partial(_train, features, device, kept), trainings, workers, context)


def _train(features: Path, device: torch.device, kept: StoredResults, training: Training) -> Result:
    task = _task(features)
    result = score_test(task, train(task, training.variant, training.params, training.seed, device))
    kept.keep(result)
    return result


@cache
def _task(features: Path) -> SplitFeatures:
    """What a process keeps from one training to the next."""
    torch.set_num_threads(1)
    return SplitFeatures(FeatureStore.open(features))
