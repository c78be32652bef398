"""What runs are and came to, in Markdown for their notes."""

from collections.abc import Mapping, Sequence

import pandas as pd

from avfusion.features import FeatureStore
from avfusion.features.provenance import title
from avfusion.scoring.metrics import evaluate
from avfusion.system.markdown import markdown, markdown_table
from avfusion.training.cross_validation import SPREAD, CrossValidation, Scored, parts
from avfusion.training.experiment import Result
from avfusion.training.selection import best_seed
from avfusion.training.split_features import TEST, VALIDATION

SCORES = {"accuracy": "accuracy", "log_loss": "log loss", "macro_f1": "macro-F1"}
"""What notes show of scores, and their names for people."""


def describe_result(result: Scored, store: FeatureStore) -> str:
    """What a run is and came to, as Markdown for its page."""
    variant, scores = result.variant, evaluate(result.test)
    several = isinstance(result, CrossValidation)
    out_of_fold = f", each clip tested in one of {len(parts(result))} folds" if several else ""
    lines = [
        f"**{variant.title}**: test accuracy {scores['accuracy']:.3f}, log loss {scores['log_loss']:.3f} "
        f"on {markdown(title(store.provenance))}, seed {result.seed}{out_of_fold}. Definition: {variant.source}.",
        "",
    ]
    validation = result.trained.validation if isinstance(result, Result) else None
    splits = (("test", result.test), ("validation", validation), ("test, 1 s", result.test_seconds))
    rows = {f"{name} ({len(split)})": evaluate(split) for name, split in splits if split is not None}
    lines.append(scores_table({name: [f"{found[score]:.3f}" for score in SCORES] for name, found in rows.items()}))
    if isinstance(result, CrossValidation):
        number = result.metrics[f"test/accuracy{SPREAD}"]
        return "\n".join([*lines, "", f"The accuracies of the folds have a standard deviation of {number:.3f}."])
    trained = result.trained
    chosen = f"Epoch {trained.best.epoch} of {len(list(trained.stages.values())[-1])}, chosen on validation."
    recut = (
        f" {trained.recut_clips} clips were cut or continued to the commonest length." if trained.recut_clips else ""
    )
    return "\n".join([*lines, "", chosen + recut])


def describe_seeds(results: list[Scored], store: FeatureStore) -> str:
    """What the run of several seeds is and came to, as Markdown for its page."""
    metrics = pd.DataFrame([result.metrics for result in results])
    mean, spread = metrics.mean(), metrics.std(ddof=1)
    seeds = ", ".join(str(result.seed) for result in results)
    variant = results[0].variant
    lines = [
        f"**{variant.title}**: means over seeds {seeds} (standard deviation) on {markdown(title(store.provenance))}. "
        f"Definition: {variant.source}.",
        "",
        scores_table(
            {
                name: [f"{mean[f'{split}/{score}']:.3f} ({spread[f'{split}/{score}']:.3f})" for score in SCORES]
                for name, split in (("test", TEST), ("validation", VALIDATION))
            }
        ),
    ]
    if with_model := [result for result in results if isinstance(result, Result)]:
        best = best_seed(with_model).seed
        lines += ["", f"The model and the curves are those of seed {best}, the best on validation."]
    return "\n".join(lines)


def describe_store(store: FeatureStore) -> str:
    """What a feature store is made of, as Markdown."""
    clips, source = store.clips, store.provenance["dataset"]
    counts = clips.groupby("label").agg(clips=("id", "size"), locations=("location", "nunique"))
    lines = [
        f"**{markdown(title(store.provenance))}**: {len(clips)} clips at {clips['location'].nunique()} locations, "
        f"{len(store.failures)} more could not be used.",
        "",
        markdown_table(["class", "clips", "locations"], (list(map(str, row)) for row in counts.itertuples())),
        "",
        f"Digest of the features {store.digest}, of the clip list {source.get('digest', 'unknown')}; "
        f"kept in {markdown(str(store.path.resolve()))}.",
    ]
    return "\n".join(lines)


def scores_table(rows: Mapping[str, Sequence[str]]) -> str:
    """The scores `SCORES` of some clips in each row, by the name of the clips, as Markdown."""
    return markdown_table(["clips", *SCORES.values()], ([name, *cells] for name, cells in rows.items()))
