"""The job `sweep`: late fusion trained jointly for each alpha, as the study does."""

from collections.abc import Iterator

import pandas as pd
from tqdm import tqdm

from avfusion.device import choose_device
from avfusion.errors import UserError
from avfusion.experiment import Result, resolve_params
from avfusion.features import FeatureStore
from avfusion.figures import alpha_curve
from avfusion.fusion import variants
from avfusion.hyperparameters import parse_params
from avfusion.jobs.features import open_features
from avfusion.jobs.train import check_trainable, parse_seeds
from avfusion.parallel import Training, train_many
from avfusion.precision import check_precision
from avfusion.provenance import note, tags, title
from avfusion.sweep import VALIDATION_COLUMNS, choose_alpha, parse_alphas, sweep_table
from avfusion.task import Task
from avfusion.tracking.artifacts import log_features, log_figure, log_table
from avfusion.tracking.records import log_result, log_scores
from avfusion.tracking.runs import experiment_run, job_run, log_batch, set_tags
from avfusion.tracking.session import connect, ui_lines

VARIANT = "late"


def sweep_job(*, features: str, alphas: str, seeds: str, params: str, workers: str, device: str) -> list[str]:
    """Train late fusion for every alpha and seed; choose alpha on validation; returns what to tell people.

    Raises `UserError` for anything that cannot be used, before any training.
    """
    if not workers.isdigit() or int(workers) < 1:
        raise UserError(f"workers={workers}: expected a whole number of at least 1")
    late, alpha_values, given = variants()[VARIANT], parse_alphas(alphas), parse_params(params)
    if "alpha" in given:
        raise UserError("params: alpha is what the sweep varies; give its values as alphas=0.1,0.5")
    trainings = [
        Training(late, resolve_params([late], {**given, "alpha": str(alpha)})[0], seed)
        for alpha in alpha_values
        for seed in parse_seeds(seeds)
    ]
    target = choose_device(device)
    check_precision([(training.variant, training.params) for training in trainings], target)
    store = open_features(features)
    check_trainable(Task(store), [late])
    connect()
    run_tags = {"avfusion.kind": "sweep", "variant": VARIANT, **tags(store.provenance)}
    with job_run("sweep") as job, experiment_run(f"{VARIANT} alpha sweep", run_tags) as run:
        results = list(
            tqdm(
                _nested(train_many(store.path, trainings, target, int(workers)), store, run.info.run_id),
                total=len(trainings),
                desc="alpha sweep",
                unit="training",
            )
        )
        table = sweep_table(results)
        best = choose_alpha(table[VALIDATION_COLUMNS])
        _log_sweep(table, best, results, store)
        return [*_lines(table, best, store), "", *("compare  " + line for line in ui_lines(job.info.experiment_id))]


def _nested(results: Iterator[Result], store: FeatureStore, parent: str) -> Iterator[Result]:
    """The same results, each logged as a run under the sweep's."""
    for result in results:
        run_tags = {"avfusion.kind": "alpha", "variant": VARIANT, **tags(store.provenance)}
        name = f"alpha {result.trained.params['alpha']:.2f} seed {result.trained.seed}"
        with experiment_run(name, run_tags, parent=parent):
            log_scores(result, store)
        yield result


def _log_sweep(table: pd.DataFrame, best: float, results: list[Result], store: FeatureStore) -> None:
    """The sweep's table and curve, and all that is known of its best alpha, into the active run."""
    chosen = [result for result in results if result.trained.params["alpha"] == best]
    log_result(chosen[0], store, with_model=False)
    means = table[table["alpha"] == best].drop(columns=["seed"]).mean()
    log_batch({}, {f"best/{name}": float(value) for name, value in means.items()})
    log_table(table, "sweep")
    log_features(store)
    set_tags({"best_alpha": f"{best:g}"})
    log_figure(
        alpha_curve(table, "late fusion, accuracy by alpha", best_alpha=best, note=note(store.provenance)), "alpha"
    )


def _lines(table: pd.DataFrame, best: float, store: FeatureStore) -> list[str]:
    means = table.drop(columns=["seed"]).groupby("alpha", as_index=False).mean()
    return [
        "",
        f"{title(store.provenance)}; means over {table['seed'].nunique()} seed(s)",
        "",
        means.to_string(index=False, float_format=lambda value: f"{value:.3f}"),
        "",
        f"best alpha by validation accuracy: {best:g} (alpha weighs the video)",
    ]
