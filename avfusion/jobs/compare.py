"""The job `compare`: is this variant really better, and how far can it be trusted?"""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch
from tqdm import tqdm

from avfusion.analysis.candidates import candidates_of
from avfusion.analysis.entries import Entries, entries_of_folder, find_places
from avfusion.analysis.from_runs import entries_of_experiment, entries_of_runs
from avfusion.analysis.held_out_cities import choose_cities, held_out, without_city
from avfusion.analysis.results import HEADLINE, Results, Robustness, results_of
from avfusion.analysis.robustness import choose_shifts, robustness
from avfusion.analysis.trained import TrainedVariants, differing_clean_scores, trained_variants
from avfusion.errors import UserError
from avfusion.jobs.options import read_output, read_truth
from avfusion.jobs.promotion import check_promotable, promote_best
from avfusion.report.comparison_page import build_page, in_words
from avfusion.report.writing import PICTURES, write_report
from avfusion.system.device import choose_device
from avfusion.system.names import metric_name
from avfusion.tracking.artifacts import log_table
from avfusion.tracking.runs import job_run, log_asked, log_batch, log_file, log_folder
from avfusion.tracking.session import connect, ui_lines
from avfusion.training.precision import check_precision

NO_SHIFTS = "not asked for: shifts=none"
NO_CITIES = "not asked for; cities=all trains every variant again without each city"

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
    choose_shifts(shifts)
    target = choose_device(device)
    given = {"experiment": experiment, "filter": filter, "runs": runs, "predictions": predictions}
    _check_one_source(given)
    promoting = _promoting(promote, predictions)
    folder = read_output(str(OUTPUT) if output == "none" else output)
    connect()
    entries = _entries(experiment, filter, runs, predictions, locations)
    candidates = candidates_of(entries) if promoting else []
    if candidates:
        check_promotable(candidates)  # one without a model is told of before the work, not after it
    results = results_of(entries, robustness_of(entries, shifts, cities, locations, target))
    page, text = write_report(build_page(results), folder)
    with job_run("compare") as run:
        # Under other names than those of the options: `mlflow run` has logged these, quoted for the shell.
        asked = {**given, "locations": locations, "shifts": shifts, "cities": cities, "promote": promote}
        counts = {"clips": results.n_clips, "independent_locations": results.n_locations}
        log_asked(asked)
        log_batch(counts, _metrics(results))
        for name, table in _tables(results).items():
            log_table(table, name)
        log_file(page)
        log_file(text)
        log_folder(folder / PICTURES, PICTURES)
        promoted = promote_best(candidates) if candidates else []
        ui = ui_lines(run.info.experiment_id)
    files = [f"page     {page.resolve()}", f"         {text.resolve()}", *(f"compare  {line}" for line in ui)]
    return [*_lines(results), "", *files, *promoted]


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


def _entries(experiment: str, filter_: str, runs: str, predictions: str, locations: str) -> Entries:
    if predictions != "none":
        return entries_of_folder(Path(predictions), locations)
    return entries_of_runs(runs, locations) if runs != "none" else entries_of_experiment(experiment, filter_, locations)


def robustness_of(entries: Entries, shifts: str, cities: str, locations: str, device: torch.device) -> Robustness:
    """Curves and cities as far as they are asked for and can be had, else why not."""
    chosen = choose_shifts(shifts)
    not_asked = Robustness(no_shifts=NO_SHIFTS, no_cities=NO_CITIES)
    if not chosen and cities == "none":
        return not_asked
    try:
        trained = trained_variants(entries)
    except UserError as error:
        if cities != "none":
            raise UserError(f"cities={cities}: {error}") from error
        return Robustness(no_shifts=str(error), no_cities=str(error))
    found = not_asked
    if chosen:
        curves = robustness(trained.classifiers(device), trained.task, chosen)
        found = replace(found, shifts=curves, remarks=_remarks(entries, curves))
    return _with_cities(found, entries, trained, cities, locations, device) if cities != "none" else found


def _remarks(entries: Entries, curves: pd.DataFrame) -> tuple[str, ...]:
    clean = curves[curves["severity"] == 0].groupby("variant")["accuracy"].first().to_dict()
    differing = differing_clean_scores(entries, {str(name): float(value) for name, value in clean.items()})
    if not differing:
        return ()
    return (f"Without any shift these do not repeat the accuracy of their runs: {', '.join(differing)}.",)


def _with_cities(
    found: Robustness, entries: Entries, trained: TrainedVariants, cities: str, locations: str, device: torch.device
) -> Robustness:
    clips = tuple(map(str, trained.task.store.clips["id"]))
    chosen = choose_cities(cities, entries.places.cities)
    known = find_places(locations, clips).cities or {}
    if missing := [clip for clip in clips if clip not in known]:
        raise UserError(
            f"cities={cities}: no city of {len(missing)} clips of the feature store, for instance {missing[0]!r}; "
            "locations must list the training clips too"
        )
    tasks, remarks = {}, list(found.remarks)
    for city in chosen:
        try:
            tasks[city] = without_city(trained.task, known, city)
        except UserError as error:
            remarks.append(f"Cannot be left out: {error}.")
    if not tasks:
        return replace(found, no_cities="; ".join(remarks))
    check_precision([(recipe.variant, recipe.params) for recipe in trained.recipes.values()], device)
    clean = {contender.name: contender.seeds[0] for contender in entries.contenders}
    rows = held_out(tasks, trained.recipes, clean, device)
    table = pd.DataFrame(tqdm(rows, total=len(tasks) * len(trained.recipes), desc="held-out cities", unit="training"))
    return replace(found, cities=table, remarks=tuple(remarks))


def _metrics(results: Results) -> dict[str, float]:
    scores = [(row["score"], row["variant"], row["value"]) for row in results.scores.to_dict("records")]
    calibration = [("ece", row["variant"], row["ece"]) for row in results.calibration.to_dict("records")]
    return {f"{score}/{metric_name(variant)}": float(value) for score, variant, value in [*scores, *calibration]}


def _tables(results: Results) -> dict[str, pd.DataFrame]:
    tables = {
        "scores": results.scores,
        "pairs": results.pairs,
        "mcnemar": results.mcnemar,
        "calibration": results.calibration,
        "robustness": results.robustness.shifts,
        "held_out_cities": results.robustness.cities,
    }
    return {name: table for name, table in tables.items() if table is not None}


def _lines(results: Results) -> list[str]:
    """Scores with intervals, verdicts, calibration; what is invariant is said by the page."""
    lines = ["", f"{results.n_clips} test clips at {results.n_locations} locations; 95 % intervals over locations", ""]
    for contender in results.entries.contenders:
        rows = results.scores[results.scores["variant"] == contender.name].set_index("score")
        numbers = rows[["value", "jackknife_low", "jackknife_high"]].astype(float).T.to_dict("list")
        parts = ("{} {:.3f} [{:.3f}, {:.3f}]".format(title, *numbers[score]) for score, title in HEADLINE.items())
        lines.append(f"{contender.name:18} {'  '.join(parts)}")
    calibration = results.calibration.drop(columns=["log_loss"])
    columns = calibration.columns[calibration.notna().any()]
    table = calibration[columns].to_string(index=False, float_format=lambda value: f"{value:.3f}")
    remarks = [f"note     {remark}" for remark in results.entries.remarks]
    return [*lines, "", *in_words(results), "", table, *(["", *remarks] if remarks else [])]
