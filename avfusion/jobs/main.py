"""The job `main`: from clips to compared fusion variants."""

from avfusion.datasets.splits import assign_splits
from avfusion.fusion import choose_variants
from avfusion.fusion.hyperparameters import parse_params
from avfusion.jobs.extract import DEFAULTS, Extraction, load_data, log_store, summary
from avfusion.jobs.laps import Laps
from avfusion.jobs.options import read_truth
from avfusion.jobs.train import asked_for, check_trainable, comparison, parse_seeds, train_variants
from avfusion.jobs.work import training_job
from avfusion.system.device import choose_device
from avfusion.tracking.session import connect
from avfusion.training.experiment import resolve_params
from avfusion.training.precision import check_precision
from avfusion.training.task import Task


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
        task = Task(store)
        check_trainable(task, chosen)
        work = job.begin(asked_for(chosen, resolved, seed_list), store, target)
        table = train_variants(task, chosen, resolved, seed_list, target, work, registered=registered)
        lines = comparison(table, task, job.experiment_id)
        laps.end("training")
        return [*summary(store), laps.line(), *lines]
