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

from avfusion.features import MODALITIES, FeatureStore
from avfusion.features.provenance import embedder_in_words, note, title
from avfusion.figures import confusion_heatmap, diagnostics_by_class, loss_curves
from avfusion.scoring.diagnostics import by_class
from avfusion.scoring.metrics import confusion, per_class
from avfusion.scoring.tsv import DcaseNames, write_course_tsv, write_dcase_tsv
from avfusion.system.names import metric_name
from avfusion.tracking.artifacts import log_features, log_figure, log_table, save_figure, split_input
from avfusion.tracking.continued import JobRuns
from avfusion.tracking.descriptions import describe_result, describe_seeds, describe_store, markdown_table
from avfusion.tracking.failures import storing
from avfusion.tracking.lookup import KIND, SEEDS
from avfusion.tracking.models import log_model
from avfusion.tracking.notes import NOTE, write_note
from avfusion.tracking.runs import ScoredModel, log_batch, set_tags, tie_metrics
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


def log_result(result: Result, store: FeatureStore, *, with_model: bool) -> None:
    """Everything of `result` into the active run; its model too if `with_model`."""
    log_features(store, result.trained.splits)
    scored = _log_model(result, store) if with_model else None
    log_scores(result, store, scored)
    log_table(per_class(result.test).round(4).reset_index(), "per_class")
    if result.diagnostics:
        _log_diagnostics(result, store)
    _log_files(result, store)
    write_note(describe_result(result, store), store)


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
    done, run_ids = list[Result](), list[str]()
    seeds = {SEEDS: ",".join(str(training.seed) for training in trainings)}
    with runs.open(name, params, {**tags, **own_tags, **seeds}) as run:
        for result in results:
            if len(trainings) == 1:
                log_result(result, store, with_model=True)
            else:
                log = partial(log_result, result, store, with_model=False)
                seed_tags = {**tags, KIND: "seed"}
                run_ids.append(runs.log(f"{name} seed {result.trained.seed}", params, seed_tags, run.info.run_id, log))
            done.append(result)
        if len(trainings) > 1:
            log_seeds(done, store)
            _log_best_model(done, run_ids, store)
            write_note(describe_seeds(done, store), store)
    return str(run.info.run_id), done


def log_scores(result: Result, store: FeatureStore, scored: ScoredModel | None = None) -> None:
    """The numbers of `result` into the active run: parameters, curves, final metrics, metrics per class.

    The final metrics are tied to the model and the datasets of `scored`.
    """
    trained = result.trained
    log_batch(
        {
            "variant": trained.variant.id,
            "seed": trained.seed,
            **trained.params,
            "embedder": embedder_in_words(store.provenance),
        },
        _final_metrics(result),
        _history(trained),
        scored=scored,
    )


def _history(trained: Trained) -> dict[str, list[float]]:
    """Every curve of a training, by its name: the values of its epochs."""
    curves: dict[str, list[float]] = {}
    for epoch in trained.history:
        for name, value in epoch.points.items():
            curves.setdefault(name, []).append(value)
    return curves


def _final_metrics(result: Result) -> dict[str, float]:
    trained, table = result.trained, per_class(result.test)
    of_classes = {
        f"test/{column}/{metric_name(str(scene))}": float(value)
        for column in ("precision", "recall", "f1")
        for scene, value in table[column].items()
    }
    for row in by_class(result.diagnostics, result.test).to_dict("records"):
        of_classes[f"test/{row['diagnostic']}/{metric_name(row['class'])}"] = row["mean"]
    n_parameters = sum(p.numel() for p in trained.classifier.network.parameters())
    return {**result.metrics, **of_classes, "parameters": n_parameters, "recut_clips": trained.recut_clips}


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
    log_features(store, trained.splits)
    log_table(metrics.assign(seed=seeds), "seeds")


def _log_best_model(results: list[Result], run_ids: list[str], store: FeatureStore) -> None:
    """Of several seeds of one variant, the model with the lowest validation loss and its curves, into their run.

    Its scores are in the run of its seed, one of `run_ids`: those of the common run are means.
    """
    best = best_seed(results)
    scored = _log_model(best, store)
    run_id = next(run_id for run_id, result in zip(run_ids, results, strict=True) if result is best)
    tie_metrics(run_id, _final_metrics(best), scored)
    set_tags({"model_seed": str(best.trained.seed)})
    log_batch({}, {}, _history(best.trained))


def _log_model(result: Result, store: FeatureStore) -> ScoredModel:
    """The model of `result`, with a validation clip as its example; what its metrics are tied to."""
    model_id = log_model(result.trained.classifier, _example(result, store)).rpartition("/")[2]
    digests = {split: (split_input(store, split), summary.digest) for split, summary in result.trained.splits.items()}
    return ScoredModel(model_id, {**digests, "test_1s": digests[TEST]})


def _example(result: Result, store: FeatureStore) -> pd.DataFrame:
    """A request of one row that the model answers: the frames of a validation clip, few where it takes any length."""
    variant, shape = result.trained.variant, result.trained.classifier.description.shape
    row = store.clips["id"].tolist().index(result.trained.validation.ids[0])
    n_frames = EXAMPLE_FRAMES if variant.any_length else shape.n_frames
    listened = [modality for modality in MODALITIES if modality in variant.modalities]
    frames = {m: store.frames(m, row)[:n_frames].astype(float).round(4).tolist() for m in listened}
    return pd.DataFrame([frames])


def log_summary(table: pd.DataFrame, store: FeatureStore, remark: str) -> None:
    """`table` (one row per variant) into the active job run, and with `remark` into its experiment's description."""
    run = mlflow.active_run()
    assert run is not None, "log_summary needs an active run"
    log_features(store)
    log_table(table, "summary")
    client = MlflowClient()
    name = client.get_run(run.info.run_id).info.run_name  # the active run still has the name it was made with
    text = f"**Latest comparison** on {title(store.provenance)} (run `{name}`)\n\n{markdown_table(table)}\n\n{remark}\n"
    client.set_experiment_tag(run.info.experiment_id, NOTE, text)
    write_note(f"{text}\n{describe_store(store)}", store)


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
