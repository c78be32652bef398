"""What a comparison starts from, out of MLflow runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from avfusion.analysis.contenders import Contender, same_clips
from avfusion.analysis.entries import Entries, find_places
from avfusion.analysis.places import Places
from avfusion.errors import UserError
from avfusion.features import FeatureStore
from avfusion.features.provenance import note
from avfusion.tracking.lookup import (
    LoggedRun,
    find_experiment,
    find_run,
    finished_runs,
    matching_ids,
    read_config,
    read_predictions,
    seed_runs,
)
from avfusion.training.experiment import changed_params


def entries_of_runs(ids: str, locations: str) -> Entries:
    """The runs of these ids (with commas), each a contender."""
    given = list(dict.fromkeys(part.strip() for part in ids.split(",") if part.strip()))
    return _entries([find_run(run_id) for run_id in given], f"{len(given)} MLflow runs", locations, [])


def entries_of_experiment(experiment: str, filter_: str, locations: str) -> Entries:
    """The finished runs of variants in `experiment`: all that match the MLflow filter, or the newest of each variant.

    All are of one feature store, that of the newest run; others are left out, which is said. Raises `UserError` for an
    unknown experiment, a filter that MLflow does not understand, and where fewer than two runs are left.
    """
    identity, name = find_experiment(experiment)
    runs = [run for run in finished_runs(identity, "variant") if run.parent is None]
    if filter_ != "none":
        matching = matching_ids(identity, filter_)
        runs = [run for run in runs if run.id in matching]
    same = [run for run in runs if run.features == runs[0].features]
    remarks = []
    if len(same) < len(runs):
        remarks.append(f"Left out: {len(runs) - len(same)} run(s) on other features than those of the newest.")
    if filter_ == "none":
        newest = {run.variant: run for run in reversed(same)}
        if len(newest) < len(same):
            remarks.append(
                f"Left out: {len(same) - len(newest)} older run(s) of the same variants; choose with filter or runs."
            )
        same = list(newest.values())
    else:
        same.reverse()
    what = f"the MLflow experiment {name}" + (f", filter {filter_}" if filter_ != "none" else "")
    if len(same) < 2:
        raise UserError(f"{what} has {len(same)} finished run(s) of variants to compare; two are needed: train more")
    return _entries(same, what, locations, remarks)


def open_store(features: Mapping[str, Any]) -> FeatureStore | None:
    """The feature store that a run was trained on, if it is still there unchanged."""
    try:
        store = FeatureStore.open(Path(features["path"]))
    except UserError:
        return None
    return store if store.digest == features["digest"] else None


def _entries(runs: Sequence[LoggedRun], source: str, locations: str, remarks: list[str]) -> Entries:
    contenders, leaves, named, remarks = [], {}, _named(runs), list(remarks)
    for name, run in named.items():
        seeds = seed_runs(run)
        test, validation = (tuple(read_predictions(leaf, split) for leaf in seeds) for split in ("test", "val"))
        contenders.append(Contender(name, run.title, test, validation))
        leaves[name] = seeds[0].id
        if changed := changed_params(seeds[0].variant, seeds[0].params):
            remarks.append(f"{name} is {run.title}, trained with {changed}.")
    aligned, missing = same_clips(contenders)
    features = read_config(find_run(next(iter(leaves.values()))))["features"]
    clips = aligned[0].seeds[0].ids
    store = open_store(features)
    if locations == "none" and store is not None:
        places = _places_of_store(store, clips)
    else:
        places = find_places(locations, clips)
    return Entries(
        contenders=tuple(aligned),
        places=places,
        source=source,
        remarks=(*remarks, *missing),
        warning=note(features["provenance"]) or "",
        run_ids=leaves,
        model_runs={name: run.id for name, run in named.items()},
    )


def _named(runs: Sequence[LoggedRun]) -> dict[str, LoggedRun]:
    """The runs under the id of their variant; where several have one, with what they differ in, else the run's id."""
    variants = [run.variant or run.name for run in runs]
    named: dict[str, LoggedRun] = {}
    for variant, run in zip(variants, runs, strict=True):
        rivals = [other for name, other in zip(variants, runs, strict=True) if name == variant]
        differing = sorted(
            key for key, value in run.params.items() if len({other.params.get(key) for other in rivals}) > 1
        )
        name = " ".join([variant, *(f"{key}={run.params[key]}" for key in differing)])
        named[name if name not in named else f"{name} {run.id[:8]}"] = run
    return named


def _places_of_store(store: FeatureStore, clips: tuple[str, ...]) -> Places:
    columns = zip(store.clips["id"], store.clips["location"], strict=True)
    locations = {str(clip): str(location) for clip, location in columns}
    try:
        cities = find_places("none", clips).cities
    except UserError:
        cities = None
    return Places(locations, cities, "the feature store")
