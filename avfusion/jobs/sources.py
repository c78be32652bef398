"""Where the answers come from that `compare` and `ensemble` are given: an experiment, runs, or prediction files."""

from collections.abc import Mapping
from pathlib import Path

from avfusion.analysis.sources import compared_experiment, compared_folder, compared_runs
from avfusion.analysis.variant_answers import SideBySide
from avfusion.errors import UserError


def check_sources(job: str, given: Mapping[str, object]) -> None:
    """Raise `UserError` unless exactly one source of answers is among what the `job` was `given`."""
    sources = [name for name in ("experiment", "runs", "predictions") if given[name]]
    if len(sources) != 1:
        found = " and ".join(sources) or "none of them"
        raise UserError(
            f"{job} needs one of experiment, runs and predictions, got {found}: give experiment=NAME (with filter), "
            "runs=ID,ID or predictions=FOLDER"
        )
    if given["filter"] and sources != ["experiment"]:
        raise UserError(f"filter={given['filter']}: a filter needs an experiment; give experiment=NAME")


def find_side_by_side(
    experiment: str | None,
    filter_: str | None,
    runs: tuple[str, ...] | None,
    predictions: Path | None,
    locations: Path | None,
) -> SideBySide:
    """The variants with their answers in the source that was given; `UserError` as of `avfusion.analysis.sources`."""
    if predictions:
        return compared_folder(predictions, locations)
    return compared_runs(runs, locations) if runs else compared_experiment(str(experiment), filter_, locations)
