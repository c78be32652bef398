"""Many small trainings at once: processes of one thread each, which on a CPU beat one process of many threads."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch

from avfusion.experiment import Result, score_test, train
from avfusion.features import FeatureStore
from avfusion.fusion import FusionNetwork, posthoc_late
from avfusion.hyperparameters import Value
from avfusion.processes import training_processes
from avfusion.stored_results import StoredResults
from avfusion.task import Task


@dataclass(frozen=True)
class Training:
    """One training to do."""

    variant: type[FusionNetwork]
    params: dict[str, Value]
    seed: int


def train_many(
    features: Path, trainings: Sequence[Training], device: torch.device, workers: int, kept: StoredResults
) -> Iterator[Result]:
    """The results of `trainings` on the feature store `features`, in their order.

    Those that are in `kept` are taken from there. The others are made by `workers` processes, which put them there as
    soon as they are done, however long the caller takes to ask. Each process reads the features once. The numbers are
    those of one process of one thread.
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
    with ProcessPoolExecutor(min(workers, len(trainings)), context, _start, (features, device, kept)) as pool:
        try:
            yield from pool.map(_train, trainings)
        finally:
            pool.shutdown(cancel_futures=True)


@dataclass
class _Worker:
    """What a process keeps from one training to the next."""

    task: Task
    device: torch.device
    kept: StoredResults


_worker: list[_Worker] = []


def _start(features: Path, device: torch.device, kept: StoredResults) -> None:
    torch.set_num_threads(1)
    _worker[:] = [_Worker(Task(FeatureStore.open(features)), device, kept)]


def _train(training: Training) -> Result:
    (worker,) = _worker
    trained = train(worker.task, training.variant, training.params, training.seed, worker.device)
    result = score_test(worker.task, trained)
    worker.kept.keep(result)
    return result
