"""The job `train`: every chosen variant with every seed, each a run of its own, and a table of them all."""

import logging
from pathlib import Path
from typing import Any

import pandas as pd

from avfusion.errors import UserError
from avfusion.features.provenance import tags, title
from avfusion.figures.style import series_colour
from avfusion.fusion import FusionNetwork, choose_variants
from avfusion.fusion import variants as known_variants
from avfusion.fusion.hyperparameters import Value
from avfusion.jobs.features import open_features
from avfusion.jobs.summary import in_order, summary_lines, trained_with
from avfusion.report.cautions import rests_on
from avfusion.system.device import choose_device
from avfusion.tracking.lookup import COLOUR, KIND
from avfusion.tracking.models import REGISTERED
from avfusion.tracking.models import register as register_model
from avfusion.tracking.runs import set_tags
from avfusion.tracking.session import connect
from avfusion.tracking.summary import log_summary
from avfusion.tracking.variant_runs import log_variant
from avfusion.tracking.views import VARIANTS, view_lines
from avfusion.tracking.work import Work, training_job
from avfusion.training.cross_validation import SPREAD
from avfusion.training.experiment import resolve_params
from avfusion.training.many import Trainer, Training, check_trainable, splits_of
from avfusion.training.precision import check_precision
from avfusion.training.split_features import TEST, TRAIN, VALIDATION, SplitFeatures

HEADLINE = {
    "accuracy": "test/accuracy",
    "log_loss": "test/log_loss",
    "macro_f1": "test/macro_f1",
    "val_accuracy": "val/accuracy",
    "val_log_loss": "val/log_loss",
    "seconds": "seconds",
}
"""Columns of the summary, and the metrics that they show."""
OVER_FOLDS = {"accuracy_fold_std": f"test/accuracy{SPREAD}"}
"""The same, where there are folds."""

_log = logging.getLogger(__name__)


def train_job(
    *,
    features: Path,
    variants: tuple[str, ...],
    seeds: tuple[int, ...],
    folds: int | None,
    params: dict[str, str],
    device: str,
    allow_outside: bool,
    register: bool,
) -> list[str]:
    """Train each variant with each seed on one set of features, and compare their scores on the test clips.

    Args:
        features: a feature store, or a folder of HDF5 features.
        variants: ids of variants, or `quick` or `all` alone.
        seeds: of the trainings, and of the folds; the scores of a variant are means over them.
        folds: of cross-validation by location, which tests every clip; None trains on the dataset's split.
        params: hyperparameters as text; the study's where not named.
        device: `auto`, `cpu` or `cuda`.
        allow_outside: whether HDF5 features may be links to files in other folders.
        register: whether each variant's model becomes a version in the MLflow registry.

    Returns the lines to show. Raises `UserError` for anything that cannot be used, before any training.
    """
    check_model_is_made(folds, register=register)
    chosen = choose_variants(variants)
    resolved = resolve_params(chosen, params)
    target = choose_device(device)
    check_precision(zip(chosen, resolved, strict=True), target)
    data = SplitFeatures(open_features(features, allow_outside=allow_outside))
    check_trainable(data, chosen, splits_of(data, folds, seeds))
    connect()
    with training_job("train") as job:
        n_failed = len(data.store.failures)
        set_tags({"failed_clips": str(n_failed)})
        work = job.begin(asked_for(chosen, resolved, seeds, folds), data.store, target)
        trainer = Trainer(data, target, work.results, folds=folds)
        table = train_variants(trainer, chosen, resolved, seeds, work, registered=register)
        lines = comparison(table, trainer, seeds, job.experiment_id)
        return [f"features {data.store.path}; {len(data.store.clips)} clips, failed_clips={n_failed}", *lines]


def check_model_is_made(folds: int | None, *, register: bool) -> None:
    """Raise `UserError` if a model is to be registered where there will be one for each of `folds`."""
    if folds is not None and register:
        raise UserError(
            f"register=true: folds={folds} makes {folds} models of a variant, each without a part of the clips; "
            "register one that is trained with folds=none"
        )


def comparison(table: pd.DataFrame, trainer: Trainer, seeds: tuple[int, ...], experiment_id: str) -> list[str]:
    """Log the summary `table` of a job, of these `seeds`, and return it as lines with the way to the MLflow UI."""
    data, folds = trainer.data, trainer.folds
    log_summary(table, data.store, rests_on(len(seeds)))
    counts = ", ".join(f"{len(data.rows(split))} {split}" for split in (TRAIN, VALIDATION, TEST))
    scored = f"clips: {counts}; scores are of the test clips"
    if folds is not None:
        scored = f"{len(data.store.clips)} clips, each tested in one of {folds} folds by location; scores are of all"
    return [
        "",
        f"{title(data.store.provenance)}; {scored}",
        f"{trained_with(seeds)}; * is the best on validation, by log loss",
        "",
        *summary_lines(table),
        "",
        f"seeds    {rests_on(len(seeds))}",
        *view_lines(experiment_id, VARIANTS),
    ]


def asked_for(
    variants: list[type[FusionNetwork]], params: list[dict[str, Value]], seeds: tuple[int, ...], folds: int | None
) -> dict[str, Any]:
    """What `train_variants` is given, in plain values."""
    return {"variants": [variant.id for variant in variants], "params": params, "seeds": seeds, "folds": folds}


def train_variants(
    trainer: Trainer,
    variants: list[type[FusionNetwork]],
    params: list[dict[str, Value]],
    seeds: tuple[int, ...],
    work: Work,
    *,
    registered: bool = False,
) -> pd.DataFrame:
    """Train and log every variant with every seed; the summary (see `in_order`), means over seeds.

    Unimodal variants come first: they go along with the models of the fusions as companions, seed by seed. What `work`
    has already is not done again.
    """
    data, store, rows = trainer.data, trainer.data.store, []
    columns = HEADLINE if trainer.folds is None else HEADLINE | OVER_FOLDS
    for variant, values in sorted(zip(variants, params, strict=True), key=lambda pair: len(pair[0].modalities)):
        trainings = [Training(variant, values, seed) for seed in seeds]
        results = trainer.with_companions(trainer.scored(trainings))
        left = {"left_out_clips": str(n)} if (n := data.left_out(variant.modalities)) else {}
        common = {"variant": variant.id, **tags(store.provenance)}
        own = {KIND: "variant", COLOUR: series_colour(list(known_variants()).index(variant.id)), **left}
        run_id, done = log_variant(work.runs, variant.id, trainings, results, store, common, own)
        if registered:
            _log.info("%s: registered as models:/%s/%s", variant.id, REGISTERED, register_model(run_id))
        metrics = pd.DataFrame([result.metrics for result in done])
        rows.append({"variant": variant.id, **{name: metrics[metric].mean() for name, metric in columns.items()}})
    return in_order(rows)
