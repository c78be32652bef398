"""Gathers the material of a report: which variants with answers are models of the study, and what else is known."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from avfusion.analysis.locations import find_locations
from avfusion.analysis.sources import in_folder, in_run, newest_of_each, open_store, runs_of_experiment
from avfusion.analysis.variant_answers import VariantAnswers, beside, locations_of
from avfusion.errors import UserError
from avfusion.features import FeatureStore
from avfusion.report import published
from avfusion.report.material import STUDY_MODELS, Material, Sweep, SweepValidation, in_order, over_same_clips
from avfusion.system.names import escaped
from avfusion.tracking.lookup import (
    NO_FOLDS,
    VALIDATION_RIGHT,
    LoggedRun,
    find_experiment,
    finished_runs,
    read_curves,
    read_predictions,
    read_table,
)

LATE = re.compile(r"late(_fusion)?([-_ ]alpha[-_ =]?(?P<alpha>[01]?\.\d+))?")
"""Names of files of late fusion; the study's only if they name its alpha, or none."""


def material_of_folder(folder: Path) -> Material:
    """Every model in `folder` (see `in_folder`): those of the study by name, any other listed too.

    Known names: audio_only, video_only, baseline, early or early_fusion, late or late_fusion (with `_alpha_0.5` or
    without), flatten, lstm. Raises `UserError` for what cannot be used, or if two files are the same model.
    """
    found: dict[str, VariantAnswers] = {}
    for answers in in_folder(folder):
        model = _model_of_file(answers)
        if model.name in found:
            raise UserError(
                f"{folder}: {found[model.name].origin} and {model.origin} are the same model; keep one of them"
            )
        found[model.name] = model
    models, remarks = over_same_clips(in_order(list(found.values())))
    return Material(
        variants=tuple(models),
        source=f"the prediction files in {escaped(folder.resolve().name)}",
        clip_locations=find_locations(models[0].answers.ids, None, None),
        remarks=tuple(remarks),
    )


def material_of_experiment(name: str) -> Material:
    """What the experiment of this name or id holds: the newest run of each variant, and the newest alpha sweep.

    Late fusion is taken only with the study's alpha. All are of one feature store, that of the newest run; runs on
    others are left out, which is said. Raises `UserError` if there is no such experiment or nothing in it to report.
    """
    experiment, runs, remarks = runs_of_experiment(name)
    if not runs:
        raise UserError(f"experiment {experiment!r} has no finished run of a variant; train some first, with `train`")
    chosen = newest_of_each(runs, _is_studys)
    missing = _missing(runs)
    if not chosen:
        raise UserError(
            f"experiment {experiment!r} has nothing to report: no {missing['late']}; train late with the default alpha"
        )
    read = [in_run(run) for run in chosen]
    models, left_out = over_same_clips(
        in_order([replace(model, title=STUDY_MODELS.get(model.name, model.title)) for model in read])
    )
    store = open_store(models[0].config["features"])
    sweep, no_sweep = _find_sweep(name, runs[0], models[0], store)
    return Material(
        variants=tuple(models),
        source=f"the MLflow experiment {experiment}",
        clip_locations=find_locations(models[0].answers.ids, None, store),
        remarks=(*left_out, *remarks, *no_sweep),
        store=store,
        sweep=sweep,
        searched="this experiment",
        missing=missing,
    )


def _is_studys(run: LoggedRun) -> bool:
    """Whether a run may stand for the model of the study that has its variant's name."""
    return run.variant != "late" or float(run.params.get("alpha", "nan")) == published.ALPHA


def _missing(runs: Sequence[LoggedRun]) -> dict[str, str]:
    """Why late fusion is missing although it has runs."""
    late = [run for run in runs if run.variant == "late"]
    if not late or any(map(_is_studys, late)):
        return {}
    return {"late": f"late fusion with alpha = {published.ALPHA:g} ({late[0].title} has another)"}


def _find_sweep(
    experiment: str, newest: LoggedRun, first: VariantAnswers, store: FeatureStore | None
) -> tuple[Sweep | None, list[str]]:
    """The newest alpha sweep that fits the `newest` run, over the clips of `first`; or that there is one on others."""
    sweeps = [run for run in finished_runs(find_experiment(experiment)[0], "sweep") if run.parent is None]
    fitting = (run for run in sweeps if (run.features, run.folds) == (newest.features, newest.folds))
    if (run := next(fitting, None)) is None:
        remark = "Left out: the alpha sweep, which is on other features, or in other folds, than the newest run."
        return None, [remark] if sweeps else []
    try:
        answers = beside(VariantAnswers("sweep", run.title, (read_predictions(run, "test"),)), first).answers
    except UserError as error:
        raise UserError(f"{run.title} is over other clips than {first.origin}; run `sweep` again") from error
    records = read_table(run, "sweep")
    return Sweep(
        origin=run.title,
        records=records,
        best_alpha=float(run.tags["best_alpha"]),
        answers=answers,
        history=read_curves(run, ("train_loss", "val_loss")),
        validation=_sweep_validation(run, records, store),
    ), []


def _sweep_validation(run: LoggedRun, records: pd.DataFrame, store: FeatureStore | None) -> SweepValidation | None:
    """What the trainings of a sweep, the rows of `records`, answered on validation; None for a sweep in folds.

    Raises `UserError` if the run lacks it.
    """
    if run.folds != NO_FOLDS:
        return None
    right = read_table(run, VALIDATION_RIGHT).to_numpy(dtype=np.float64).T
    answers = read_predictions(run, "val")
    by_alpha = {
        float(alpha): right[(records["alpha"] == alpha).to_numpy()] for alpha in sorted(records["alpha"].unique())
    }
    return SweepValidation(by_alpha, locations_of(answers, find_locations(answers.ids, None, store)))


def _model_of_file(answers: VariantAnswers) -> VariantAnswers:
    """The answers of a file under the study's name for its model, if it is one of the study's."""
    name = answers.name
    if late := LATE.fullmatch(name):
        if late["alpha"] is None:
            remarks = "the file does not say which alpha"
            return replace(answers, name="late", title="late fusion", remarks=remarks)
        if float(late["alpha"]) == published.ALPHA:
            name = "late"
    name = "early" if name == "early_fusion" else name
    remarks = "" if name in STUDY_MODELS else "not a model of the study"
    return replace(answers, name=name, title=STUDY_MODELS.get(name, name), remarks=remarks)
