"""The end of `tune`: the best configuration against the default, with the same seeds, scored once on test."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

import pandas as pd
import torch

from avfusion.experiment import Result
from avfusion.features import FeatureStore
from avfusion.fusion import FusionNetwork
from avfusion.hyperparameters import Value
from avfusion.parallel import Training, train_many
from avfusion.provenance import tags
from avfusion.tracking.models import log_model
from avfusion.tracking.records import log_result, log_scores, log_seeds
from avfusion.tracking.runs import experiment_run, set_tags

TUNED, DEFAULT = "tuned", "default"
SCORES = ("val/accuracy", "val/log_loss", "test/accuracy", "test/log_loss", "test/macro_f1")


def retrain(
    store: FeatureStore,
    variant: type[FusionNetwork],
    configurations: Mapping[str, dict[str, Value]],
    seeds: Sequence[int],
    device: torch.device,
    workers: int,
    *,
    study: str,
    study_run: str,
) -> pd.DataFrame:
    """Train the `configurations` `tuned` and `default` with each of `seeds`; one row per configuration and seed.

    The tuned one becomes a run of the top level with all that `train` logs, and the model of the seed with the lowest
    validation loss; the default one is nested under the run of the study. If both are the same, it is trained once.
    """
    tuned, default = configurations[TUNED], configurations[DEFAULT]
    trainings = [Training(variant, tuned, seed) for seed in seeds]
    if default != tuned:
        trainings += [Training(variant, default, seed) for seed in seeds]
    results = train_many(store.path, trainings, device, workers)
    of_tuned = _log_tuned(results, store, variant, len(seeds), study, study_run)
    of_default = []
    for result in results:
        run_tags = {"avfusion.kind": "default", "variant": variant.id, **tags(store.provenance)}
        with experiment_run(f"{variant.id} default seed {result.trained.seed}", run_tags, parent=study_run):
            log_scores(result, store)
        of_default.append(result)
    rows = [(TUNED, result) for result in of_tuned] + [(DEFAULT, result) for result in of_default or of_tuned]
    return pd.DataFrame(
        [
            {
                "configuration": name,
                "seed": result.trained.seed,
                **{score.replace("/", "_"): result.metrics[score] for score in SCORES},
            }
            for name, result in rows
        ]
    )


def _log_tuned(
    results: Iterator[Result],
    store: FeatureStore,
    variant: type[FusionNetwork],
    n_seeds: int,
    study: str,
    study_run: str,
) -> list[Result]:
    """The first `n_seeds` of `results`, logged as the tuned variant."""
    common = {"variant": variant.id, TUNED: "true", "study": study, "study_run": study_run, **tags(store.provenance)}
    of_tuned = []
    with experiment_run(f"{variant.id} tuned", {"avfusion.kind": "variant", **common}) as run:
        for result in islice(results, n_seeds):
            of_tuned.append(result)
            if n_seeds == 1:
                log_result(result, store, with_model=True)
                return of_tuned
            seed_tags = {"avfusion.kind": "seed", **common}
            with experiment_run(f"{variant.id} tuned seed {result.trained.seed}", seed_tags, parent=run.info.run_id):
                log_result(result, store, with_model=False)
        log_seeds(of_tuned, store)
        best = min(of_tuned, key=lambda result: result.metrics["val/log_loss"])
        log_model(best.trained.classifier)
        set_tags({"model_seed": str(best.trained.seed)})
    return of_tuned
