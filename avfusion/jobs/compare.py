"""The job `compare`: is this variant really better, and how far can it be trusted?"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from avfusion.analysis.calibration import calibration_table
from avfusion.analysis.pairs import mcnemar_table, pair_table, score_table
from avfusion.analysis.robustness import choose_shifts
from avfusion.analysis.sources import compared_experiment, compared_folder, compared_runs
from avfusion.analysis.trained import Robustness, candidates_of, robustness_of
from avfusion.analysis.variant_answers import SideBySide
from avfusion.errors import UserError
from avfusion.jobs.promotion import check_promotable, promote_best
from avfusion.report.cautions import THESE_ONLY, cautions
from avfusion.report.comparison_page import HEADLINE, build_page, verdicts_in_words
from avfusion.report.writing import PICTURES, write_report
from avfusion.system.device import choose_device
from avfusion.system.names import metric_name
from avfusion.tracking.artifacts import log_table
from avfusion.tracking.runs import job_run, log_asked, log_batch, log_file, log_folder, set_tags
from avfusion.tracking.session import connect, ui_lines

OUTPUT = Path("runs/compare")
"""Folder of the page unless another is named."""


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
    _check_sources(given, promote)
    folder = output or OUTPUT
    connect()
    found = _find(experiment, filter, runs, predictions, locations)
    candidates = candidates_of(found) if promote else []
    if candidates:
        check_promotable(candidates)  # one without a model is told of before the work, not after it
    tables = {
        "scores": score_table(found.variants, found.locations),
        "pairs": pair_table(found.variants, found.locations),
        "mcnemar": mcnemar_table(found.variants),
        "calibration": calibration_table(found.variants),
    }
    robustness = robustness_of(found, chosen, cities or (), locations, target)
    page, text = write_report(build_page(found, tables, robustness), folder)
    with job_run("compare") as run:
        # Under other names than those of the options: `mlflow run` has logged these, quoted for the shell.
        log_asked({**given, "locations": locations, "shifts": shifts, "cities": cities, "promote": promote})
        _log(found, tables, robustness, folder, (page, text))
        promoted = promote_best(candidates) if candidates else []
        ui = ui_lines(run.info.experiment_id)
    files = [f"page     {page.resolve()}", f"         {text.resolve()}", *(f"compare  {line}" for line in ui)]
    return [*_lines(found, tables), "", *files, *promoted]


def _check_sources(given: Mapping[str, object], promote: bool) -> None:
    """Raises `UserError` unless exactly one source of answers is `given`, and one with models if any is promoted."""
    sources = [name for name in ("experiment", "runs", "predictions") if given[name]]
    if len(sources) != 1:
        found = " and ".join(sources) or "none of them"
        raise UserError(
            f"compare needs one of experiment, runs and predictions, got {found}: give experiment=NAME (with filter), "
            "runs=ID,ID or predictions=FOLDER"
        )
    if given["filter"] and sources != ["experiment"]:
        raise UserError(f"filter={given['filter']}: a filter needs an experiment; give experiment=NAME")
    if promote and given["predictions"]:
        raise UserError(
            f"promote=true: predictions={given['predictions']} is a folder of files, which hold no model; compare "
            "MLflow runs with experiment=NAME or runs=ID,ID"
        )


def _find(
    experiment: str | None,
    filter_: str | None,
    runs: tuple[str, ...] | None,
    predictions: Path | None,
    locations: Path | None,
) -> SideBySide:
    if predictions:
        return compared_folder(predictions, locations)
    return compared_runs(runs, locations) if runs else compared_experiment(str(experiment), filter_, locations)


def _log(
    found: SideBySide, tables: Mapping[str, pd.DataFrame], robustness: Robustness, folder: Path, pages: tuple[Path, ...]
) -> None:
    """Numbers, tables and pages into the active run; `folder` is that of the pages."""
    counts = {"clips": len(found.first), "independent_locations": len(found.locations)}
    log_batch(counts, _metrics(tables))
    more = {"robustness": robustness.shifts, "held_out_cities": robustness.cities}
    for name, table in {**tables, **more}.items():
        if table is not None:
            log_table(table, name)
    for page in pages:
        log_file(page)
    log_folder(folder / PICTURES, PICTURES)
    about = THESE_ONLY if (tables["pairs"]["seeds"] == 1).any() else "variants"
    set_tags({"mlflow.note.content": _note(found, tables), "verdicts_about": about})


def _metrics(tables: Mapping[str, pd.DataFrame]) -> dict[str, float]:
    scores = [(row["score"], row["variant"], row["value"]) for row in tables["scores"].to_dict("records")]
    calibration = [("ece", row["variant"], row["ece"]) for row in tables["calibration"].to_dict("records")]
    return {f"{score}/{metric_name(variant)}": float(value) for score, variant, value in [*scores, *calibration]}


def _with_interval(value: float, low: float, high: float) -> str:
    return f"{value:.3f} " + (f"[{low:.3f}, {high:.3f}]" if np.isfinite(high - low) else "[not known]")


def _note(found: SideBySide, tables: Mapping[str, pd.DataFrame]) -> str:
    """The verdicts and what they are about, as Markdown for the run's page."""
    verdicts = verdicts_in_words(tables["pairs"])
    said = [f"- {name}: {text}" for name, texts in verdicts.items() for text in texts]
    return "\n".join([*said, "", *cautions(found)])


def _lines(found: SideBySide, tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """Scores with intervals, verdicts, calibration; what is invariant is said by the page."""
    counts = f"{len(found.first)} test clips at {len(found.locations)} locations"
    lines = ["", f"{counts}; 95 % intervals", ""]
    for variant in found.variants:
        rows = tables["scores"][tables["scores"]["variant"] == variant.name].set_index("score")
        known = rows[["value", "low", "high"]].astype(float).T.to_dict("list")
        parts = (f"{title} {_with_interval(*known[score])}" for score, title in HEADLINE.items())
        lines.append(f"{variant.name:18} {'  '.join(parts)}")
    verdicts = verdicts_in_words(tables["pairs"])
    lines += ["", *(f"{name.capitalize()}: {text}." for name, texts in verdicts.items() for text in texts)]
    lines += ["", *cautions(found)]
    calibration = tables["calibration"].drop(columns=["log_loss"])
    columns = calibration.columns[calibration.notna().any()]
    lines += ["", calibration[columns].to_string(index=False, float_format=lambda value: f"{value:.3f}")]
    remarks = [f"note     {remark}" for remark in found.remarks]
    return [*lines, *(["", *remarks] if remarks else [])]
