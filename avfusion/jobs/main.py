"""The job `main`: from clips to compared fusion variants."""

import time
from pathlib import Path
from typing import Literal

from avfusion.datasets.folds import check_splits
from avfusion.fusion import choose_variants
from avfusion.jobs.extract import load_data, log_store, prepare, summary
from avfusion.jobs.train import asked_for, check_model_is_made, comparison, train_variants
from avfusion.system.device import choose_device
from avfusion.tracking.session import connect
from avfusion.tracking.work import training_job
from avfusion.training.experiment import resolve_params
from avfusion.training.many import Trainer, check_trainable, splits_of
from avfusion.training.precision import check_precision
from avfusion.training.split_features import SplitFeatures


def main_job(
    *,
    data: Path | None,
    output: Path | None,
    embedder: str,
    hop: float | None,
    frames: float | None,
    weights: str | None,
    precision: str,
    device: str,
    modalities: Literal["both", "any"],
    strict: bool,
    allow_outside: bool,
    timeout: float,
    executor: str,
    address: str | None,
    parts: str | None,
    variants: tuple[str, ...],
    seeds: tuple[int, ...],
    folds: int | None,
    params: dict[str, str],
    register: bool,
) -> list[str]:
    """Go from clips to compared fusion variants: the jobs `extract` and `train`, whose arguments these are, in one.

    All arguments, and that the clips can be split by location, are checked before the first clip is read. Returns the
    lines to show. Raises `UserError` for anything that cannot be used.
    """
    laps = Laps()
    check_model_is_made(folds, register=register)
    chosen = choose_variants(variants)
    resolved = resolve_params(chosen, params)
    target = choose_device(device)
    check_precision(zip(chosen, resolved, strict=True), target)
    extraction = prepare(
        output, embedder, hop, frames, weights, precision, device, modalities, strict, timeout, executor, address, parts
    )
    dataset = load_data(data, allow_outside)
    extraction.embedder_for(dataset)  # refused before there is a run
    check_splits(dataset.table(), folds, seeds)
    laps.end("clips")
    connect()
    with training_job("main") as job:
        store = extraction.run(dataset)
        log_store(store)
        laps.end("features")
        features = SplitFeatures(store)
        check_trainable(features, chosen, splits_of(features, folds, seeds))
        work = job.begin(asked_for(chosen, resolved, seeds, folds), store, target)
        trainer = Trainer(features, target, work.results, folds=folds)
        table = train_variants(trainer, chosen, resolved, seeds, work, registered=register)
        lines = comparison(table, trainer, seeds, job.experiment_id)
        laps.end("training")
        return [*summary(store), laps.line(), *lines]


class Laps:
    """Where a job's time went: named stretches, one after the other."""

    def __init__(self) -> None:
        self._laps: list[tuple[str, float]] = []
        self._begun = time.perf_counter()

    def end(self, name: str) -> None:
        """What was done since the last `end` (or the start) was `name`."""
        now = time.perf_counter()
        self._laps.append((name, now - self._begun))
        self._begun = now

    def line(self) -> str:
        """`time     extraction 31 s, training 12 s; 43 s in all`."""
        stretches = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in self._laps)
        return f"time     {stretches}; {sum(seconds for _, seconds in self._laps):.0f} s in all"
