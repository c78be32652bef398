"""The job `train`: every chosen variant with every seed, each a run of its own, and a table of them all."""

import logging
from functools import partial
from typing import Any, NoReturn

import pandas as pd
import torch
from tqdm import tqdm

from avfusion.errors import UserError
from avfusion.features.provenance import tags, title
from avfusion.fusion import FusionNetwork, choose_variants
from avfusion.fusion.hyperparameters import Value, parse_params
from avfusion.jobs.companions import Companions, accompany
from avfusion.jobs.features import open_features
from avfusion.jobs.options import read_truth
from avfusion.system.device import choose_device
from avfusion.tracking.models import REGISTERED
from avfusion.tracking.models import register as register_model
from avfusion.tracking.records import log_best_model, log_result, log_seeds, log_summary
from avfusion.tracking.runs import set_tags
from avfusion.tracking.session import connect, ui_lines
from avfusion.tracking.work import Work, training_job
from avfusion.training.experiment import Result, resolve_params, score_test, train
from avfusion.training.fit import Epoch
from avfusion.training.precision import check_precision
from avfusion.training.split_features import TEST, TRAIN, VALIDATION, SplitFeatures

HEADLINE = {
    "accuracy": "test/accuracy",
    "log_loss": "test/log_loss",
    "macro_f1": "test/macro_f1",
    "val_accuracy": "val/accuracy",
    "val_log_loss": "val/log_loss",
    "seconds": "seconds",
}
"""Columns of the summary, and the metrics that they show."""

_log = logging.getLogger(__name__)


def train_job(
    *,
    features: str,
    variants: str,
    seeds: str,
    params: str,
    device: str,
    allow_outside: str = "false",
    register: str = "false",
) -> list[str]:
    """Train on the feature store (or HDF5 features) `features`; returns the lines that tell people what came out.

    `variants` is `quick`, `all` or ids with commas, `seeds` whole numbers with commas, `params` as
    `alpha=0.25,dropout=0.3`; `register=true` puts each model into the registry. Raises `UserError` for anything that
    cannot be used, before any training.
    """
    chosen = choose_variants(variants)
    resolved = resolve_params(chosen, parse_params(params))
    seed_list = parse_seeds(seeds)
    target, registered = choose_device(device), read_truth("register", register)
    check_precision(zip(chosen, resolved, strict=True), target)
    task = SplitFeatures(open_features(features, allow_outside))
    check_trainable(task, chosen)
    connect()
    with training_job("train") as job:
        n_failed = len(task.store.failures)
        set_tags({"failed_clips": str(n_failed)})
        work = job.begin(asked_for(chosen, resolved, seed_list), task.store, target)
        table = train_variants(task, chosen, resolved, seed_list, target, work, registered=registered)
        lines = comparison(table, task, job.experiment_id)
        return [f"features {task.store.path}; {len(task.store.clips)} clips, failed_clips={n_failed}", *lines]


def check_trainable(task: SplitFeatures, variants: list[type[FusionNetwork]]) -> None:
    """Raise `UserError` if a variant has too few clips; tell how many clips lack a modality that one needs."""
    for variant in variants:
        task.needing(variant.modalities).check_trainable()
        if n_left_out := left_out(task, variant):
            _log.warning(
                "%s: %d clips lack %s and are left out", variant.id, n_left_out, " or ".join(variant.modalities)
            )


def left_out(task: SplitFeatures, variant: type[FusionNetwork]) -> int:
    """How many clips lack a modality that `variant` listens to."""
    return int((~task.complete(variant.modalities)).sum())


def comparison(table: pd.DataFrame, task: SplitFeatures, experiment_id: str) -> list[str]:
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


def parse_seeds(text: str, option: str = "seeds") -> list[int]:
    """`"0,1,2"` as a list of distinct whole numbers of at least 0; `UserError`, naming `option`, for anything else."""
    try:
        seeds = [int(part) for part in text.split(",")]
    except ValueError:
        seeds = []
    if not seeds or min(seeds) < 0 or len(set(seeds)) != len(seeds):
        raise UserError(f"{option}={text}: expected different whole numbers of at least 0 with commas, such as 0,1,2")
    return seeds


