"""The runs of a variant: its own, those of its seeds below it, and those of the folds of a seed."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial

import mlflow
import pandas as pd

from avfusion.features import FeatureStore
from avfusion.tracking.artifacts import log_features, log_table
from avfusion.tracking.continued import JobRuns
from avfusion.tracking.descriptions import describe_result, describe_seeds
from avfusion.tracking.lookup import KIND, SEEDS
from avfusion.tracking.notes import write_note
from avfusion.tracking.records import final_metrics, folds_param, history, log_result, log_scored_model, log_scores
from avfusion.tracking.runs import log_batch, set_tags, tie_metrics
from avfusion.training.cross_validation import SPREAD, CrossValidation, Scored
from avfusion.training.experiment import Result
from avfusion.training.many import Training
from avfusion.training.selection import best_seed


def log_variant(
    runs: JobRuns,
    name: str,
    trainings: Sequence[Training],
    results: Iterable[Scored],
    store: FeatureStore,
    tags: Mapping[str, str],
    own_tags: Mapping[str, str],
) -> tuple[str, list[Scored]]:
    """Log one variant as the run `name`; returns the run's id and the `results`, one for each of `trainings`.

    `trainings` have the same hyperparameters and differ by their seeds. One alone is logged into the variant's own run;
    several into runs below it, and into the variant's their means and the model of the best. Folds are runs below that
    of their seed, and leave no model: none of theirs is the variant's. `tags` go to all of these runs, `own_tags` to
    the variant's. A run that an earlier, broken-off run of this job logged whole stays as it is.
    `results` may be trained while they are asked for: the run lasts as long as that takes.
    """
    params = trainings[0].params
    if logged := runs.find(name, params):
        return logged, list(results)
    done, run_ids = list[Scored](), list[str]()
    seeds = {SEEDS: ",".join(str(training.seed) for training in trainings)}
    with runs.open(name, params, {**tags, **own_tags, **seeds}) as run:
        for result in results:
            log = partial(_log_with_folds, runs, name, result, store, tags, with_model=len(trainings) == 1)
            if len(trainings) == 1:
                log()
            else:
                seed_tags = {**tags, KIND: "seed"}
                run_ids.append(runs.log(f"{name} seed {result.seed}", params, seed_tags, run.info.run_id, log))
            done.append(result)
        if len(trainings) > 1:
            _log_seeds(done, store)
            _log_best_model(done, run_ids, store)
            write_note(describe_seeds(done, store), store)
    return str(run.info.run_id), done


def _log_with_folds(
    runs: JobRuns, name: str, result: Scored, store: FeatureStore, tags: Mapping[str, str], *, with_model: bool
) -> None:
    """`result` into the active run, and its folds below that."""
    log_result(result, store, with_model=with_model)
    log_folds(runs, name, result, store, tags)
    write_note(describe_result(result, store), store)  # last, for its links to the folds


def log_folds(runs: JobRuns, name: str, result: Scored, store: FeatureStore, tags: Mapping[str, str]) -> None:
    """The numbers of each fold of `result`, if it has any, into a run of its own below the active one."""
    parent = mlflow.active_run()
    assert parent is not None, "log_folds needs an active run"
    for number, fold in enumerate(result.folds, 1) if isinstance(result, CrossValidation) else ():
        log = partial(log_scores, fold, store, {"fold": number})
        title_ = f"{name} seed {result.seed} fold {number}"
        runs.log(title_, result.params, {**tags, KIND: "fold"}, parent.info.run_id, log)


def _log_seeds(results: list[Scored], store: FeatureStore) -> None:
    """Several seeds of one variant into their common run: means, standard deviations and a table."""
    first = results[0]
    log_features(store, first.trained.splits if isinstance(first, Result) else None)
    params = {"variant": first.variant.id, **folds_param(first), **first.params}
    log_over_seeds(params, pd.DataFrame([result.metrics for result in results]), [result.seed for result in results])


def log_over_seeds(params: Mapping[str, object], metrics: pd.DataFrame, seeds: Sequence[int]) -> None:
    """The `metrics` of several seeds, a row each, into their common run: means, a table, and the spread of scores.

    The standard deviation of `test/accuracy` is `test/accuracy_std`; of what is no score (`seconds`) there is none.
    """
    means = {str(name): float(value) for name, value in metrics.mean().items()}
    scores = [str(name) for name in metrics if "/" in str(name) and not str(name).endswith(SPREAD)]
    several = len(metrics) > 1  # one has no spread
    spreads = {f"{name}_std": float(metrics[name].std()) for name in scores if several}
    log_batch({**params, "seeds": ",".join(map(str, seeds))}, {**means, **spreads})
    log_table(metrics.assign(seed=seeds), "seeds")


def _log_best_model(results: list[Scored], run_ids: list[str], store: FeatureStore) -> None:
    """Of several seeds of one variant, the model with the lowest validation loss and its curves, into their run.

    Its scores are in the run of its seed, one of `run_ids`: those of the common run are means.
    """
    if not (with_model := [result for result in results if isinstance(result, Result)]):
        return
    best = best_seed(with_model)
    scored = log_scored_model(best, store)
    run_id = next(run_id for run_id, result in zip(run_ids, results, strict=True) if result is best)
    tie_metrics(run_id, final_metrics(best), scored)
    set_tags({"model_seed": str(best.seed)})
    log_batch({}, {}, history(best.trained))
