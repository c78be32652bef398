"""What an ensemble leaves in MLflow: a run like a variant's, with the weights of its members."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd

from avfusion.features import FeatureStore
from avfusion.features.provenance import embedder_in_words, note, tags, title
from avfusion.figures import ensemble_weights
from avfusion.figures.style import series_colour
from avfusion.fusion import variants
from avfusion.scoring.metrics import evaluate_splits, per_class
from avfusion.scoring.predictions import Predictions
from avfusion.system.markdown import markdown, markdown_table
from avfusion.system.names import metric_name
from avfusion.tracking.artifacts import log_features, log_figure, log_table
from avfusion.tracking.failures import storing
from avfusion.tracking.lookup import COLOUR, KIND, SEEDS
from avfusion.tracking.models import log_model
from avfusion.tracking.notes import write_note
from avfusion.tracking.records import class_metrics, example_request, write_answers
from avfusion.tracking.runs import ScoredModel, experiment_run, log_batch, set_tags
from avfusion.tracking.variant_runs import log_over_seeds
from avfusion.training.ensemble import ENSEMBLE, Ensemble

SOURCE = "weighted product of its members' probabilities, weights by log loss on validation"
MODEL_SEED = "of each member the best on validation"
"""Tag `model_seed` of an ensemble over several seeds."""


@dataclass(frozen=True)
class EnsembleRecord:
    """An ensemble as it is logged; S seeds, which are numbered from 0 as those of its members come."""

    table: pd.DataFrame
    """One row for each variant that was offered: member, weight (0: dropped), val_log_loss, gain."""
    members: Mapping[str, str | None]
    """Those that were kept, with the ids of their runs."""
    test: tuple[Predictions, ...]
    """[S]"""
    validation: tuple[Predictions, ...]
    """[S]"""
    modalities: tuple[str, ...]
    """What its members listen to, together."""
    store: FeatureStore | None
    """On which all members were trained; None where they were not trained on one, or it is not there."""
    classifier: Ensemble | None
    """The model; None where there is none to be had."""
    comparison: Mapping[str, pd.DataFrame]
    """Tables about the ensemble beside its best member, by name."""
    said: str
    """The same in words, as Markdown."""

    @cached_property
    def scores(self) -> pd.DataFrame:
        """[S] every metric, as `val/accuracy`, `test/log_loss` ..."""
        seeds = zip(self.validation, self.test, strict=True)
        return pd.DataFrame([evaluate_splits({"val": validation, "test": test}) for validation, test in seeds])

    @property
    def weights(self) -> dict[str, float]:
        """Of all that were offered, by name."""
        return {
            str(name): float(weight) for name, weight in zip(self.table["member"], self.table["weight"], strict=True)
        }


def log_ensemble(record: EnsembleRecord) -> str:
    """Log an ensemble as the run `ensemble` beside the job's, several seeds into runs below it; returns the run's id.

    Its kind is that of variants, so that everything finds it among them; where the members share no feature store,
    which is what variants are found by, it is a kind of its own.
    """
    n_seeds = len(record.test)
    about = {"variant": ENSEMBLE, **(tags(record.store.provenance) if record.store else {})}
    kind = {KIND: "variant" if record.store else ENSEMBLE, SEEDS: ",".join(map(str, range(n_seeds)))}
    kind[COLOUR] = series_colour(len(variants()))  # the next after theirs
    with experiment_run(ENSEMBLE, {**about, **kind}) as run:
        if n_seeds == 1:
            _log_seed(record, 0)
        else:
            for seed in range(n_seeds):
                with experiment_run(f"{ENSEMBLE} seed {seed}", {**about, KIND: "seed"}, run.info.run_id):
                    _log_seed(record, seed)
                    write_note(_seed_in_words(record, seed), record.store)
            _log_means(record)
        log_batch({}, {f"weight/{metric_name(name)}": weight for name, weight in record.weights.items()})
        log_table(record.table, "ensemble_weights")
        log_figure(ensemble_weights(record.table, "Weights of the ensemble", note=_remark(record)), "ensemble_weights")
        for name, table in record.comparison.items():
            log_table(table, name)
        if n_seeds > 1 and record.classifier is not None and record.store is not None:
            _log_model(record, record.store)
            set_tags({"model_seed": MODEL_SEED})
        write_note(_in_words(record), record.store, [run_id for run_id in record.members.values() if run_id])
    return str(run.info.run_id)


def _log_seed(record: EnsembleRecord, seed: int) -> None:
    """The answers of one seed, and what they come to, into the active run; with the model if it is the only seed."""
    if record.store is not None:
        log_features(record.store)
    only = len(record.test) == 1
    model = record.classifier if only else None
    scored = _log_model(record, record.store) if model is not None and record.store is not None else None
    metrics = {str(name): float(value) for name, value in record.scores.iloc[seed].items()}
    log_batch({"seed": seed, **_params(record)}, {**metrics, **class_metrics(record.test[seed])}, scored=scored)
    log_table(per_class(record.test[seed]).round(4).reset_index(), "per_class")
    _log_files(record, seed)


def _log_means(record: EnsembleRecord) -> None:
    """Of several seeds, means, standard deviations and a table into the active run."""
    if record.store is not None:
        log_features(record.store)
    log_over_seeds(_params(record), record.scores, range(len(record.test)))


def _params(record: EnsembleRecord) -> dict[str, str]:
    embedder = {"embedder": embedder_in_words(record.store.provenance)} if record.store else {}
    return {"variant": ENSEMBLE, "members": ",".join(record.members), **embedder}


def _log_model(record: EnsembleRecord, store: FeatureStore) -> ScoredModel:
    assert record.classifier is not None, "to be called where there is a model"
    example = example_request(record.classifier, store, record.validation[0].ids[0])
    return ScoredModel(log_model(record.classifier, example).rpartition("/")[2], {})


@storing()
def _log_files(record: EnsembleRecord, seed: int) -> None:
    configuration: dict[str, Any] = {
        "variant": ENSEMBLE,
        "source": SOURCE,
        "seed": seed,
        "params": {},
        "members": dict(record.members),
        "weights": record.weights,
        "modalities": record.modalities,
    }
    if (store := record.store) is not None:
        about = {"path": str(store.path), "digest": store.digest, "provenance": store.provenance}
        configuration["features"] = about
    answers = {"test": record.test[seed], "val": record.validation[seed]}
    with tempfile.TemporaryDirectory() as folder:
        write_answers(Path(folder), configuration, answers, "Ensemble, test clips", _remark(record))
        mlflow.log_artifacts(folder)


def _remark(record: EnsembleRecord) -> str | None:
    return note(record.store.provenance) if record.store else None


def _in_words(record: EnsembleRecord) -> str:
    """What it is and came to, as Markdown for its page."""
    mean, n_seeds = record.scores.mean(), len(record.test)
    over = f", means over {n_seeds} seeds" if n_seeds > 1 else ""
    on = f" on {markdown(title(record.store.provenance))}" if record.store else ""
    rows = [
        (
            str(row["member"]),
            f"{row['weight']:.3f}" if row["weight"] > 0 else "dropped",
            f"{row['val_log_loss']:.3f}",
            f"{row['gain']:.4f}",
        )
        for row in record.table.to_dict("records")
    ]
    lines = [
        f"**Ensemble of {markdown(', '.join(record.members))}**: test accuracy {mean['test/accuracy']:.3f}, log loss "
        f"{mean['test/log_loss']:.3f}{on}{over}. Definition: {SOURCE}.",
        *("", markdown_table(["member", "weight", "log loss alone, validation", "gain"], rows), ""),
    ]
    return "\n".join([*lines, record.said])


def _seed_in_words(record: EnsembleRecord, seed: int) -> str:
    scores = record.scores.iloc[seed]
    return (
        f"**Ensemble** of the seeds number {seed} of its members: test accuracy {scores['test/accuracy']:.3f}, "
        f"log loss {scores['test/log_loss']:.3f}."
    )
