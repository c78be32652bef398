"""The job `sweep`: late fusion trained jointly for each alpha, as the study does."""

from functools import partial
from pathlib import Path

import pandas as pd

from avfusion.errors import UserError
from avfusion.features import FeatureStore
from avfusion.features.provenance import note, tags, title
from avfusion.figures import alpha_curve
from avfusion.fusion import variants
from avfusion.jobs.features import open_features
from avfusion.jobs.summary import trained_with
from avfusion.jobs.text_tables import text_table
from avfusion.system.device import choose_device
from avfusion.system.progress import show_progress
from avfusion.tracking.artifacts import log_figure, log_table
from avfusion.tracking.continued import JobRuns
from avfusion.tracking.descriptions import describe_result
from avfusion.tracking.lookup import KIND, VALIDATION_RIGHT
from avfusion.tracking.notes import write_note
from avfusion.tracking.records import log_result, log_scores
from avfusion.tracking.runs import log_batch, set_tags
from avfusion.tracking.session import connect
from avfusion.tracking.variant_runs import log_folds
from avfusion.tracking.views import SWEEP, view_lines
from avfusion.tracking.work import training_job
from avfusion.training.alpha_sweep import (
    STUDY_ALPHAS,
    VALIDATION_COLUMNS,
    choose_alpha,
    chosen_by_validation,
    sweep_table,
    validation_table,
)
from avfusion.training.cross_validation import CrossValidation, Scored, parts
from avfusion.training.experiment import Result, resolve_params
from avfusion.training.many import Trainer, Training, check_trainable, splits_of
from avfusion.training.precision import check_precision
from avfusion.training.split_features import SplitFeatures

VARIANT = "late"


def sweep_job(
    *,
    features: Path,
    alphas: tuple[float, ...] | None,
    seeds: tuple[int, ...],
    folds: int | None,
    params: dict[str, str],
    workers: int,
    device: str,
) -> list[str]:
    """Train late fusion once for every alpha and every seed, then choose the best alpha by validation accuracy.

    Args:
        features: a feature store, or a folder of HDF5 features.
        alphas: weights of the video in [0, 1], ascending; None for the study's 17.
        seeds: of the trainings, and of the folds; scores are means over them.
        folds: of cross-validation by location, which tests every clip; None trains on the dataset's split.
        params: hyperparameters of late fusion but alpha, as text; the study's where not named.
        workers: processes that train, each with one thread.
        device: `auto`, `cpu` or `cuda`.

    Returns the lines to show. Raises `UserError` for anything that cannot be used, before any training.
    """
    late = variants()[VARIANT]
    if "alpha" in params:
        raise UserError("params: alpha is what the sweep varies; give its values as alphas=0.1,0.5")
    trainings = [
        Training(late, resolve_params([late], {**params, "alpha": str(alpha)})[0], seed)
        for alpha in alphas or STUDY_ALPHAS
        for seed in seeds
    ]
    target = choose_device(device)
    check_precision([(training.variant, training.params) for training in trainings], target)
    store = open_features(features)
    data = SplitFeatures(store)
    check_trainable(data, [late], splits_of(data, folds, seeds))
    connect()
    run_tags = {"variant": VARIANT, **tags(store.provenance)}
    asked = {"params": [training.params for training in trainings], "seeds": [training.seed for training in trainings]}
    asked["folds"] = folds
    with training_job("sweep") as job:
        work = job.begin(asked, store, target)
        with work.runs.open(f"{VARIANT} alpha sweep", {}, {KIND: "sweep", **run_tags}) as run:
            results = []
            trainer = Trainer(data, target, work.results, workers, folds)
            with show_progress("alpha sweep", len(trainings), "training") as bar:
                for result in trainer.scored(trainings):
                    name = f"alpha {result.params['alpha']:.2f}"
                    log = partial(_log_alpha, work.runs, name, result, store, run_tags)
                    alpha_tags = {KIND: "alpha", **run_tags}
                    work.runs.log(f"{name} seed {result.seed}", result.params, alpha_tags, run.info.run_id, log)
                    results.append(result)
                    bar.update()
            table = sweep_table(results)
            best = choose_alpha(table[VALIDATION_COLUMNS])
            answers = chosen_by_validation(results, best, data)
            _log_sweep(table, best, results, answers, store)
        return [*_lines(table, best, answers, store), "", *view_lines(job.experiment_id, SWEEP)]


def _log_alpha(runs: JobRuns, name: str, result: Scored, store: FeatureStore, run_tags: dict[str, str]) -> None:
    """One alpha's numbers into the active run, and those of its folds below that."""
    log_scores(result, store)
    log_folds(runs, name, result, store, run_tags)


def _log_sweep(
    table: pd.DataFrame, best: float, results: list[Scored], answers: list[Scored], store: FeatureStore
) -> None:
    """The sweep's table and curve, and all that is known of what was chosen, into the active run."""
    log_result(answers[0], store, with_model=False)
    scores = pd.DataFrame([result.metrics for result in answers]).mean()
    columns = {f"{split}/{name}" for split in ("val", "test") for name in ("accuracy", "log_loss")}
    named = {f"best/{name.replace('/', '_')}": float(scores[name]) for name in sorted(columns)}
    log_batch({}, {"best/alpha": best, **named})
    log_table(table, "sweep")
    if of_one_split := [result for result in results if isinstance(result, Result)]:
        log_table(validation_table(of_one_split), VALIDATION_RIGHT)
    set_tags({"best_alpha": f"{best:g}"})
    log_figure(
        alpha_curve(table, "late fusion, accuracy by alpha", best_alpha=best, note=note(store.provenance)), "alpha"
    )
    write_note(describe_result(answers[0], store), store)


def _lines(table: pd.DataFrame, best: float, answers: list[Scored], store: FeatureStore) -> list[str]:
    means = table.drop(columns=["seed"]).groupby("alpha", as_index=False).mean()
    lines = [
        "",
        f"{title(store.provenance)}; {trained_with(table['seed'].unique().tolist())}",
        "",
        *text_table(means),
        "",
        f"best alpha by validation accuracy: {best:g} (alpha weighs the video)",
    ]
    if isinstance(answers[0], CrossValidation):
        accuracy = sum(result.metrics["test/accuracy"] for result in answers) / len(answers)
        chosen = sorted({float(fold.params["alpha"]) for result in answers for fold in parts(result)})
        lines.append(
            f"chosen in each fold by its own validation: {', '.join(f'{alpha:g}' for alpha in chosen)}; "
            f"test accuracy {accuracy:.3f}"
        )
    return lines
