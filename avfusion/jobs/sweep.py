"""The job `sweep`: late fusion trained jointly for each alpha, as the study does."""

from functools import partial

import pandas as pd
from tqdm import tqdm

from avfusion.errors import UserError
from avfusion.features import FeatureStore
from avfusion.features.provenance import note, tags, title
from avfusion.figures import alpha_curve
from avfusion.fusion import variants
from avfusion.fusion.hyperparameters import parse_params
from avfusion.jobs.features import open_features
from avfusion.jobs.train import parse_seeds
from avfusion.system.device import choose_device
from avfusion.tracking.artifacts import log_features, log_figure, log_table
from avfusion.tracking.lookup import KIND
from avfusion.tracking.records import log_result, log_scores
from avfusion.tracking.runs import log_batch, set_tags
from avfusion.tracking.session import connect, ui_lines
from avfusion.tracking.work import training_job
from avfusion.training.alpha_sweep import VALIDATION_COLUMNS, choose_alpha, parse_alphas, sweep_table
from avfusion.training.experiment import Result, resolve_params
from avfusion.training.many import Trainer, Training, check_trainable
from avfusion.training.precision import check_precision
from avfusion.training.split_features import SplitFeatures

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
    data = SplitFeatures(store)
    check_trainable(data, [late])
    connect()
    run_tags = {"variant": VARIANT, **tags(store.provenance)}
    asked = {"params": [training.params for training in trainings], "seeds": [training.seed for training in trainings]}
    with training_job("sweep") as job:
        work = job.begin(asked, store, target)
        with work.runs.open(f"{VARIANT} alpha sweep", {}, {KIND: "sweep", **run_tags}) as run:
            results = []
            trainer = Trainer(data, target, work.results, int(workers))
            for result in tqdm(trainer.results(trainings), total=len(trainings), desc="alpha sweep", unit="training"):
                trained, log = result.trained, partial(log_scores, result, store)
                name = f"alpha {trained.params['alpha']:.2f} seed {trained.seed}"
                alpha_tags = {KIND: "alpha", **run_tags}
                work.runs.log(name, trained.params, alpha_tags, run.info.run_id, log)
                results.append(result)
            table = sweep_table(results)
            best = choose_alpha(table[VALIDATION_COLUMNS])
            _log_sweep(table, best, results, store)
        return [*_lines(table, best, store), "", *("compare  " + line for line in ui_lines(job.experiment_id))]


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
