"""The job `ensemble`: several variants as one, with weights by their answers on validation clips."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd

from avfusion.analysis.ensembles import FittedEnsemble, fit_ensemble
from avfusion.analysis.pairs import pair_table, score_table
from avfusion.analysis.sources import open_store
from avfusion.analysis.variant_answers import SideBySide
from avfusion.errors import UserError
from avfusion.features import MODALITIES
from avfusion.jobs.sources import check_sources, find_side_by_side
from avfusion.jobs.verdicts import score_lines, verdict_lines, verdict_note
from avfusion.report.cautions import cautions
from avfusion.tracking.ensembles import EnsembleRecord, log_ensemble
from avfusion.tracking.lookup import SIDE_BY_SIDE
from avfusion.tracking.models import load_classifier
from avfusion.tracking.notes import write_note
from avfusion.tracking.runs import job_run, log_asked, log_batch, set_tags
from avfusion.tracking.session import connect
from avfusion.tracking.starting import next_line
from avfusion.tracking.views import VARIANTS, view_lines
from avfusion.training.ensemble import ENSEMBLE, Ensemble
from avfusion.training.scene_classifier import SceneClassifier


def ensemble_job(
    *,
    experiment: str | None,
    filter: str | None,
    runs: tuple[str, ...] | None,
    predictions: Path | None,
    locations: Path | None,
) -> list[str]:
    """Fit the weights of an ensemble on validation clips, drop members that do not help, and score it on test clips.

    Args:
        experiment: name or id of an MLflow experiment whose newest runs are its members, or
        runs: ids of these runs, or
        predictions: a folder of prediction files, with those for validation clips in its folder val; exactly one of
            the three is needed.
        filter: MLflow filter that chooses among the runs of `experiment`.
        locations: CSV with a column location, one line per test clip; None takes them from the features or the clips'
            names.

    Returns the lines to show. Raises `UserError` for anything that cannot be used.
    """
    given = {"experiment": experiment, "filter": filter, "runs": runs, "predictions": predictions}
    check_sources(ENSEMBLE, given)
    connect()
    found = _without_ensembles(find_side_by_side(experiment, filter, runs, predictions, locations))
    fitted = fit_ensemble(found)
    both = replace(found, variants=(fitted.answers, fitted.best_member))
    tables = {
        "scores": score_table(both.variants, both.locations),
        "pairs": pair_table(both.variants, both.locations),
    }
    record, no_model = _record(found, fitted, tables)
    with job_run(ENSEMBLE) as run:
        log_asked({**given, "locations": locations})
        log_batch({"clips": len(found.first), "independent_locations": len(found.locations)}, {})
        names = (variant.name for variant in (fitted.answers, *fitted.members))
        set_tags({SIDE_BY_SIDE: ", ".join(names), **found.tags})
        run_id = log_ensemble(record)
        write_note(record.said, record.store, [run_id])
        ui = view_lines(run.info.experiment_id, VARIANTS)
        model = f"model    none: {no_model}"
        if record.classifier is not None:
            model = next_line("predict", model=f"runs:/{run_id}/model", clip="FILE")
    remarks = [f"note     {remark}" for remark in found.remarks]
    return [*_lines(found, fitted, both, tables), "", f"run      {run_id}", model, *remarks, *ui]


def _without_ensembles(found: SideBySide) -> SideBySide:
    """`found` without the runs of earlier ensembles, which are told of."""
    members = tuple(variant for variant in found.variants if variant.config.get("variant") != ENSEMBLE)
    if not (n_left_out := len(found.variants) - len(members)):
        return found
    if not members:
        raise UserError(f"{found.source}: all are ensembles; give runs of trained variants")
    remark = f"Left out: {n_left_out} run(s) that are ensembles themselves."
    return replace(found, variants=members, remarks=(*found.remarks, remark))


def _record(
    found: SideBySide, fitted: FittedEnsemble, tables: Mapping[str, pd.DataFrame]
) -> tuple[EnsembleRecord, str]:
    """What is logged, and why it has no model, if it has none."""
    said = verdict_note(tables["pairs"], _with_members(found, fitted))
    kept = {member.name: member for member in fitted.members if member.name in fitted.weights}
    run_ids = {name: kept[name].run_id for name in fitted.weights}
    features = next(iter(kept.values())).config.get("features")  # of a dropped member nothing is needed
    found = replace(found, variants=tuple(kept.values()), store=open_store(features) if features else None)
    classifiers, no_model = _classifiers(found, run_ids)
    model = Ensemble(classifiers, fitted.weights).eval() if classifiers else None
    record = EnsembleRecord(
        table=fitted.table,
        members=run_ids,
        test=fitted.answers.seeds,
        validation=fitted.answers.validation,
        modalities=model.modalities if model else MODALITIES,
        store=found.store if _on_one_store(found) else None,
        classifier=model,
        comparison=tables,
        said=said,
    )
    return record, no_model


def _on_one_store(found: SideBySide) -> bool:
    """Whether all variants were trained on the same features."""
    return len({variant.config["features"]["digest"] for variant in found.variants if variant.config}) == 1


def _classifiers(found: SideBySide, run_ids: Mapping[str, str | None]) -> tuple[dict[str, SceneClassifier], str]:
    """The classifiers that the runs kept (of several seeds the best on validation); none, and why, if one is missing.

    Members on different features cannot answer one clip: there is one embedder in a model.
    """
    if found.features is None:
        return {}, "prediction files hold no model; give runs instead"
    if not _on_one_store(found):
        return {}, "its members were trained on different features, and a model has one embedder; predictions only"
    if found.store is None:
        return {}, f"the feature store {found.features['path']} is no longer there, or has changed"
    classifiers: dict[str, SceneClassifier] = {}
    for name, run_id in run_ids.items():
        classifier = load_classifier(str(run_id))
        if not isinstance(classifier, SceneClassifier):
            return {}, f"the run of {name} kept no model"
        classifiers[name] = classifier
    return classifiers, ""


def _with_members(found: SideBySide, fitted: FittedEnsemble) -> SideBySide:
    """The ensemble beside all that were offered: what verdicts on it rest on, and what would have to be trained."""
    return replace(found, variants=(fitted.answers, *fitted.members))


def _lines(
    found: SideBySide, fitted: FittedEnsemble, both: SideBySide, tables: Mapping[str, pd.DataFrame]
) -> Iterator[str]:
    """Weights, scores with intervals, and the verdicts on the ensemble and its best member."""
    n_clips = len(fitted.answers.validation[0])
    yield from ("", f"weights by log loss on {n_clips} validation clips; gain is what a member takes off it", "")
    for row in fitted.table.to_dict("records"):
        weight = f"weight {row['weight']:.3f}" if row["weight"] > 0 else "dropped     "
        yield f"{row['member']:24} {weight}  log loss alone {row['val_log_loss']:.3f}  gain {row['gain']:.4f}"
    yield from ("", *score_lines(both, tables["scores"]))
    yield from ("", *verdict_lines(tables["pairs"]))
    yield from ("", *cautions(_with_members(found, fitted)))
