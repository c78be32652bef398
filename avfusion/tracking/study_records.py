"""What a study leaves in its own run in MLflow: a table of its trials, and figures of what they say."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from avfusion.features import FeatureStore
from avfusion.features.provenance import note
from avfusion.figures import (
    alpha_trials,
    hyperparameter_contour,
    optimisation_history,
    parallel_coordinates,
)
from avfusion.fusion.hyperparameters import Value
from avfusion.tracking.artifacts import log_features, log_figure, log_table
from avfusion.tracking.runs import log_batch, set_tags


@dataclass(frozen=True)
class StudyRecord:
    """A study that is done, in plain data."""

    title: str
    """Of the variant."""
    settings: Mapping[str, object]
    """What was searched and how, for the run's parameters; the same whenever the study goes on."""
    trials: pd.DataFrame
    """As `avfusion.tuning.results.trials_table` gives it."""
    scales: Mapping[str, str]
    """The searched hyperparameters: `linear`, `log` or `choice`."""
    importances: Mapping[str, float]
    """Share of each hyperparameter in the variation; empty if unknown."""
    drawings: Mapping[str, Figure]
    """Optuna's own figures, by name (see `avfusion.tuning.drawings`)."""
    metric: str
    larger_is_better: bool
    best_trial: int
    best_params: Mapping[str, Value]


def log_study(record: StudyRecord, store: FeatureStore) -> None:
    """Settings, best values, trials table and all figures of `record` into the active run."""
    trials = record.trials
    counts = {"trials": len(trials)}
    counts |= {f"trials_{str(name).replace(' ', '_')}": int(n) for name, n in trials["outcome"].value_counts().items()}
    best = trials[trials["trial"] == record.best_trial].iloc[0]
    scores = {f"best/val/{name}": float(best[f"val_{name}"]) for name in ("accuracy", "log_loss")}
    importances = {f"importance/{name}": share for name, share in record.importances.items()}
    log_batch(record.settings, {**counts, **scores, **importances, "best/trial": record.best_trial})
    set_tags({f"best.{name}": str(value) for name, value in record.best_params.items()})
    log_features(store)
    log_table(trials, "trials")
    for name, figure in _figures(record, note(store.provenance)):
        log_figure(figure, name)


def _figures(record: StudyRecord, remark: str | None) -> Iterator[tuple[str, Figure]]:
    """Name and figure, of those that the trials are enough for."""
    yield from record.drawings.items()
    complete, scales = record.trials[record.trials["value"].notna()], record.scales
    metric = f"validation {record.metric.replace('_', ' ')}"
    better = record.larger_is_better
    yield (
        "history",
        optimisation_history(
            record.trials, f"{record.title}, trials", metric=metric, larger_is_better=better, note=remark
        ),
    )
    yield (
        "parallel_coordinates",
        parallel_coordinates(
            complete, scales, f"{record.title}, all trials", metric=metric, larger_is_better=better, note=remark
        ),
    )
    if len(scales) > 1:
        two = {name: scales[name] for name in [*record.importances, *scales] if name in scales}
        two = dict(list(two.items())[:2])
        title = f"{record.title}, {' and '.join(two)}"
        yield (
            "contour",
            hyperparameter_contour(complete, two, title, metric=metric, larger_is_better=better, note=remark),
        )
    if "alpha" in scales:
        alpha = float(record.best_params["alpha"])
        yield "alpha", alpha_trials(complete, f"{record.title}, accuracy by alpha", best_alpha=alpha, note=remark)