def asked_for(variants: list[type[FusionNetwork]], params: list[dict[str, Value]], seeds: list[int]) -> dict[str, Any]:
    """What `train_variants` is given, in plain values."""
    return {"variants": [variant.id for variant in variants], "params": params, "seeds": seeds}


def train_variants(
    task: SplitFeatures,
    variants: list[type[FusionNetwork]],
    params: list[dict[str, Value]],
    seeds: list[int],
    device: torch.device,
    work: Work,
    *,
    registered: bool = False,
) -> pd.DataFrame:
    """Train and log every variant with every seed; a summary row for each variant (means over seeds).

    Unimodal variants come first: they go along with the models of the fusions as companions, seed by seed. What `work`
    has already is not done again.
    """
    rows, companions = [], Companions()
    for variant, values in sorted(zip(variants, params, strict=True), key=lambda pair: len(pair[0].modalities)):
        run_id, results = _train_variant(task, variant, values, seeds, device, work, companions)
        if registered:
            _log.info("%s: registered as models:/%s/%s", variant.id, REGISTERED, register_model(run_id))
        metrics = pd.DataFrame([result.metrics for result in results])
        rows.append({"variant": variant.id, **{name: metrics[metric].mean() for name, metric in HEADLINE.items()}})
    return pd.DataFrame(rows)


def _train_variant(
    task: SplitFeatures,
    variant: type[FusionNetwork],
    params: dict[str, Value],
    seeds: list[int],
    device: torch.device,
    work: Work,
    companions: Companions,
) -> tuple[str, list[Result]]:
    """The id of the variant's run, and a result per seed.

    A single seed is logged into the variant's own run, several into runs nested under it. A fusion gets the
    `companions` of its seed; a unimodal variant becomes one.
    """
    kept = {seed: found for seed in seeds if (found := work.results.find(variant, params, seed))}
    for result in kept.values():
        accompany(result.trained, companions)
    logged = work.runs.find(variant.id, params)
    if logged and len(kept) == len(seeds):
        return logged, list(kept.values())
    common = {"variant": variant.id, **tags(task.store.provenance)}
    left = {"left_out_clips": str(n)} if (n := left_out(task, variant)) else {}
    results = []
    with work.runs.open(variant.id, params, {"avfusion.kind": "variant", **common, **left}) as run:
        for seed in seeds:
            result = kept.get(seed) or _train(task, variant, params, seed, device, work, companions)
            if len(seeds) == 1:
                log_result(result, task.store, with_model=True)
            else:
                log = partial(log_result, result, task.store, with_model=False)
                name, seed_tags = f"{variant.id} seed {seed}", {"avfusion.kind": "seed", **common}
                work.runs.log(name, params, seed_tags, run.info.run_id, log)
            results.append(result)
        if len(seeds) > 1:
            log_seeds(results, task.store)
            log_best_model(results)
    return run.info.run_id, results


def _train(
    task: SplitFeatures,
    variant: type[FusionNetwork],
    params: dict[str, Value],
    seed: int,
    device: torch.device,
    work: Work,
    companions: Companions,
) -> Result:
    """One result, kept on disk, with its companions."""
    with tqdm(total=int(params["epochs"]), desc=f"{variant.id} seed {seed}", unit="epoch") as bar:
        trained = train(task, variant, params, seed, device, partial(_show, bar))
    result = score_test(task, trained)
    work.results.keep(result)
    accompany(trained, companions)
    return result


def _show(bar: "tqdm[NoReturn]", epoch: Epoch) -> None:
    """One epoch on the progress bar."""
    bar.set_postfix(val_loss=f"{epoch.val_loss:.3f}", val_accuracy=f"{epoch.val_accuracy:.3f}", refresh=False)
    bar.update()
