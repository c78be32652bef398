"""What one trained variant leaves in MLflow: configuration, curves, scores, tables, figures, predictions, model."""

import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import MappingProxyType

import mlflow
import pandas as pd

from avfusion.features import MODALITIES, FeatureStore
from avfusion.features.provenance import embedder_in_words, note
from avfusion.figures import confusion_heatmap, loss_curves
from avfusion.scoring.diagnostics import by_class
from avfusion.scoring.metrics import confusion, per_class
from avfusion.scoring.predictions import Predictions
from avfusion.scoring.tsv import DcaseNames, write_course_tsv, write_dcase_tsv
from avfusion.system.names import metric_name
from avfusion.tracking.artifacts import log_features, log_table, save_figure, split_input
from avfusion.tracking.continued import JobRuns
from avfusion.tracking.descriptions import describe_result, describe_seeds
from avfusion.tracking.diagnostics import log_diagnostics
from avfusion.tracking.failures import storing
from avfusion.tracking.lookup import FOLDS, KIND, SEEDS
from avfusion.tracking.models import log_model
from avfusion.tracking.notes import write_note
from avfusion.tracking.runs import ScoredModel, log_batch, set_tags, tie_metrics
from avfusion.training.classifier import Classifier
from avfusion.training.cross_validation import SPREAD, CrossValidation, Scored, parts
from avfusion.training.experiment import Result, Trained, best_epoch
from avfusion.training.many import Training
from avfusion.training.selection import best_seed
from avfusion.training.split_features import TEST

DCASE_NAMES_OF: dict[tuple[str, ...], DcaseNames] = {
    ("audio",): "filename_audio",
    ("video",): "filename_video",
    ("audio", "video"): "filename_audio_video",
}
"""Modalities of a variant -> the column that names files in its 1-s predictions."""
EXAMPLE_FRAMES = 10
"""Of a model's example, where the model takes any number: a whole clip would be a megabyte of text."""


def log_result(result: Scored, store: FeatureStore, *, with_model: bool) -> None:
    """Everything of `result` into the active run; its model too if `with_model`, unless it is of several folds."""
    log_features(store, result.trained.splits if isinstance(result, Result) else None)
    scored = _log_model(result, store) if with_model and isinstance(result, Result) else None
    log_scores(result, store, scored=scored)
    log_table(per_class(result.test).round(4).reset_index(), "per_class")
    if result.diagnostics:
        log_diagnostics(result, store)
    _log_files(result, store)
    write_note(describe_result(result, store), store)


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
            log_seeds(done, store)
            _log_best_model(done, run_ids, store)
            write_note(describe_seeds(done, store), store)
    return str(run.info.run_id), done


def _log_with_folds(
    runs: JobRuns, name: str, result: Scored, store: FeatureStore, tags: Mapping[str, str], *, with_model: bool
) -> None:
    """`result` into the active run, and its folds below that."""
    log_result(result, store, with_model=with_model)
    log_folds(runs, name, result, store, tags)
    if isinstance(result, CrossValidation):
        write_note(describe_result(result, store), store)  # again, for its links to the folds


def log_folds(runs: JobRuns, name: str, result: Scored, store: FeatureStore, tags: Mapping[str, str]) -> None:
    """The numbers of each fold of `result`, if it has any, into a run of its own below the active one."""
    parent = mlflow.active_run()
    assert parent is not None, "log_folds needs an active run"
    for number, fold in enumerate(result.folds, 1) if isinstance(result, CrossValidation) else ():
        log = partial(log_scores, fold, store, {"fold": number})
        title_ = f"{name} seed {result.seed} fold {number}"
        runs.log(title_, result.params, {**tags, KIND: "fold"}, parent.info.run_id, log)


def log_scores(
    result: Scored,
    store: FeatureStore,
    more: Mapping[str, object] = MappingProxyType({}),
    *,
    scored: ScoredModel | None = None,
) -> None:
    """The numbers of `result` into the active run: parameters and `more`, curves, final metrics, metrics per class.

    The final metrics are tied to the model and the datasets of `scored`.
    """
    log_batch(
        {
            "variant": result.variant.id,
            "seed": result.seed,
            **folds_param(result),
            **result.params,
            "embedder": embedder_in_words(store.provenance),
            **more,
        },
        _final_metrics(result),
        _history(result.trained) if isinstance(result, Result) else {},
        scored=scored,
    )


def _history(trained: Trained) -> dict[str, list[float]]:
    """Every curve of a training, by its name: the values of its epochs."""
    curves: dict[str, list[float]] = {}
    for epoch in trained.history:
        for name, value in epoch.points.items():
            curves.setdefault(name, []).append(value)
    return curves


def _final_metrics(result: Scored) -> dict[str, float]:
    trained, of_classes = [part.trained for part in parts(result)], class_metrics(result.test)
    for row in by_class(result.diagnostics, result.test).to_dict("records"):
        of_classes[f"test/{row['diagnostic']}/{metric_name(row['class'])}"] = row["mean"]
    return {
        **result.metrics,
        **of_classes,
        "parameters": sum(p.numel() for p in trained[0].classifier.network.parameters()),
        "recut_clips": sum(one.recut_clips for one in trained),
    }


