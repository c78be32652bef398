"""The job `compare`: is this variant really better, and how far can it be trusted?"""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from avfusion.analysis.calibration import calibration_table
from avfusion.analysis.pairs import mcnemar_table, pair_table, score_table
from avfusion.analysis.robustness import choose_shifts
from avfusion.analysis.sources import compared_experiment, compared_folder, compared_runs
from avfusion.analysis.trained import candidates_of, robustness_of
from avfusion.analysis.variant_answers import SideBySide
from avfusion.errors import UserError
from avfusion.jobs.options import read_output, read_truth
from avfusion.jobs.promotion import check_promotable, promote_best
from avfusion.report.comparison_page import HEADLINE, build_page, verdicts_in_words
from avfusion.report.writing import PICTURES, write_report
from avfusion.system.device import choose_device
from avfusion.system.names import metric_name
from avfusion.tracking.artifacts import log_table
from avfusion.tracking.runs import job_run, log_asked, log_batch, log_file, log_folder
from avfusion.tracking.session import connect, ui_lines

OUTPUT = Path("runs/compare")
"""Folder of the page unless another is named."""


def compare_job(
    *,
    experiment: str,
    filter: str,
    runs: str,
    predictions: str,
    locations: str,
    shifts: str,
    cities: str,
    output: str,
    device: str,
    promote: str = "false",
) -> list[str]:
    """Compare variants on the same test clips; writes the page and returns what to tell people.

    Exactly one of `experiment` (with `filter`), `runs` and `predictions` says which; `promote=true` makes the best of
    the runs on validation clips the champion. Raises `UserError` for anything that cannot be used.
    """
    chosen = choose_shifts(shifts)
    target = choose_device(device)
    given = {"experiment": experiment, "filter": filter, "runs": runs, "predictions": predictions}
    _check_one_source(given)
    promoting = _promoting(promote, predictions)
    folder = read_output(str(OUTPUT) if output == "none" else output)
    connect()
    listed = None if locations == "none" else Path(locations)
    found = _find(experiment, filter, runs, predictions, listed)
    candidates = candidates_of(found) if promoting else []
    if candidates:
        check_promotable(candidates)  # one without a model is told of before the work, not after it
    tables = {
        "scores": score_table(found.variants, found.locations),
        "pairs": pair_table(found.variants, found.locations),
        "mcnemar": mcnemar_table(found.variants),
        "calibration": calibration_table(found.variants),
    }
    robustness = robustness_of(found, chosen, cities, listed, target)
    page, text = write_report(build_page(found, tables, robustness), folder)
    more = {"robustness": robustness.shifts, "held_out_cities": robustness.cities}
    with job_run("compare") as run:
        # Under other names than those of the options: `mlflow run` has logged these, quoted for the shell.
        asked = {**given, "locations": locations, "shifts": shifts, "cities": cities, "promote": promote}
        counts = {"clips": len(found.first), "independent_locations": len(found.locations)}
        log_asked(asked)
        log_batch(counts, _metrics(tables))
        for name, table in {**tables, **more}.items():
            if table is not None:
                log_table(table, name)
        log_file(page)
        log_file(text)
        log_folder(folder / PICTURES, PICTURES)
        promoted = promote_best(candidates) if candidates else []
        ui = ui_lines(run.info.experiment_id)
    files = [f"page     {page.resolve()}", f"         {text.resolve()}", *(f"compare  {line}" for line in ui)]
    return [*_lines(found, tables), "", *files, *promoted]


def _check_one_source(given: dict[str, str]) -> None:
    sources = [name for name in ("experiment", "runs", "predictions") if given[name] != "none"]
    if len(sources) != 1:
        found = " and ".join(sources) or "none of them"
        raise UserError(
            f"compare needs one of experiment, runs and predictions, got {found}: give experiment=NAME (with filter), "
            "runs=ID,ID or predictions=FOLDER"
        )
    if given["filter"] != "none" and sources != ["experiment"]:
        raise UserError(f"filter={given['filter']}: a filter needs an experiment; give experiment=NAME")


def _promoting(promote: str, predictions: str) -> bool:
    """Whether the best is to be promoted; `UserError` where there will be no model to promote."""
    promoting = read_truth("promote", promote)
    if promoting and predictions != "none":
        raise UserError(
            f"promote=true: predictions={predictions} is a folder of files, which hold no model; compare MLflow runs "
            "with experiment=NAME or runs=ID,ID"
        )
    return promoting


def _find(experiment: str, filter_: str, runs: str, predictions: str, locations: Path | None) -> SideBySide:
    if predictions != "none":
        return compared_folder(Path(predictions), locations)
    if runs != "none":
        return compared_runs([part.strip() for part in runs.split(",") if part.strip()], locations)
    return compared_experiment(experiment, None if filter_ == "none" else filter_, locations)


def _metrics(tables: Mapping[str, pd.DataFrame]) -> dict[str, float]:
    scores = [(row["score"], row["variant"], row["value"]) for row in tables["scores"].to_dict("records")]
    calibration = [("ece", row["variant"], row["ece"]) for row in tables["calibration"].to_dict("records")]
    return {f"{score}/{metric_name(variant)}": float(value) for score, variant, value in [*scores, *calibration]}


def _lines(found: SideBySide, tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """Scores with intervals, verdicts, calibration; what is invariant is said by the page."""
    counts = f"{len(found.first)} test clips at {len(found.locations)} locations"
    lines = ["", f"{counts}; 95 % intervals over locations", ""]
    for variant in found.variants:
        rows = tables["scores"][tables["scores"]["variant"] == variant.name].set_index("score")
        numbers = rows[["value", "jackknife_low", "jackknife_high"]].astype(float).T.to_dict("list")
        parts = ("{} {:.3f} [{:.3f}, {:.3f}]".format(title, *numbers[score]) for score, title in HEADLINE.items())
        lines.append(f"{variant.name:18} {'  '.join(parts)}")
    verdicts = verdicts_in_words(tables["pairs"])
    lines += ["", *(f"{name.capitalize()}: {text}." for name, texts in verdicts.items() for text in texts)]
    calibration = tables["calibration"].drop(columns=["log_loss"])
    columns = calibration.columns[calibration.notna().any()]
    lines += ["", calibration[columns].to_string(index=False, float_format=lambda value: f"{value:.3f}")]
    remarks = [f"note     {remark}" for remark in found.remarks]
    return [*lines, *(["", *remarks] if remarks else [])]
