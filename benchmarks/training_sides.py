"""What `benchmarks.training` has compared: a training of ours, or done the usual way, each measured by its epochs."""

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from avfusion.features import FeatureStore
from avfusion.fusion import FusionNetwork, Shape, build, variants
from avfusion.fusion.base import Stage
from avfusion.fusion.hyperparameters import Value
from avfusion.system.device import multiplies_bf16
from avfusion.system.seeds import derive_seed
from avfusion.training.alpha_sweep import STUDY_ALPHAS
from avfusion.training.experiment import resolve_params, score_test, train
from avfusion.training.fit import Examples, fit
from avfusion.training.many import Trainer, Training
from avfusion.training.split_features import SplitFeatures
from avfusion.training.stored_results import StoredResults
from benchmarks.apart import Apart, Memory
from benchmarks.tau_features import BATCH, DIM, N_CLASSES, usual_loaders
from benchmarks.usual_training import InMemory, examples, plain_adam, plain_epoch, use_torch_dropout

EPOCHS, CPU = 30, torch.device("cpu")


@dataclass
class Side:
    """What one side took: seconds of each epoch, all seconds, and the accuracies to compare."""

    epochs: list[float]
    total: float
    accuracies: list[float]
    note: str = ""
    memory: Memory | None = None


def measured(function: Callable[..., Side], *arguments: object) -> Side:
    """The `Side` that `function` returns in a process of its own."""
    with Apart() as process:
        return replace(process(function, *arguments), memory=process.memory)


def usual(folder: Path, n_frames: int) -> Side:
    """Epochs of `baseline` from HDF5, item by item: the first one, one with each number of workers, the best again."""
    network, params = made("baseline", n_frames, 0), settings("baseline")
    use_torch_dropout(network)
    adam, counts = plain_adam(network, params), range(len(os.sched_getaffinity(0)) + 1)
    first, *tried = [plain_epoch(network, adam, *usual_loaders(folder, n_workers)) for n_workers in (0, *counts)]
    best = min(counts, key=lambda n: tried[n][0])
    again = plain_epoch(network, adam, *usual_loaders(folder, best))
    epoch = min(tried[best][0], again[0])
    note = f"{best} loader workers were best; with {', '.join(f'{n}: {tried[n][0]:.2f} s' for n in counts)}"
    accuracies = [accuracy for _, accuracy in (first, *tried, again)]
    return Side([epoch], first[0] + (EPOCHS - 1) * epoch, accuracies, note)


def settings(variant: str, **given: str) -> dict[str, Value]:
    """The study's values, or `given` ones."""
    return resolve_params([variants()[variant]], given)[0]


def made(variant: str, n_frames: int, seed: int) -> FusionNetwork:
    """A network of `variant` as `avfusion.training.experiment.train` starts it."""
    torch.manual_seed(derive_seed("init", variant, seed))
    return build(variants()[variant], Shape(DIM, DIM, n_frames, N_CLASSES), settings(variant))


def ours(folder: Path, variant: str, n_epochs: int) -> Side:
    """Epochs of a variant from the feature store; all seconds include opening it and pooling or reading it."""
    params = settings(variant, epochs=str(n_epochs), patience=str(n_epochs))
    plain_adam(made(variant, 1, 0), params)  # the first optimiser of a process imports for seconds, on either side
    started = time.perf_counter()
    trained = train(SplitFeatures(FeatureStore.open(folder / "store")), variants()[variant], params, 0, CPU)
    total, history = time.perf_counter() - started, trained.history
    return Side([epoch.seconds for epoch in history], total, [epoch.val_accuracy for epoch in history])


def sweep(folder: Path, n_workers: int, n_epochs: int) -> Side:
    """Late fusion for each alpha of the study in `n_workers` processes; 0 is this process, with all its threads."""
    given = {"epochs": str(n_epochs), "patience": str(n_epochs)}
    trainings = [Training(variants()["late"], settings("late", alpha=str(a), **given), 0) for a in STUDY_ALPHAS]
    started = time.perf_counter()
    data = SplitFeatures(FeatureStore.open(folder / "store"))
    if n_workers:
        with tempfile.TemporaryDirectory() as kept:
            results = list(Trainer(data, CPU, StoredResults(Path(kept)), n_workers).results(trainings))
    else:
        results = [score_test(data, train(data, t.variant, t.params, t.seed, CPU)) for t in trainings]
    return Side([], time.perf_counter() - started, [result.metrics["val/accuracy"] for result in results])


def framewise(
    variant: str, n_clips: int, n_frames: int, n_epochs: int, seed: int, plain: bool, precision: str = ""
) -> Side:
    """Epochs of a variant that keeps all frames, after a warm-up of two batches; the accuracy is the last epoch's."""
    started = time.perf_counter()
    training, held_out = examples(n_clips, n_frames, seed), examples(n_clips * 2 // 5, n_frames, 1000 + seed)
    params = settings(variant, epochs=str(n_epochs), patience=str(n_epochs), precision=precision or fastest_precision())
    network = made(variant, n_frames, seed)
    few = Examples(*(values[: 2 * BATCH] for values in (training.audio, training.video, training.labels)))
    warm_up = made(variant, n_frames, 99)
    if plain:
        for module, data, others, epochs in ((warm_up, few, few, 1), (network, training, held_out, n_epochs)):
            use_torch_dropout(module)
            adam, batches = plain_adam(module, params), InMemory(data, seed)
            history = [plain_epoch(module, adam, batches, InMemory(others, None)) for _ in range(epochs)]
    else:
        list(fit(Stage("", warm_up), few, few, {**params, "epochs": 1}, seed))
        history = [
            (epoch.seconds, epoch.val_accuracy) for epoch in fit(Stage("", network), training, held_out, params, seed)
        ]
    return Side([seconds for seconds, _ in history], time.perf_counter() - started, [history[-1][1]])


def fastest_precision() -> str:
    """The one in which this processor multiplies fastest: bf16 where it has AMX, else float32."""
    return "bf16" if multiplies_bf16(CPU) else "float32"
