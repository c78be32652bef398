"""The job `compare`: is this variant really better, and how far can it be trusted?"""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from avfusion.analysis.calibration import calibration_table
from avfusion.analysis.pairs import mcnemar_table, pair_table, score_table
from avfusion.analysis.robustness import choose_shifts
from avfusion.analysis.trained import Robustness, candidates_of, robustness_of
from avfusion.analysis.variant_answers import SideBySide
from avfusion.errors import UserError
from avfusion.jobs.pages import log_page
from avfusion.jobs.promotion import check_promotable, promote_best
from avfusion.jobs.sources import check_sources, find_side_by_side
from avfusion.jobs.text_tables import text_table
from avfusion.jobs.verdicts import score_lines, verdict_lines, verdict_note
from avfusion.report.cautions import THESE_ONLY, cautions
from avfusion.report.comparison_page import build_page
from avfusion.report.writing import write_report
from avfusion.system.device import choose_device
from avfusion.system.names import metric_name
from avfusion.tracking.artifacts import log_table
from avfusion.tracking.runs import job_run, log_asked, log_batch, set_tags
from avfusion.tracking.session import connect
from avfusion.tracking.views import PAGES, view_lines

OUTPUT = Path("runs/compare")
"""Folder of the page unless another is named."""

SHORT = {"calibration": "calibr", "temperature": "temp", "log_loss_scaled": "loss_scaled"}
DROPPED = ("val_log_loss", "val_log_loss_scaled", "brier")
"""Of the table of calibration: short names, and columns that a narrow terminal can do without."""


def compare_job(
    *,
    experiment: str | None,
    filter: str | None,
    runs: tuple[str, ...] | None,
    predictions: Path | None,
    locations: Path | None,
    shifts: tuple[str, ...] | None,
    cities: tuple[str, ...] | None,
    output: Path | None,
    device: str,
    promote: bool,
) -> list[str]:
    """Compare variants on the same test clips, and write a page with what can and cannot be told apart.

    Args:
        experiment: name or id of an MLflow experiment whose newest runs are compared, or
        runs: ids of the runs to compare, or
        predictions: a folder of prediction files; exactly one of the three is needed.
        filter: MLflow filter that chooses among the runs of `experiment`.
        locations: CSV with a column location, one line per clip; None takes them from the features or the clips' names.
        shifts: ids of the spoilt inputs to try, or `all` alone; None tries none.
        cities: cities to train without, one at a time, or `all` alone; None trains nothing.
        output: folder of the page; None is `OUTPUT`.
        device: `auto`, `cpu` or `cuda`.
        promote: whether the best run on validation clips becomes the champion of the registry.

    Returns the lines to show. Raises `UserError` for anything that cannot be used.
    """
    chosen = choose_shifts(shifts or ())
    target = choose_device(device)
    given = {"experiment": experiment, "filter": filter, "runs": runs, "predictions": predictions}
    check_sources("compare", given)
    if promote and predictions:
        raise UserError(
            f"promote=true: predictions={predictions} is a folder of files, which hold no model; compare MLflow runs "
            "with experiment=NAME or runs=ID,ID"
        )
    folder = output or OUTPUT
    connect()
    found = find_side_by_side(experiment, filter, runs, predictions, locations)
    candidates = candidates_of(found) if promote else []
    if candidates:
        check_promotable(candidates)  # one without a model is told of before the work, not after it
    tables = _tables(found)
    robustness = robustness_of(found, chosen, cities or (), locations, target)
    page, text = write_report(build_page(found, tables, robustness), folder)
    with job_run("compare") as run:
        # Under other names than those of the options: `mlflow run` has logged these, quoted for the shell.
        log_asked({**given, "locations": locations, "shifts": shifts, "cities": cities, "promote": promote})
        _log(found, tables, robustness)
        log_page("compare", found, page, text, verdict_note(tables["pairs"], found))
        promoted = promote_best(candidates) if candidates else []
        ui = view_lines(run.info.experiment_id, PAGES)
    files = [f"page     {page.resolve()}", f"         {text.resolve()}"]
    return [*_lines(found, tables), "", *files, *promoted, *ui]


def _tables(found: SideBySide) -> dict[str, pd.DataFrame]:
    """What the comparison comes to, by the name of its artifact."""
    return {
        "scores": score_table(found.variants, found.locations),
        "pairs": pair_table(found.variants, found.locations),
        "mcnemar": mcnemar_table(found.variants),
        "calibration": calibration_table(found.variants),
    }


def _log(found: SideBySide, tables: Mapping[str, pd.DataFrame], robustness: Robustness) -> None:
    """Numbers and tables into the active run."""
    log_batch({"independent_locations": len(found.locations)}, _metrics(tables))
    more = {"robustness": robustness.shifts, "held_out_cities": robustness.cities}
    for name, table in {**tables, **more}.items():
        if table is not None:
            log_table(table, name)
    about = THESE_ONLY if (tables["pairs"]["seeds"] == 1).any() else "variants"
    set_tags({"verdicts_about": about})


def _metrics(tables: Mapping[str, pd.DataFrame]) -> dict[str, float]:
    scores = [(row["score"], row["variant"], row["value"]) for row in tables["scores"].to_dict("records")]
    calibration = [("ece", row["variant"], row["ece"]) for row in tables["calibration"].to_dict("records")]
    return {f"{score}/{metric_name(variant)}": float(value) for score, variant, value in [*scores, *calibration]}


def _lines(found: SideBySide, tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """Scores with intervals, verdicts, calibration; what is invariant is said by the page."""
    lines = ["", *score_lines(found, tables["scores"]), "", *verdict_lines(tables["pairs"])]
    lines += ["", *cautions(found)]
    calibration = tables["calibration"].drop(columns=["log_loss"])
    columns = calibration.columns[calibration.notna().any()]
    lines += ["", *text_table(calibration[columns], short=SHORT, dropped=DROPPED)]
    remarks = [f"note     {remark}" for remark in found.remarks]
    return [*lines, *(["", *remarks] if remarks else [])]
