"""What one trained variant leaves in MLflow: configuration, curves, scores, tables, figures, predictions, model."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
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
from avfusion.tracking.diagnostics import log_diagnostics
from avfusion.tracking.failures import storing
from avfusion.tracking.lookup import FOLDS
from avfusion.tracking.models import log_model
from avfusion.tracking.runs import ScoredModel, log_batch
from avfusion.training.classifier import Classifier
from avfusion.training.cross_validation import CrossValidation, Scored, parts
from avfusion.training.experiment import Result, Trained, best_epoch
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
    """Everything of `result` into the active run but its note, which links to the runs below it, and may come last.

    Its model too if `with_model`, unless it is of several folds.
    """
    log_features(store, result.trained.splits if isinstance(result, Result) else None)
    scored = log_scored_model(result, store) if with_model and isinstance(result, Result) else None
    log_scores(result, store, scored=scored)
    log_table(per_class(result.test).round(4).reset_index(), "per_class")
    if result.diagnostics:
        log_diagnostics(result, store)
    _log_files(result, store)


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
        final_metrics(result),
        history(result.trained) if isinstance(result, Result) else {},
        scored=scored,
    )


def history(trained: Trained) -> dict[str, list[float]]:
    """Every curve of a training, by its name: the values of its epochs."""
    curves: dict[str, list[float]] = {}
    for epoch in trained.history:
        for name, value in epoch.points.items():
            curves.setdefault(name, []).append(value)
    return curves


def final_metrics(result: Scored) -> dict[str, float]:
    """All that has one value, by name: scores, those of each class, diagnostics, sizes."""
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


def log_scored_model(result: Result, store: FeatureStore) -> ScoredModel:
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
    configuration = {
        "variant": variant.id,
        "source": variant.source,
        "seed": result.seed,
        **folds_param(result),
        "params": result.params,
        "features": {"path": str(store.path), "digest": store.digest, "provenance": store.provenance},
    }
    answers = {"test": result.test}
    if isinstance(result, Result):
        answers["val"] = result.trained.validation
    with tempfile.TemporaryDirectory() as temporary:
        folder, remark = Path(temporary), note(store.provenance)
        write_answers(folder, configuration, answers, f"{variant.title}, test clips", remark)
        if result.test_seconds is not None:
            names = DCASE_NAMES_OF[variant.modalities]
            write_dcase_tsv(folder / "predictions" / "test_1s.tsv", result.test_seconds, names)
        if isinstance(result, Result):
            _write_curves(result.trained, remark, folder)
        mlflow.log_artifacts(str(folder))


def write_answers(
    folder: Path,
    configuration: Mapping[str, object],
    answers: Mapping[str, Predictions],
    title: str,
    remark: str | None,
) -> None:
    """What the run of a model has as files: its configuration, its `answers` by split, the confusions of `test`.

    `title` and `remark` stand above the figure.
    """
    (folder / "config.json").write_text(json.dumps(configuration, indent=2), encoding="utf-8")
    (folder / "predictions").mkdir()
    for split, predictions in answers.items():
        write_course_tsv(folder / "predictions" / f"{split}.tsv", predictions)
    test = answers["test"]
    heatmap = confusion_heatmap(confusion(test), test.classes, title, note=remark)
    save_figure(heatmap, folder / "figures" / "confusion.png")


def _write_curves(trained: Trained, remark: str | None, folder: Path) -> None:
    """The losses by epoch of each stage."""
    for stage, epochs in trained.stages.items():
        records = pd.DataFrame([asdict(epoch) for epoch in epochs])
        name = f"{trained.variant.title}, loss by epoch" + (f", stage {stage}" if stage else "")
        curves = loss_curves(records, best_epoch(epochs).epoch, name, note=remark)
        save_figure(curves, folder / "figures" / (f"loss_{stage}.png" if stage else "loss.png"))
