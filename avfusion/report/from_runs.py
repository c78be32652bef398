"""The material of a report from an MLflow experiment: the newest finished run of each variant."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from avfusion.datasets.splits import assign_splits
from avfusion.errors import UserError
from avfusion.features import FeatureStore
from avfusion.features.provenance import dataset_in_words, note
from avfusion.fusion import variants
from avfusion.report import published
from avfusion.report.from_files import locations_by_name
from avfusion.report.material import STUDY_MODELS, Material, Model, Sweep, in_order, over_same_clips
from avfusion.tracking.lookup import (
    LoggedRun,
    find_experiment,
    finished_runs,
    read_config,
    read_curves,
    read_predictions,
    read_table,
    seed_runs,
)
from avfusion.training.experiment import changed_params

PLACE = "this experiment"


def material_of_experiment(name: str) -> Material:
    """What the experiment of this name or id holds: the newest run of each variant, and the newest alpha sweep.

    All are of one feature store, that of the newest run; runs on others are left out, which is said. Raises
    `UserError` if there is no such experiment or nothing in it that was trained.
    """
    experiment_id, experiment = find_experiment(name)
    tops = [run for run in finished_runs(experiment_id, "variant") if run.parent is None]
    sweeps = [run for run in finished_runs(experiment_id, "sweep") if run.parent is None]
    if not tops:
        raise UserError(f"experiment {experiment!r} has no finished run of a variant; train some first, with `train`")
    features = tops[0].features
    same = [run for run in tops if run.features == features]
    chosen, missing = newest(same)
    models, remarks = over_same_clips(in_order([_model(run) for run in chosen]))
    if n_others := len(tops) - len(same):
        remarks.append(f"Left out: {n_others} run(s) on other features than those of the newest.")
    sweep_run = next((run for run in sweeps if run.features == features), None)
    if sweeps and sweep_run is None:
        remarks.append("Left out: the alpha sweep, which is on other features than the newest run.")
    leaf = seed_runs(chosen[0])[0]
    config = read_config(leaf)
    provenance = config["features"]["provenance"]
    n_validation = len(read_predictions(leaf, "val"))
    store = _store(config["features"])
    first = next(iter(models.values()))
    return Material(
        source=f"the MLflow experiment {experiment}",
        place=PLACE,
        models=models,
        sweep=None if sweep_run is None else _sweep(sweep_run, first),
        facts=_facts(config["features"], store, n_validation),
        remarks=tuple(remarks),
        locations=_locations(first, store),
        synthetic=bool(provenance["dataset"]["synthetic"]),
        figure_note=note(provenance),
        n_validation=n_validation,
        missing=missing,
    )


def newest(runs: list[LoggedRun]) -> tuple[list[LoggedRun], dict[str, str]]:
    """The first run of each variant, given the newest first; late fusion only with the study's alpha.

    Also why a variant is missing although it has runs.
    """
    chosen: dict[str, LoggedRun] = {}
    missing: dict[str, str] = {}
    for run in runs:
        if run.variant == "late" and float(run.params.get("alpha", "nan")) != published.ALPHA:
            reason = f"not in {PLACE}: late fusion with alpha = {published.ALPHA:g} ({run.title} has another)"
            missing.setdefault("late", reason)
        else:
            chosen.setdefault(run.variant, run)
    return list(chosen.values()), {name: reason for name, reason in missing.items() if name not in chosen}


def _model(run: LoggedRun) -> Model:
    leaves = seed_runs(run)
    known = variants().get(run.variant)
    title = STUDY_MODELS.get(run.variant) or (known.title if known else run.variant)
    answers = tuple(read_predictions(leaf, "test") for leaf in leaves)
    return Model(run.variant, title, run.title, answers, changed_params(leaves[0].variant, leaves[0].params))


def _sweep(run: LoggedRun, first: Model) -> Sweep:
    model = Model("sweep", "alpha sweep", run.title, (read_predictions(run, "test"),))
    same, _ = over_same_clips([first, model])
    if "sweep" not in same:
        raise UserError(f"{run.title} is over other clips than {first.origin}; run `sweep` again")
    return Sweep(
        origin=run.title,
        records=read_table(run, "sweep"),
        best_alpha=float(run.tags["best_alpha"]),
        answers=same["sweep"].answers,
        history=read_curves(run, ("train_loss", "val_loss")),
    )


def _store(features: Mapping[str, Any]) -> FeatureStore | None:
    """The feature store that the runs were trained on, if it is still there."""
    try:
        store = FeatureStore.open(Path(features["path"]))
    except UserError:
        return None
    return store if store.digest == features["digest"] else None


def _facts(features: Mapping[str, Any], store: FeatureStore | None, n_validation: int) -> tuple[tuple[str, str], ...]:
    provenance = features["provenance"]
    embedder = provenance["embedder"]
    n_training = "not known: the feature store is no longer there"
    if store is not None:
        n_training = str(int((assign_splits(store.clips) == "train").sum()))
    shown = {key: value for key, value in embedder.items() if key not in ("name", "trained") and value is not None}
    details = ", ".join(f"{key} {str(value)[:12]}" for key, value in shown.items())
    return (
        ("dataset", dataset_in_words(provenance)),
        ("synthetic scenes", "yes" if provenance["dataset"]["synthetic"] else "no"),
        ("embedder", f"{embedder['name']}" + (f" ({details})" if details else "")),
        ("embedder trained?", "yes" if embedder["trained"] else "no: its weights are random"),
        ("features", f"{Path(features['path']).name}, digest {features['digest'][:12]}"),
        ("training clips", n_training),
        ("validation clips", str(n_validation)),
    )


def _locations(first: Model, store: FeatureStore | None) -> dict[str, str] | None:
    """The place of each test clip, from the feature store or else from TAU's way of naming."""
    if store is None:
        return locations_by_name(first.answers.ids)
    places = dict(zip(store.clips["id"], store.clips["location"], strict=True))
    return {clip: places[clip] for clip in first.answers.ids}
