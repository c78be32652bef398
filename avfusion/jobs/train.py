"""The job `train`: every chosen variant with every seed, each a run of its own, and a table of them all."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NoReturn

import pandas as pd
import torch
from tqdm import tqdm

from avfusion.device import choose_device
from avfusion.errors import UserError
from avfusion.experiment import Result, resolve_params, score_test, train
from avfusion.features import FeatureStore
from avfusion.fusion import FusionNetwork, choose_variants
from avfusion.hyperparameters import Value, parse_params
from avfusion.provenance import tags, title
from avfusion.task import TEST, TRAIN, VALIDATION, Task
from avfusion.tracking.records import log_result, log_seeds
from avfusion.tracking.runs import experiment_run, job_run
from avfusion.tracking.session import connect, ui_lines
from avfusion.tracking.summary import log_summary
from avfusion.training import Epoch

HEADLINE = {
    "accuracy": "test/accuracy",
    "log_loss": "test/log_loss",
    "macro_f1": "test/macro_f1",
    "val_accuracy": "val/accuracy",
    "val_log_loss": "val/log_loss",
    "seconds": "seconds",
}
"""Columns of the summary, and the metrics that they show."""


def train_job(*, features: str, variants: str, seeds: str, params: str, device: str) -> list[str]:
    """Train on the feature store `features`; returns the lines that tell people what came out.

    `variants` is `quick`, `all` or ids with commas, `seeds` whole numbers with commas, `params` as
    `alpha=0.25,dropout=0.3`. Raises `UserError` for anything that cannot be used, before any training.
    """
    if features == "none":
        raise UserError("features: none given; name the feature store that extract wrote, as features=FOLDER")
    chosen = choose_variants(variants)
    resolved = resolve_params(chosen, parse_params(params))
    seed_list = parse_seeds(seeds)
    target = choose_device(device)
    task = Task(FeatureStore.open(Path(features)))
    task.check_trainable()
    connect()
    with job_run("train") as job:
        table = train_variants(task, chosen, resolved, seed_list, target)
        return comparison(table, task, job.info.experiment_id)


def comparison(table: pd.DataFrame, task: Task, experiment_id: str) -> list[str]:
    """Log the summary `table` of a job, and return it as lines with the way to the MLflow UI."""
    log_summary(table, task.store)
    counts = ", ".join(f"{len(task.rows(split))} {split}" for split in (TRAIN, VALIDATION, TEST))
    return [
        "",
        f"{title(task.store.provenance)}; clips: {counts}; scores are of the test clips",
        "",
        table.to_string(index=False, float_format=lambda value: f"{value:.3f}"),
        "",
        "compare  " + ui_lines(experiment_id)[0],
        *("         " + line for line in ui_lines(experiment_id)[1:]),
    ]


def parse_seeds(text: str) -> list[int]:
    """`"0,1,2"` as a list of distinct whole numbers of at least 0; `UserError` for anything else."""
    try:
        seeds = [int(part) for part in text.split(",")]
    except ValueError:
        seeds = []
    if not seeds or min(seeds) < 0 or len(set(seeds)) != len(seeds):
        raise UserError(f"seeds={text}: expected different whole numbers of at least 0 with commas, such as 0,1,2")
    return seeds


def train_variants(
    task: Task,
    variants: list[type[FusionNetwork]],
    params: list[dict[str, Value]],
    seeds: list[int],
    device: torch.device,
) -> pd.DataFrame:
    """Train and log every variant with every seed; a summary row for each variant (means over seeds)."""
    rows = []
    for variant, values in zip(variants, params, strict=True):
        run_tags = {"avfusion.kind": "variant", "variant": variant.id, **tags(task.store.provenance)}
        with experiment_run(variant.id, run_tags) as run:
            results = list(_results(task, variant, values, seeds, device, run.info.run_id))
            if len(seeds) > 1:
                log_seeds(results, task.store)
        metrics = pd.DataFrame([result.metrics for result in results])
        rows.append({"variant": variant.id, **{name: metrics[metric].mean() for name, metric in HEADLINE.items()}})
    return pd.DataFrame(rows)


def _results(
    task: Task,
    variant: type[FusionNetwork],
    params: dict[str, Value],
    seeds: list[int],
    device: torch.device,
    run_id: str,
) -> Iterator[Result]:
    """One result per seed, logged: a single seed into the variant's own run, several into runs nested under it."""
    for seed in seeds:
        with tqdm(total=int(params["epochs"]), desc=f"{variant.id} seed {seed}", unit="epoch") as bar:
            trained = train(task, variant, params, seed, device, partial(_show, bar))
        result = score_test(task, trained)
        if len(seeds) == 1:
            log_result(result, task.store, with_model=True)
        else:
            run_tags = {"avfusion.kind": "seed", "variant": variant.id, **tags(task.store.provenance)}
            with experiment_run(f"{variant.id} seed {seed}", run_tags, parent=run_id):
                log_result(result, task.store, with_model=False)
        yield result


def _show(bar: "tqdm[NoReturn]", epoch: Epoch) -> None:
    """One epoch on the progress bar."""
    bar.set_postfix(val_loss=f"{epoch.val_loss:.3f}", val_accuracy=f"{epoch.val_accuracy:.3f}", refresh=False)
    bar.update()
