"""The end of `tune`: the best configuration against the default, with the same seeds, scored once on test."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

import pandas as pd
import torch

from avfusion.classifier import SceneClassifier
from avfusion.experiment import Result
from avfusion.features import FeatureStore
from avfusion.fusion import FusionNetwork
from avfusion.hyperparameters import Value
from avfusion.parallel import Training, train_many
from avfusion.provenance import tags
from avfusion.tracking.champion import Candidate
from avfusion.tracking.models import log_model
from avfusion.tracking.records import log_result, log_scores, log_seeds
from avfusion.tracking.runs import experiment_run, set_tags

TUNED, DEFAULT = "tuned", "default"
Companions = dict[int, dict[str, SceneClassifier]]
"""Seed -> tuned unimodal classifiers by the id of their variant."""
SCORES = ("val/accuracy", "val/log_loss", "test/accuracy", "test/log_loss", "test/macro_f1")


def retrain(
    store: FeatureStore,
    variant: type[FusionNetwork],
    configurations: Mapping[str, dict[str, Value]],
    seeds: Sequence[int],
    device: torch.device,
    workers: int,
    companions: Companions,
    *,
    study: str,
    study_run: str,
) -> tuple[pd.DataFrame, Candidate]:
    """Train the `configurations` `tuned` and `default` with each of `seeds`: a row for each, and the tuned variant.

    The tuned one becomes a run of the top level with all that `train` logs, and the model of the seed with the lowest
    validation loss; the default one is nested under the run of the study. If both are the same, it is trained once.
    A fusion's model gets the `companions` of its seed; a unimodal variant becomes one.
    """
    tuned, default = configurations[TUNED], configurations[DEFAULT]
    trainings = [Training(variant, tuned, seed) for seed in seeds]
    if default != tuned:
        trainings += [Training(variant, default, seed) for seed in seeds]
    results = train_many(store.path, trainings, device, workers)
    found = _with_companions(islice(results, len(seeds)), companions)
    run_id, of_tuned = _log_tuned(found, store, variant, len(seeds), study, study_run)
    of_default = []
    for result in results:
        run_tags = {"avfusion.kind": "default", "variant": variant.id, **tags(store.provenance)}
        with experiment_run(f"{variant.id} default seed {result.trained.seed}", run_tags, parent=study_run):
            log_scores(result, store)
        of_default.append(result)
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
        trained = result.trained
        of_seed = companions.setdefault(trained.seed, {})
        if len(trained.variant.modalities) > 1:
            trained.classifier.companions |= of_seed
        else:
            of_seed[trained.variant.id] = trained.classifier
        yield result


def _log_tuned(
    results: Iterator[Result],
    store: FeatureStore,
    variant: type[FusionNetwork],
    n_seeds: int,
    study: str,
    study_run: str,
) -> tuple[str, list[Result]]:
    """The `n_seeds` `results`, logged as the tuned variant; the id of its run, and they."""
    common = {"variant": variant.id, TUNED: "true", "study": study, "study_run": study_run, **tags(store.provenance)}
    of_tuned = []
    with experiment_run(f"{variant.id} tuned", {"avfusion.kind": TUNED, **common}) as run:
        for result in results:
            of_tuned.append(result)
            if n_seeds == 1:
                log_result(result, store, with_model=True)
                return run.info.run_id, of_tuned
            seed_tags = {"avfusion.kind": "seed", **common}
            with experiment_run(f"{variant.id} tuned seed {result.trained.seed}", seed_tags, parent=run.info.run_id):
                log_result(result, store, with_model=False)
        log_seeds(of_tuned, store)
        best = min(of_tuned, key=lambda result: result.metrics["val/log_loss"])
        log_model(best.trained.classifier)
        set_tags({"model_seed": str(best.trained.seed)})
    return run.info.run_id, of_tuned


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
