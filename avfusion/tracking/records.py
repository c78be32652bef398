"""What one trained variant leaves in MLflow: configuration, curves, scores, tables, figures, predictions, model."""

import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import mlflow
import pandas as pd
from mlflow import MlflowClient

from avfusion.features import FeatureStore
from avfusion.features.provenance import embedder_in_words, note, title
from avfusion.figures import confusion_heatmap, diagnostics_by_class, loss_curves
from avfusion.scoring.diagnostics import by_class
from avfusion.scoring.metrics import confusion, evaluate, per_class
from avfusion.scoring.tsv import DcaseNames, write_course_tsv, write_dcase_tsv
from avfusion.system.names import metric_name
from avfusion.tracking.artifacts import log_features, log_figure, log_table, save_figure
from avfusion.tracking.continued import JobRuns
from avfusion.tracking.failures import storing
from avfusion.tracking.lookup import KIND
from avfusion.tracking.models import log_model
from avfusion.tracking.runs import log_batch, set_tags
from avfusion.training.experiment import Result, best_epoch
from avfusion.training.many import Training
from avfusion.training.selection import best_seed

DCASE_NAMES_OF: dict[tuple[str, ...], DcaseNames] = {
    ("audio",): "filename_audio",
    ("video",): "filename_video",
    ("audio", "video"): "filename_audio_video",
}
"""Modalities of a variant -> the column that names files in its 1-s predictions."""


def log_result(result: Result, store: FeatureStore, *, with_model: bool) -> None:
    """Everything of `result` into the active run; its model too if `with_model`."""
    log_scores(result, store)
    log_features(store)
    set_tags({"mlflow.note.content": description(result, store)})
    log_table(per_class(result.test).round(4).reset_index(), "per_class")
    if result.diagnostics:
        _log_diagnostics(result, store)
    _log_files(result, store)
    if with_model:
        log_model(result.trained.classifier)


def log_variant(
    runs: JobRuns,
    name: str,
    trainings: Sequence[Training],
    results: Iterable[Result],
    store: FeatureStore,
    tags: Mapping[str, str],
    own_tags: Mapping[str, str],
) -> tuple[str, list[Result]]:
    """Log one variant as the run `name`; returns the run's id and the `results`, one for each of `trainings`.

    `trainings` have the same hyperparameters and differ by their seeds. One alone is logged into the variant's own run;
    several into runs below it, and into the variant's their means and the model of the best. `tags` go to all of these
    runs, `own_tags` to the variant's. A run that an earlier, broken-off run of this job logged whole stays as it is.
    `results` may be trained while they are asked for: the run lasts as long as that takes.
    """
    params = trainings[0].params
    if logged := runs.find(name, params):
        return logged, list(results)
    done = []
    with runs.open(name, params, {**tags, **own_tags}) as run:
        for result in results:
            if len(trainings) == 1:
                log_result(result, store, with_model=True)
            else:
                log = partial(log_result, result, store, with_model=False)
                seed_tags = {**tags, KIND: "seed"}
                runs.log(f"{name} seed {result.trained.seed}", params, seed_tags, run.info.run_id, log)
            done.append(result)
        if len(trainings) > 1:
            log_seeds(done, store)
            log_best_model(done)
    return str(run.info.run_id), done


def log_scores(result: Result, store: FeatureStore) -> None:
    """The numbers of `result` into the active run: parameters, curves, final metrics, metrics per class."""
    trained, table = result.trained, per_class(result.test)
    history: dict[str, list[float]] = {}
    for epoch in trained.history:
        for name, value in epoch.points.items():
            history.setdefault(name, []).append(value)
    class_metrics = {
        f"test/{column}/{metric_name(str(scene))}": float(value)
        for column in ("precision", "recall", "f1")
        for scene, value in table[column].items()
    }
    for row in by_class(result.diagnostics, result.test).to_dict("records"):
        class_metrics[f"test/{row['diagnostic']}/{metric_name(row['class'])}"] = row["mean"]
    parameters = sum(p.numel() for p in trained.classifier.network.parameters())
    log_batch(
        {
            "variant": trained.variant.id,
            "seed": trained.seed,
            **trained.params,
            "embedder": embedder_in_words(store.provenance),
        },
        {**result.metrics, **class_metrics, "parameters": parameters, "recut_clips": trained.recut_clips},
        history,
    )


