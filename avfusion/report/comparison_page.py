"""A comparison as one page for people."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from avfusion.analysis.pairs import Verdict
from avfusion.analysis.trained import Robustness
from avfusion.analysis.variant_answers import SCORES, SideBySide
from avfusion.figures import forest_plot
from avfusion.report.calibration_and_robustness import calibration_section, robustness_section
from avfusion.report.document import Cell, Document, Picture, Section, Table, blank, label, ours, signed

HEADLINE = {"accuracy": "accuracy", "log_loss": "log loss"}
"""The scores that the forest plot and the verdicts are about, and their names for people."""

KEPT = "\N{NO-BREAK SPACE}"
"""Keeps what belongs together on one line of a table."""

INTERVALS = (
    "Clips of one location are cut from one recording, so locations are resampled, not clips, within their class. Two "
    "95 % intervals: jackknife (one location left out at a time, Student's t) and bootstrap (locations drawn with "
    "replacement, studentised)."
)
READING = (
    INTERVALS,
    "A pair is called better or worse where the p-value of the jackknife, after Holm's correction over all pairs of a "
    "score, is below 0.05: with no true difference anywhere, about one page in twenty calls one at most. Otherwise "
    "these clips cannot tell: that is no proof that the two are equal. An interval alone is not corrected for the "
    "number of pairs, so it may leave out zero where the verdict is cannot tell.",
    "McNemar's test stands beside because it is customary. It takes every clip for independent; with clips of one "
    "location alike, its p-values are far too small.",
    "Where a variant was trained with several seeds, its score is the mean over them, and the error of that mean is "
    "part of the intervals and verdicts. With one seed they are about the trained models, not about training again.",
)

Tables = Mapping[str, pd.DataFrame]
"""Those of a comparison: scores, pairs and mcnemar (of `avfusion.analysis.pairs`) and calibration."""


def build_page(found: SideBySide, tables: Tables, robustness: Robustness) -> Document:
    """The page of a comparison of the variants in `found`."""
    origin = found.clip_locations.origin if found.clip_locations else "nowhere"
    subtitle = (
        f"{len(found.variants)} variants from {found.source} on {len(found.first)} test clips at "
        f"{len(found.locations)} locations (from {origin})."
    )
    sections = (
        _verdicts_section(tables, found.note),
        _scores_section(tables["scores"]),
        calibration_section(tables["calibration"], found),
        robustness_section(robustness, found.note),
        _details_section(tables),
        Section("How to read this", READING + found.remarks),
    )
    caution = (
        f"{found.note.capitalize()}: these scores say nothing about real scenes and trained features."
        if found.note
        else ""
    )
    return Document("Is this variant really better?", subtitle, caution, sections)


def verdicts_in_words(pairs: pd.DataFrame) -> dict[str, list[str]]:
    """For each headline score, by its name: what is said of each pair, first of those that can be told apart."""
    return {name: _verdicts(_of_score(pairs, score)) for score, name in HEADLINE.items()}


def _verdicts(pairs: list[dict[Hashable, Any]]) -> list[str]:
    told, untold = [], []
    for row in pairs:
        if row["verdict"] == Verdict.OPEN:
            untold.append(f"{row['first']} and {row['second']}")
            continue
        near, far = sorted((abs(row["jackknife_low"]), abs(row["jackknife_high"])))
        told.append(
            f"{row['first']} is {row['verdict']} than {row['second']} by {abs(row['difference']):.3f} "
            f"({near:.3f} to {far:.3f})"
        )
    return [*told, *([f"these clips cannot tell apart {', '.join(untold)}"] if untold else [])]


def _verdicts_section(tables: Tables, note: str | None) -> Section:
    pairs, rows = tables["pairs"], []
    headline = [_of_score(pairs, score) for score in HEADLINE]
    for accuracy, loss, mcnemar in zip(*headline, tables["mcnemar"].to_dict("records"), strict=True):
        cells = [_pair(accuracy)]
        for row in (accuracy, loss):
            cells += [ours(_signed(row["difference"])), _p_value(row["p_holm"]), _verdict(row)]
        rows.append((*cells, _p_value(mcnemar["p_holm"])))
    head = ("difference", "p", "verdict")
    notes = (
        "First minus second; a lower log loss is better. p: of the jackknife over locations, with Holm's correction. "
        "The intervals stand in Figure A and Tables E1 to E4.",
        "McNemar takes clips for independent and is no basis for a verdict.",
    )
    table = Table(
        "Table A", "every pair, and what these clips say of the first", ("pair", *head, *head, "p"), tuple(rows), notes,
        (("", 1), ("accuracy", 3), ("log loss", 3), ("McNemar", 1)),
    )  # fmt: skip
    ends = {"jackknife_low": "low", "jackknife_high": "high"}
    panels = {name: pairs[pairs["score"] == score].rename(columns=ends) for score, name in HEADLINE.items()}
    figure = Picture(
        "Figure A", "differences between variants, first minus second, with 95 % jackknife intervals over locations; "
        "colours are verdicts after Holm's correction",
        forest_plot(panels, "Differences between variants, 95 % intervals over locations", note=note),
    )  # fmt: skip
    words = [f"{name.capitalize()}: {'; '.join(found)}." for name, found in verdicts_in_words(pairs).items()]
    return Section("Verdicts", (*words, figure, table))


def _scores_section(scores: pd.DataFrame) -> Section:
    rows = []
    for row in scores.to_dict("records"):
        spread = blank() if row["seeds"] == 1 else ours(float(row["seed_std"]))
        cells = (ours(float(row["value"])), spread, _interval(row, "jackknife"), _interval(row, "bootstrap"))
        rows.append((label(row["variant"]), Cell(row["score"].replace("_", " "), "fact"), *cells))
    seeds = scores.groupby("variant", sort=False)["seeds"].first()
    known = np.isfinite(scores[["bootstrap_low", "bootstrap_high"]].to_numpy(dtype=np.float64)).all()
    few = () if known else ("Not known: there are too few locations in a class to draw them anew.",)
    trained = ", ".join(f"{name} {count}" for name, count in seeds.items())
    table = Table(
        "Table B",
        "scores on the test clips",
        ("variant", "score", "value", "spread over seeds", "jackknife", "bootstrap"),
        tuple(rows),
        (f"95 % intervals over locations. class: averaged over the classes. Log loss in nats. Seeds: {trained}.", *few),
    )
    return Section("Scores", (table,))


def _details_section(tables: Tables) -> Section:
    differences = [_pairs_table(tables["pairs"], score, f"Table E{n}") for n, score in enumerate(SCORES, start=1)]
    counts = tuple(
        (
            _pair(row),
            ours(str(row["only_first_right"])),
            ours(str(row["only_second_right"])),
            _p_value(row["p_value"]),
            _p_value(row["p_holm"]),
        )
        for row in tables["mcnemar"].to_dict("records")
    )
    head = ("pair", "only first right (clips)", "only second right (clips)", "p", "p (Holm)")
    mcnemar = Table("Table F", "McNemar's test, of the first seed of each variant", head, counts)
    return Section("All differences", (*differences, mcnemar))


def _pairs_table(pairs: pd.DataFrame, score: str, key: str) -> Table:
    rows = tuple(
        (
            _pair(row),
            ours(_signed(row["difference"])),
            _interval(row, "jackknife"),
            _interval(row, "bootstrap"),
            _p_value(row["p_value"]),
            _p_value(row["p_holm"]),
            _verdict(row),
        )
        for row in _of_score(pairs, score)
    )
    head = ("pair", "difference", "jackknife", "bootstrap", "p", "p (Holm)", "verdict")
    return Table(key, f"every pair in {score.replace('_', ' ')}, with both 95 % intervals", head, rows)


def _of_score(pairs: pd.DataFrame, score: str) -> list[dict[Hashable, Any]]:
    """The pairs in one score, row by row."""
    return pairs[pairs["score"] == score].to_dict("records")


def _pair(row: Mapping[Hashable, Any]) -> Cell:
    return label(f"{row['first']} − {row['second']}")


def _verdict(row: Mapping[Hashable, Any]) -> Cell:
    return ours(str(row["verdict"]).replace(" ", KEPT))


def _signed(value: float) -> str:
    return signed(value) if np.isfinite(value) else "not known"


def _interval(row: Mapping[Hashable, Any], method: str) -> Cell:
    low, high = float(row[f"{method}_low"]), float(row[f"{method}_high"])
    if not np.isfinite(low + high):
        return ours("not known")
    form = _signed if "difference" in row else "{:.3f}".format
    return ours(f"{form(low)} to {form(high)}".replace(" ", KEPT))


def _p_value(value: float) -> Cell:
    return blank() if pd.isna(value) else ours(f"<{KEPT}0.001" if value < 0.001 else f"{value:.3f}")
