"""The end of `tune`: the best configuration against the default, with the same seeds, scored once on test."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import islice

import pandas as pd
import torch

from avfusion.features import FeatureStore
from avfusion.features.provenance import tags
from avfusion.fusion import FusionNetwork
from avfusion.fusion.hyperparameters import Value
from avfusion.jobs.companions import Companions, accompany
from avfusion.tracking.records import log_best_model, log_result, log_scores, log_seeds
from avfusion.tracking.work import Work
from avfusion.training.experiment import Result
from avfusion.training.many import Training, train_many
from avfusion.training.selection import Candidate

TUNED, DEFAULT = "tuned", "default"
SCORES = ("val/accuracy", "val/log_loss", "test/accuracy", "test/log_loss", "test/macro_f1")


def retrain(
    store: FeatureStore,
    variant: type[FusionNetwork],
    configurations: Mapping[str, dict[str, Value]],
    seeds: Sequence[int],
    device: torch.device,
    workers: int,
    companions: Companions,
    work: Work,
    *,
    study: str,
    study_run: str,
) -> tuple[pd.DataFrame, Candidate]:
    """Train the `configurations` `tuned` and `default` with each of `seeds`: a row for each, and the tuned variant.

    The tuned one becomes a run of the top level with all that `train` logs, and the model of the seed with the lowest
    validation loss; the default one is nested under the run of the study. If both are the same, it is trained once.
    A fusion's model gets the `companions` of its seed; a unimodal variant becomes one. What `work` has already is not
    done again.
    """
    tuned, default = configurations[TUNED], configurations[DEFAULT]
    trainings = [Training(variant, tuned, seed) for seed in seeds]
    if default != tuned:
        trainings += [Training(variant, default, seed) for seed in seeds]
    results = train_many(store.path, trainings, device, workers, work.results)
    of_tuned = list(_with_companions(islice(results, len(seeds)), companions))
    run_id = _log_tuned(of_tuned, store, work, study, study_run)
    of_default = list(results)
    for result in of_default:
        run_tags = {"avfusion.kind": "default", "variant": variant.id, **tags(store.provenance)}
        name, log = f"{variant.id} default seed {result.trained.seed}", partial(log_scores, result, store)
        work.runs.log(name, default, run_tags, study_run, log)
    rows = [(TUNED, result) for result in of_tuned] + [(DEFAULT, result) for result in of_default or of_tuned]
    comparison = pd.DataFrame(
        [
            {
                "configuration": name,
                "seed": result.trained.seed,
                **{score.replace("/", "_"): result.metrics[score] for score in SCORES},
            }
            for name, result in rows
        ]
    )
    loss = comparison["val_log_loss"][comparison["configuration"] == TUNED].mean()
    return comparison, Candidate(f"{variant.id} tuned", run_id, float(loss))


def _with_companions(results: Iterator[Result], companions: Companions) -> Iterator[Result]:
    for result in results:
        accompany(result.trained, companions)
        yield result


def _log_tuned(results: list[Result], store: FeatureStore, work: Work, study: str, study_run: str) -> str:
    """Log the `results`, one per seed, as the tuned variant, unless they are; the id of its run."""
    variant, params = results[0].trained.variant, results[0].trained.params
    common = {"variant": variant.id, TUNED: "true", "study": study, "study_run": study_run, **tags(store.provenance)}
    if logged := work.runs.find(f"{variant.id} tuned", params):
        return logged
    with work.runs.open(f"{variant.id} tuned", params, {"avfusion.kind": TUNED, **common}) as run:
        if len(results) == 1:
            log_result(results[0], store, with_model=True)
            return str(run.info.run_id)
        for result in results:
            log = partial(log_result, result, store, with_model=False)
            name, seed_tags = f"{variant.id} tuned seed {result.trained.seed}", {"avfusion.kind": "seed", **common}
            work.runs.log(name, params, seed_tags, run.info.run_id, log)
        log_seeds(results, store)
        log_best_model(results)
    return str(run.info.run_id)


def comparison_lines(comparison: pd.DataFrame) -> list[str]:
    """The means over seeds of each configuration, as a table of text; of several seeds with standard deviations."""
    scores = comparison.drop(columns=["seed"]).groupby("configuration")
    mean, spread = scores.mean(), scores.std(ddof=1)
    alone = len(comparison) == len(mean)
    cells = {
        name: [f"{mean[name][row]:.4f}" + ("" if alone else f" ({spread[name][row]:.4f})") for row in mean.index]
        for name in mean.columns
    }
    return pd.DataFrame(cells, index=list(mean.index)).to_string().splitlines()
