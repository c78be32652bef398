"""Finds variants with their answers: in MLflow runs, and in prediction files.

Of an experiment, runs on the features of its newest run and in as many folds stand side by side, and of each variant
the newest run.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from avfusion.analysis.locations import find_locations, need_locations
from avfusion.analysis.variant_answers import SideBySide, VariantAnswers, on_shared_clips
from avfusion.errors import UserError
from avfusion.features import FeatureStore
from avfusion.fusion import variants
from avfusion.scoring.folders import VALIDATION, file_of_model, read_folder
from avfusion.scoring.tsv import read_course_tsv
from avfusion.system.names import escaped
from avfusion.tracking.lookup import (
    NO_FOLDS,
    LoggedRun,
    experiment_of,
    find_experiment,
    find_run,
    finished_runs,
    matching_ids,
    read_config,
    read_predictions,
    seed_runs,
)
from avfusion.training.experiment import changed_params


def in_folder(folder: Path) -> list[VariantAnswers]:
    """Every model in `folder` (see `read_folder`); those of the same names in its folder val are validation answers.

    Raises `UserError` for what cannot be read.
    """
    held_out = read_folder(folder / VALIDATION) if (folder / VALIDATION).is_dir() else {}
    return [
        VariantAnswers(name, origin, (answers,), (held_out[name].predictions,) if name in held_out else (), title=name)
        for name, (origin, answers) in read_folder(folder).items()
    ]


def in_run(run: LoggedRun, name: str | None = None, *, first_only: bool = False) -> VariantAnswers:
    """What a run of a variant, or its seeds' runs, answered; under the variant's id unless another name is given.

    With `first_only` those of the first seed alone, on the test clips alone. Raises `UserError` for a run that lacks
    any of it.
    """
    runs = seed_runs(run)
    seeds = runs[:1] if first_only else runs
    known = variants().get(run.variant)
    return VariantAnswers(
        name=name or run.variant,
        origin=run.title + (f", first of {len(runs)} seeds" if len(runs) > len(seeds) else ""),
        seeds=tuple(read_predictions(seed, "test") for seed in seeds),
        validation=() if first_only or run.folds != NO_FOLDS else tuple(read_predictions(one, "val") for one in seeds),
        title=known.title if known else run.variant,
        remarks=", ".join(
            f"{param} = {value} (default {default})"
            for param, (value, default) in changed_params(seeds[0].variant, seeds[0].params).items()
        ),
        experiment=experiment_of(run),
        run_id=run.id,
        first_seed_id=seeds[0].id,
        config=read_config(seeds[0]),
    )


def in_file_or_run(text: str, name: str) -> VariantAnswers:
    """The test answers of a prediction file, of a model's folder with one, or of the run of this id, called `name`.

    Those of a run are of its first seed. Raises `UserError` for what cannot be read.
    """
    path = Path(text)
    if path.is_dir() or path.is_file() or path.suffix in (".tsv", ".csv"):
        path = file_of_model(path) if path.is_dir() else path
        shown = escaped(str(path))
        return VariantAnswers(name, shown, (read_course_tsv(path, shown=shown),))
    return in_run(find_run(text), name, first_only=True)


def runs_of_experiment(experiment: str, filter_: str | None = None) -> tuple[str, list[LoggedRun], list[str]]:
    """The experiment's name, its finished runs of variants that can stand beside the newest, and what was left out.

    Those are on the same features and in as many folds. The newest come first. `filter_` is of MLflow. Raises
    `UserError` for an unknown experiment or a filter that MLflow does not understand.
    """
    identity, name = find_experiment(experiment)
    runs = [run for run in finished_runs(identity, "variant") if run.parent is None]
    if filter_ is not None:
        matching = matching_ids(identity, filter_)
        runs = [run for run in runs if run.id in matching]
    on_same = [run for run in runs if run.features == runs[0].features]
    same = [run for run in on_same if run.folds == runs[0].folds]
    remarks = []
    if others := len(runs) - len(on_same):
        remarks.append(f"Left out: {others} run(s) on other features than those of the newest.")
    if others := len(on_same) - len(same):
        remarks.append(f"Left out: {others} run(s) in other folds than the newest (folds={same[0].folds}).")
    return name, same, remarks


def newest_of_each(runs: Sequence[LoggedRun], wanted: Callable[[LoggedRun], bool] = lambda _: True) -> list[LoggedRun]:
    """Of `runs`, the newest first, those that are `wanted`, and of each variant the newest; the oldest comes first."""
    return list({run.variant: run for run in reversed(runs) if wanted(run)}.values())


def open_store(features: Mapping[str, Any]) -> FeatureStore | None:
    """The feature store that a run was trained on, if it is still there unchanged.

    `features` has its path and digest, as the run's configuration gives them.
    """
    try:
        store = FeatureStore.open(Path(features["path"]))
    except UserError:
        return None
    return store if store.digest == features["digest"] else None


def compared_folder(folder: Path, locations: Path | None) -> SideBySide:
    """Every model in `folder` beside the others, for a comparison.

    `locations` is a CSV, or None if the clips are named as TAU's. Raises `UserError` for what cannot be used.
    """
    found, remarks = on_shared_clips(in_folder(folder))
    notes = [note for variant in found for note in variant.answers.notes]
    return _side_by_side(found, f"the prediction files in {folder.resolve().name}", locations, [*remarks, *notes])


def compared_runs(ids: Sequence[str], locations: Path | None) -> SideBySide:
    """The runs of these ids beside each other, for a comparison; `locations` is a CSV, or None for where they say."""
    given = list(dict.fromkeys(ids))
    return _runs_side_by_side([find_run(run_id) for run_id in given], f"{len(given)} MLflow runs", locations, [])


def compared_experiment(experiment: str, filter_: str | None, locations: Path | None) -> SideBySide:
    """The runs of an experiment beside each other, for a comparison: the newest of each variant, or all by `filter_`.

    All are of one feature store, that of the newest run; others are left out, which is said. Raises `UserError` for an
    unknown experiment, a filter that MLflow does not understand, and where fewer than two runs are left.
    """
    name, runs, remarks = runs_of_experiment(experiment, filter_)
    chosen = newest_of_each(runs) if filter_ is None else runs[::-1]
    if older := len(runs) - len(chosen):
        remarks.append(f"Left out: {older} older run(s) of the same variants; choose with filter or runs.")
    source = f"the MLflow experiment {name}" + ("" if filter_ is None else f", filter {filter_}")
    if len(chosen) < 2:
        raise UserError(
            f"{source} has {len(chosen)} finished run(s) of variants to compare; two are needed: train more"
        )
    return _runs_side_by_side(chosen, source, locations, remarks)


def _runs_side_by_side(
    runs: Sequence[LoggedRun], source: str, locations: Path | None, remarks: list[str]
) -> SideBySide:
    read = [in_run(run, name) for name, run in _named(runs).items()]
    changed = [f"{one.name} is {one.origin}, trained with {one.remarks}." for one in read if one.remarks]
    if len({run.folds for run in runs}) > 1:
        folds = ", ".join(f"{name} folds={run.folds}" for name, run in _named(runs).items())
        changed.append(f"Trained on different parts of the clips: {folds}.")
    found, missing = on_shared_clips(read)
    return _side_by_side(found, source, locations, [*remarks, *changed, *missing])


def _side_by_side(
    found: Sequence[VariantAnswers], source: str, locations: Path | None, remarks: Sequence[str]
) -> SideBySide:
    features = found[0].config.get("features")
    store = open_store(features) if features else None
    clip_locations = need_locations(find_locations(found[0].answers.ids, locations, store))
    return SideBySide(tuple(found), source, clip_locations, tuple(remarks), store)


def _named(runs: Sequence[LoggedRun]) -> dict[str, LoggedRun]:
    """The runs under the id of their variant; where several have one, with what they differ in, else the run's id."""
    ids = [run.variant or run.name for run in runs]
    named: dict[str, LoggedRun] = {}
    for variant, run in zip(ids, runs, strict=True):
        rivals = [other for name, other in zip(ids, runs, strict=True) if name == variant]
        differing = sorted(
            key for key, value in run.params.items() if len({other.params.get(key) for other in rivals}) > 1
        )
        name = " ".join([variant, *(f"{key}={run.params[key]}" for key in differing)])
        named[name if name not in named else f"{name} {run.id[:8]}"] = run
    return named
