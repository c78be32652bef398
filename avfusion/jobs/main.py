"""The job `main`: from clips to compared fusion variants."""

import time

from avfusion.datasets.splits import assign_splits
from avfusion.fusion import choose_variants
from avfusion.fusion.hyperparameters import parse_params
from avfusion.jobs.extract import DEFAULTS, Extraction, load_data, log_store, summary
from avfusion.jobs.options import read_truth
from avfusion.jobs.train import asked_for, comparison, parse_seeds, train_variants
from avfusion.system.device import choose_device
from avfusion.tracking.session import connect
from avfusion.tracking.work import training_job
from avfusion.training.experiment import resolve_params
from avfusion.training.many import check_trainable
from avfusion.training.precision import check_precision
from avfusion.training.split_features import SplitFeatures


def main_job(
    *,
    data: str,
    variants: str,
    seeds: str,
    params: str,
    device: str,
    register: str = "false",
    allow_outside: str = "false",
    **options: str,
) -> list[str]:
    """Extract the features of `data`, train `variants` on them and compare; returns what to tell people.

    Arguments as of the jobs `extract` and `train`; all of them, and that the clips can be split by location, are
    checked before the first clip is read.
    """
    laps = Laps()
    chosen = choose_variants(variants)
    resolved = resolve_params(chosen, parse_params(params))
    seed_list = parse_seeds(seeds)
    target, registered = choose_device(device), read_truth("register", register)
    check_precision(zip(chosen, resolved, strict=True), target)
    extraction = Extraction.parse(device=device, **{**DEFAULTS, **options})
    dataset = load_data(data, allow_outside)
    assign_splits(dataset.table())
    laps.end("clips")
    connect()
    with training_job("main") as job:
        store = extraction.run(dataset)
        log_store(store)
        laps.end("features")
        task = SplitFeatures(store)
        check_trainable(task, chosen)
        work = job.begin(asked_for(chosen, resolved, seed_list), store, target)
        table = train_variants(task, chosen, resolved, seed_list, target, work, registered=registered)
        lines = comparison(table, task, job.experiment_id)
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
