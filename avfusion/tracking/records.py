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

from avfusion.features import FeatureStore
from avfusion.features.provenance import embedder_in_words, note, title
from avfusion.figures import confusion_heatmap, loss_curves
from avfusion.scoring.diagnostics import by_class
from avfusion.scoring.metrics import confusion, evaluate, per_class
from avfusion.scoring.tsv import DcaseNames, write_course_tsv, write_dcase_tsv
from avfusion.system.names import metric_name
from avfusion.tracking.artifacts import log_features, log_table, save_figure
from avfusion.tracking.continued import JobRuns
from avfusion.tracking.diagnostics import log_diagnostics
from avfusion.tracking.failures import storing
from avfusion.tracking.lookup import FOLDS, KIND
from avfusion.tracking.models import log_model
from avfusion.tracking.runs import log_batch, set_tags
from avfusion.training.cross_validation import SPREAD, CrossValidation, Scored, parts
from avfusion.training.experiment import Result, Trained, best_epoch
from avfusion.training.many import Training
from avfusion.training.selection import best_seed

DCASE_NAMES_OF: dict[tuple[str, ...], DcaseNames] = {
    ("audio",): "filename_audio",
    ("video",): "filename_video",
    ("audio", "video"): "filename_audio_video",
}
"""Modalities of a variant -> the column that names files in its 1-s predictions."""


def log_result(result: Scored, store: FeatureStore, *, with_model: bool) -> None:
    """Everything of `result` into the active run; its model too if `with_model`, unless it is of several folds."""
    log_scores(result, store)
    log_features(store)
    set_tags({"mlflow.note.content": description(result, store)})
    log_table(per_class(result.test).round(4).reset_index(), "per_class")
    if result.diagnostics:
        log_diagnostics(result, store)
    _log_files(result, store)
    if with_model and isinstance(result, Result):
        log_model(result.trained.classifier)


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
    done: list[Scored] = []
    with runs.open(name, params, {**tags, **own_tags}) as run:
        for result in results:
            log = partial(_log_with_folds, runs, name, result, store, tags, with_model=len(trainings) == 1)
            if len(trainings) == 1:
                log()
            else:
                runs.log(f"{name} seed {result.seed}", params, {**tags, KIND: "seed"}, run.info.run_id, log)
            done.append(result)
        if len(trainings) > 1:
            log_seeds(done, store)
            log_best_model(done)
    return str(run.info.run_id), done


def _log_with_folds(
    runs: JobRuns, name: str, result: Scored, store: FeatureStore, tags: Mapping[str, str], *, with_model: bool
) -> None:
    """`result` into the active run, and its folds below that."""
    log_result(result, store, with_model=with_model)
    log_folds(runs, name, result, store, tags)


def log_folds(runs: JobRuns, name: str, result: Scored, store: FeatureStore, tags: Mapping[str, str]) -> None:
    """The numbers of each fold of `result`, if it has any, into a run of its own below the active one."""
    parent = mlflow.active_run()
    assert parent is not None, "log_folds needs an active run"
    for number, fold in enumerate(result.folds, 1) if isinstance(result, CrossValidation) else ():
        log = partial(log_scores, fold, store, {"fold": number})
        title_ = f"{name} seed {result.seed} fold {number}"
        runs.log(title_, result.params, {**tags, KIND: "fold"}, parent.info.run_id, log)


def log_scores(result: Scored, store: FeatureStore, more: Mapping[str, object] = MappingProxyType({})) -> None:
    """The numbers of `result` into the active run: parameters and `more`, curves, final metrics, metrics per class."""
    trained, table = [part.trained for part in parts(result)], per_class(result.test)
    history: dict[str, list[float]] = {}
    for epoch in trained[0].history if len(trained) == 1 else ():
        for name, value in epoch.points.items():
            history.setdefault(name, []).append(value)
    class_metrics = {
        f"test/{column}/{metric_name(str(scene))}": float(value)
        for column in ("precision", "recall", "f1")
        for scene, value in table[column].items()
    }
    for row in by_class(result.diagnostics, result.test).to_dict("records"):
        class_metrics[f"test/{row['diagnostic']}/{metric_name(row['class'])}"] = row["mean"]
    parameters = sum(p.numel() for p in trained[0].classifier.network.parameters())
    log_batch(
        {
            "variant": result.variant.id,
            "seed": result.seed,
            **folds_param(result),
            **result.params,
            "embedder": embedder_in_words(store.provenance),
            **more,
        },
        {
            **result.metrics,
            **class_metrics,
            "parameters": parameters,
            "recut_clips": sum(one.recut_clips for one in trained),
        },
        history,
    )


def description(result: Scored, store: FeatureStore) -> str:
    """What a run is and came to, as Markdown for its page."""
    variant, scores, folds = result.variant, evaluate(result.test), folds_param(result)
    out_of_fold = f", each clip tested in one of {folds[FOLDS]} folds" if folds else ""
    lines = [
        f"**{variant.title}**: test accuracy {scores['accuracy']:.3f}, log loss {scores['log_loss']:.3f} "
        f"on {title(store.provenance)}, seed {result.seed}{out_of_fold}. Definition: {variant.source}.",
        "",
        "| clips | accuracy | log loss | macro-F1 |",
        "|---|---|---|---|",
    ]
    validation = result.trained.validation if isinstance(result, Result) else None
    for name, split in (("test", result.test), ("validation", validation), ("test, 1 s", result.test_seconds)):
        if split is not None:
            scores = evaluate(split)
            cells = (f"{scores[metric]:.3f}" for metric in ("accuracy", "log_loss", "macro_f1"))
            lines.append(f"| {name} ({len(split)}) | {' | '.join(cells)} |")
    if isinstance(result, CrossValidation):
        number = result.metrics[f"test/accuracy{SPREAD}"]
        return "\n".join([*lines, "", f"The accuracies of the folds have a standard deviation of {number:.3f}."])
    trained = result.trained
    chosen = f"Epoch {trained.best.epoch} of {len(list(trained.stages.values())[-1])}, chosen on validation."
    recut = (
        f" {trained.recut_clips} clips were cut or continued to the commonest length." if trained.recut_clips else ""
    )
    return "\n".join([*lines, "", chosen + recut])


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
    log_features(store)
    log_table(metrics.assign(seed=seeds), "seeds")


def log_best_model(results: list[Scored]) -> None:
    """Of several seeds of one variant, the model with the lowest validation loss, into their common run."""
    if not (with_model := [result for result in results if isinstance(result, Result)]):
        return
    best = best_seed(with_model)
    log_model(best.trained.classifier)
    set_tags({"model_seed": str(best.trained.seed)})


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
