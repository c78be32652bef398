"""The end of `tune`: the best configuration against the default, with the same seeds, scored once on test."""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import islice

import pandas as pd

from avfusion.features.provenance import tags
from avfusion.fusion import FusionNetwork
from avfusion.fusion.hyperparameters import Value
from avfusion.tracking.continued import JobRuns
from avfusion.tracking.lookup import KIND
from avfusion.tracking.records import log_scores
from avfusion.tracking.variant_runs import log_variant
from avfusion.training.cross_validation import Scored
from avfusion.training.many import Trainer, Training
from avfusion.training.selection import Candidate
from avfusion.tuning.plans import Target

TUNED, DEFAULT = "tuned", "default"
SCORES = ("val/accuracy", "val/log_loss", "test/accuracy", "test/log_loss", "test/macro_f1")


def retrain(
    trainer: Trainer,
    runs: JobRuns,
    variant: type[FusionNetwork],
    configurations: Mapping[str, dict[str, Value]],
    seeds: Sequence[int],
    *,
    study: str,
    study_run: str,
) -> tuple[pd.DataFrame, Candidate]:
    """Train the `configurations` `tuned` and `default` with each of `seeds`: a row for each, and the tuned variant.

    The tuned one becomes a run of the top level with all that `train` logs, and the model of the seed with the lowest
    validation loss; the default one is nested under the run of the study. If both are the same, it is trained once.
    """
    tuned, default = ([Training(variant, configurations[name], seed) for seed in seeds] for name in (TUNED, DEFAULT))
    results = trainer.results([*tuned, *(default if default != tuned else [])])
    of_tuned = list(trainer.with_companions(islice(results, len(seeds))))
    store = trainer.data.store
    common = {"variant": variant.id, TUNED: "true", "study": study, "study_run": study_run, **tags(store.provenance)}
    run_id, _ = log_variant(runs, f"{variant.id} tuned", tuned, of_tuned, store, common, {KIND: TUNED})
    of_default = list(results)
    for result in of_default:
        run_tags = {KIND: DEFAULT, "variant": variant.id, **tags(store.provenance)}
        name, log = f"{variant.id} default seed {result.seed}", partial(log_scores, result, store)
        runs.log(name, result.trained.params, run_tags, study_run, log)
    rows: list[tuple[str, Scored]] = [(TUNED, result) for result in of_tuned]
    rows += [(DEFAULT, result) for result in of_default or of_tuned]
    comparison = pd.DataFrame(
        [
            {
                "configuration": name,
                "seed": result.seed,
                **{score.replace("/", "_"): result.metrics[score] for score in SCORES},
            }
            for name, result in rows
        ]
    )
    loss = comparison["val_log_loss"][comparison["configuration"] == TUNED].mean()
    return comparison, Candidate(f"{variant.id} tuned", run_id, float(loss))


def comparison_lines(comparison: pd.DataFrame) -> list[str]:
    """The means over seeds of each configuration, as a table of text; of several seeds with standard deviations."""
    scores = comparison.drop(columns=["seed"]).groupby("configuration")
    mean, spread = scores.mean(), scores.std(ddof=1)
    alone = len(comparison) == len(mean)
    cells = {
        name: [f"{mean[name][row]:.4f}" + ("" if alone else f" ({spread[name][row]:.4f})") for row in mean.index]
        for name in mean.columns
    }
    return pd.DataFrame(cells, index=list(mean.index)).T.to_string().splitlines()


def remarks(comparison: pd.DataFrame, target: Target, *, has_defaults: bool) -> list[str]:
    """What a space without the defaults cannot promise, and that the defaults are better on validation if they are."""
    means = comparison.groupby("configuration")[target.final.replace("/", "_")].mean()
    gain = float(means[TUNED] - means[DEFAULT])
    lines = [] if has_defaults else ["the defaults lie outside the space: no trial had them"]
    if gain > 0 if target.direction == "minimize" else gain < 0:
        lines.append("on validation, over these seeds, the defaults are better than what was tuned")
    return lines