def description(result: Result, store: FeatureStore) -> str:
    """What a run is and came to, as Markdown for its page."""
    trained = result.trained
    scores = evaluate(result.test)
    lines = [
        f"**{trained.variant.title}**: test accuracy {scores['accuracy']:.3f}, log loss {scores['log_loss']:.3f} "
        f"on {title(store.provenance)}, seed {trained.seed}. Definition: {trained.variant.source}.",
        "",
        "| clips | accuracy | log loss | macro-F1 |",
        "|---|---|---|---|",
    ]
    for name, split in (("test", result.test), ("validation", trained.validation), ("test, 1 s", result.test_seconds)):
        if split is not None:
            scores = evaluate(split)
            cells = (f"{scores[metric]:.3f}" for metric in ("accuracy", "log_loss", "macro_f1"))
            lines.append(f"| {name} ({len(split)}) | {' | '.join(cells)} |")
    chosen = f"Epoch {trained.best.epoch} of {len(list(trained.stages.values())[-1])}, chosen on validation."
    recut = (
        f" {trained.recut_clips} clips were cut or continued to the commonest length." if trained.recut_clips else ""
    )
    return "\n".join([*lines, "", chosen + recut])


def log_seeds(results: list[Result], store: FeatureStore) -> None:
    """Several seeds of one variant into their common run: means, standard deviations and a table."""
    trained, metrics = results[0].trained, pd.DataFrame([result.metrics for result in results])
    seeds = [result.trained.seed for result in results]
    means = {str(name): float(value) for name, value in metrics.mean().items()}
    several = len(results) > 1  # one has no spread
    spreads = {f"{name}_std": float(value) for name, value in metrics.std().items() if several and "/" in str(name)}
    log_batch(
        {"variant": trained.variant.id, "seeds": ",".join(map(str, seeds)), **trained.params}, {**means, **spreads}
    )
    log_features(store)
    log_table(metrics.assign(seed=seeds), "seeds")


def log_best_model(results: list[Result]) -> None:
    """Of several seeds of one variant, the model with the lowest validation loss, into their common run."""
    best = best_seed(results)
    log_model(best.trained.classifier)
    set_tags({"model_seed": str(best.trained.seed)})


def log_summary(table: pd.DataFrame, store: FeatureStore, remark: str) -> None:
    """`table` (one row per variant) into the active job run, and with `remark` into its experiment's description."""
    run = mlflow.active_run()
    assert run is not None, "log_summary needs an active run"
    log_features(store)
    log_table(table, "summary")
    client = MlflowClient()
    name = client.get_run(run.info.run_id).info.run_name  # the active run still has the name it was made with
    note = f"**Latest comparison** on {title(store.provenance)} (run `{name}`)\n\n{markdown(table)}\n\n{remark}\n"
    client.set_tag(run.info.run_id, "mlflow.note.content", note)
    client.set_experiment_tag(run.info.experiment_id, "mlflow.note.content", note)


def markdown(table: pd.DataFrame) -> str:
    """A table as Markdown, numbers with three decimals."""
    lines = ["| " + " | ".join(table.columns) + " |", "|" + "---|" * len(table.columns)]
    for row in table.itertuples(index=False):
        cells = [f"{value:.3f}" if isinstance(value, float) else str(value) for value in row]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


@storing()
def _log_diagnostics(result: Result, store: FeatureStore) -> None:
    """What the variant says of the test clips beside its answers: by clip, by class, and as a figure."""
    variant, table = result.trained.variant, by_class(result.diagnostics, result.test)
    log_table(table.round(4), "diagnostics")
    title = f"{variant.title}, test clips"
    log_figure(diagnostics_by_class(table, variant.diagnosed, title, note=note(store.provenance)), "diagnostics")
    clips = pd.DataFrame({"clip": result.test.ids, **result.diagnostics})
    mlflow.log_text(clips.to_csv(index=False), "diagnostics.csv")


@storing()
def _log_files(result: Result, store: FeatureStore) -> None:
    trained = result.trained
    title = f"{trained.variant.title}, test clips"
    configuration = {
        "variant": trained.variant.id,
        "source": trained.variant.source,
        "seed": trained.seed,
        "params": trained.params,
        "features": {"path": str(store.path), "digest": store.digest, "provenance": store.provenance},
    }
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "config.json").write_text(json.dumps(configuration, indent=2), encoding="utf-8")
        for split, predictions in (("val", trained.validation), ("test", result.test)):
            (folder / "predictions").mkdir(exist_ok=True)
            write_course_tsv(folder / "predictions" / f"{split}.tsv", predictions)
        if result.test_seconds is not None:
            names = DCASE_NAMES_OF[trained.variant.modalities]
            write_dcase_tsv(folder / "predictions" / "test_1s.tsv", result.test_seconds, names)
        heatmap = confusion_heatmap(confusion(result.test), result.test.classes, title, note=note(store.provenance))
        save_figure(heatmap, folder / "figures" / "confusion.png")
        for stage, epochs in trained.stages.items():
            records = pd.DataFrame([asdict(epoch) for epoch in epochs])
            name = f"{trained.variant.title}, loss by epoch" + (f", stage {stage}" if stage else "")
            curves = loss_curves(records, best_epoch(epochs).epoch, name, note=note(store.provenance))
            save_figure(curves, folder / "figures" / (f"loss_{stage}.png" if stage else "loss.png"))
        mlflow.log_artifacts(str(folder))