def class_metrics(test: Predictions) -> dict[str, float]:
    """The metrics of each class, as `test/recall/bus`."""
    table = per_class(test)
    return {
        f"test/{column}/{metric_name(str(scene))}": float(value)
        for column in ("precision", "recall", "f1")
        for scene, value in table[column].items()
    }


def log_seeds(results: list[Scored], store: FeatureStore) -> None:
    """Several seeds of one variant into their common run: means, standard deviations and a table."""
    first, metrics = results[0], pd.DataFrame([result.metrics for result in results])
    seeds = [result.seed for result in results]
    means = {str(name): float(value) for name, value in metrics.mean().items()}
    several = len(results) > 1  # one has no spread
    scores = [str(name) for name in metrics if "/" in str(name) and not str(name).endswith(SPREAD)]
    spreads = {f"{name}_std": float(metrics[name].std()) for name in scores if several}
    log_batch(
        {"variant": first.variant.id, "seeds": ",".join(map(str, seeds)), **folds_param(first), **first.params},
        {**means, **spreads},
    )
    log_features(store, first.trained.splits if isinstance(first, Result) else None)
    log_table(metrics.assign(seed=seeds), "seeds")


def _log_best_model(results: list[Scored], run_ids: list[str], store: FeatureStore) -> None:
    """Of several seeds of one variant, the model with the lowest validation loss and its curves, into their run.

    Its scores are in the run of its seed, one of `run_ids`: those of the common run are means.
    """
    if not (with_model := [result for result in results if isinstance(result, Result)]):
        return
    best = best_seed(with_model)
    scored = _log_model(best, store)
    run_id = next(run_id for run_id, result in zip(run_ids, results, strict=True) if result is best)
    tie_metrics(run_id, _final_metrics(best), scored)
    set_tags({"model_seed": str(best.seed)})
    log_batch({}, {}, _history(best.trained))


def _log_model(result: Result, store: FeatureStore) -> ScoredModel:
    """The model of `result`, with a validation clip as its example; what its metrics are tied to."""
    example = example_request(result.trained.classifier, store, result.trained.validation.ids[0])
    model_id = log_model(result.trained.classifier, example).rpartition("/")[2]
    digests = {split: (split_input(store, split), summary.digest) for split, summary in result.trained.splits.items()}
    return ScoredModel(model_id, {**digests, "test_1s": digests[TEST]})


def example_request(classifier: Classifier, store: FeatureStore, clip: str) -> pd.DataFrame:
    """A request of one row that `classifier` answers: the clip of that id, or its beginning where that is enough."""
    row = store.clips["id"].tolist().index(clip)
    frames = {m: store.frames(m, row) for m in MODALITIES if m in classifier.modalities}
    if classifier.any_length and len({len(found) for found in frames.values()}) == 1:
        frames = {modality: found[:EXAMPLE_FRAMES] for modality, found in frames.items()}
    return pd.DataFrame([{modality: found.astype(float).round(4).tolist() for modality, found in frames.items()}])


def folds_param(result: Scored) -> dict[str, int]:
    """How many folds it was trained in, by the name of that parameter; nothing for the dataset's own split."""
    return {FOLDS: len(result.folds)} if isinstance(result, CrossValidation) else {}


@storing()
def _log_files(result: Scored, store: FeatureStore) -> None:
    variant = result.variant
    title = f"{variant.title}, test clips"
    configuration = {
        "variant": variant.id,
        "source": variant.source,
        "seed": result.seed,
        **folds_param(result),
        "params": result.params,
        "features": {"path": str(store.path), "digest": store.digest, "provenance": store.provenance},
    }
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "config.json").write_text(json.dumps(configuration, indent=2), encoding="utf-8")
        (folder / "predictions").mkdir()
        write_course_tsv(folder / "predictions" / "test.tsv", result.test)
        if result.test_seconds is not None:
            names = DCASE_NAMES_OF[variant.modalities]
            write_dcase_tsv(folder / "predictions" / "test_1s.tsv", result.test_seconds, names)
        heatmap = confusion_heatmap(confusion(result.test), result.test.classes, title, note=note(store.provenance))
        save_figure(heatmap, folder / "figures" / "confusion.png")
        if isinstance(result, Result):
            _write_training(result.trained, note(store.provenance), folder)
        mlflow.log_artifacts(str(folder))


def _write_training(trained: Trained, remark: str | None, folder: Path) -> None:
    """Validation answers and loss curves."""
    write_course_tsv(folder / "predictions" / "val.tsv", trained.validation)
    for stage, epochs in trained.stages.items():
        records = pd.DataFrame([asdict(epoch) for epoch in epochs])
        name = f"{trained.variant.title}, loss by epoch" + (f", stage {stage}" if stage else "")
        curves = loss_curves(records, best_epoch(epochs).epoch, name, note=remark)
        save_figure(curves, folder / "figures" / (f"loss_{stage}.png" if stage else "loss.png"))
