"""The job `main`: from clips to compared fusion variants."""

from avfusion.device import choose_device
from avfusion.embedders import embedder_names
from avfusion.errors import unknown
from avfusion.experiment import resolve_params
from avfusion.fusion import choose_variants
from avfusion.hyperparameters import parse_params
from avfusion.jobs.extract import extract_features, load_data, summary
from avfusion.jobs.train import comparison, parse_seeds, train_variants
from avfusion.task import Task
from avfusion.tracking.runs import job_run
from avfusion.tracking.session import connect


def main_job(
    *,
    data: str,
    output: str,
    embedder: str,
    weights: str,
    precision: str,
    device: str,
    variants: str,
    seeds: str,
    params: str,
) -> list[str]:
    """Extract the features of `data`, train `variants` on them and compare; returns what to tell people.

    Arguments as of the jobs `extract` and `train`; all of them are checked before the first clip is read.
    """
    chosen = choose_variants(variants)
    resolved = resolve_params(chosen, parse_params(params))
    seed_list = parse_seeds(seeds)
    target = choose_device(device)
    if embedder not in embedder_names():
        raise unknown("embedder", embedder, embedder_names())
    dataset = load_data(data)
    connect()
    with job_run("main") as job:
        store = extract_features(dataset, output, embedder, weights, precision, device)
        task = Task(store)
        table = train_variants(task, chosen, resolved, seed_list, target)
        return [*summary(store), *comparison(table, task, job.info.experiment_id)]
