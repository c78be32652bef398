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
from avfusion.report.cautions import THESE_ONLY, cautions
from avfusion.report.certainty import p_in_words
from avfusion.report.document import Cell, Document, Picture, Section, Table, blank, fact, label, listed, ours, signed
from avfusion.report.measured import AT_RARE_LOCATIONS

HEADLINE = {"accuracy": "accuracy", "log_loss": "log loss"}
"""The scores that the forest plot and the verdicts are about, and their names for people."""

KEPT = "\N{NO-BREAK SPACE}"
"""Keeps what belongs together on one line of a table."""

READING = (
    "Clips of one location are cut from one recording, so locations are what is independent, not clips. The error of a "
    "difference is that of leaving out one location at a time (jackknife, within the class); where a variant was "
    "trained with several seeds, its score is the mean over them, and the variance of that mean is added. The 95 % "
    "interval and the p-value are Student's, with the degrees of freedom of Satterthwaite, or with fewer where "
    "locations drawn with replacement (the symmetric studentised bootstrap) show that a wider interval is needed.",
    "A pair is called better or worse where its p-value is below 0.05 after Holm's correction over all pairs and all "
    "four scores of this page: where single verdicts err no more often than they say, at most one page in twenty calls "
    "any difference that is none. Otherwise these clips cannot tell: that is no proof that the two are equal. An "
    "interval is that of one pair and one score alone, so it may leave out zero where the verdict is cannot tell.",
    "What remains: no method knows of what no test clip shows. Where one of two equal models collapses at rare "
    "locations and makes up for it elsewhere, of 100 comparisons up to "
    f"{listed([f'{false} with {clips}' for clips, false in AT_RARE_LOCATIONS.items()])} get a false verdict "
    "(simulated, see benchmarks/README.md).",
    "McNemar's test stands beside because it is customary. It takes every clip for independent; with clips of one "
    "location alike, its p-values are far too small.",
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
        _verdicts_section(found, tables),
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


def with_interval(value: float, low: float, high: float) -> str:
    """A score and its interval, for a terminal; ends that are infinite are not known."""
    return f"{value:.3f} " + (f"[{low:.3f}, {high:.3f}]" if np.isfinite(high - low) else "[not known]")


def verdicts_in_words(pairs: pd.DataFrame) -> dict[str, list[str]]:
    """For each headline score, by its name: what is said of each pair, first of those that can be told apart.

    That a verdict is about two trained networks only is said once, with the name, where it is so of every pair.
    """
    once = bool((pairs["seeds"] == 1).all())
    which = f" ({THESE_ONLY})" if once else ""
    return {f"{name}{which}": _verdicts(_of_score(pairs, score), each=not once) for score, name in HEADLINE.items()}


def _verdicts(pairs: list[dict[Hashable, Any]], *, each: bool) -> list[str]:
    told, untold = [], []
    for row in pairs:
        if row["verdict"] == Verdict.OPEN:
            untold.append(f"{row['first']} and {row['second']}")
            continue
        near, far = sorted((abs(row["low"]), abs(row["high"])))
        only = f", {THESE_ONLY}" if each and row["seeds"] == 1 else ""
        told.append(
            f"{row['first']} is {row['verdict']} than {row['second']} by {abs(row['difference']):.3f} "
            f"({near:.3f} to {far:.3f}){only}"
        )
    names = dict.fromkeys(row[side] for row in pairs for side in ("first", "second"))
    if len(untold) == len(names) * (len(names) - 1) // 2 > 1:  # an ensemble's pairs are with itself only
        untold = [f"any two of {listed(list(names))}"]
    return [*told, *([f"these clips cannot tell apart {', '.join(untold)}"] if untold else [])]


def _verdicts_section(found: SideBySide, tables: Tables) -> Section:
    pairs, rows = tables["pairs"], []
    headline = [_of_score(pairs, score) for score in HEADLINE]
    for accuracy, loss, mcnemar in zip(*headline, tables["mcnemar"].to_dict("records"), strict=True):
        cells = [_pair(accuracy), fact(accuracy["seeds"])]
        for row in (accuracy, loss):
            cells += [ours(_signed(row["difference"])), _p_value(row["p_holm"]), _verdict(row)]
        rows.append((*cells, _p_value(mcnemar["p_holm"])))
    head = ("difference", "p", "verdict")
    notes = (
        "First minus second; a lower log loss is better. Seeds: the fewer of the two; with 1 the verdict is about "
        f"{THESE_ONLY}. p: with Holm's correction over all pairs and scores. The intervals stand in Figure A and "
        "Tables E1 to E4.",
        "McNemar takes clips for independent and is no basis for a verdict.",
    )
    table = Table(
        "Table A", "every pair, and what these clips say of the first", ("pair", "seeds", *head, *head, "p"),
        tuple(rows), notes, (("", 2), ("accuracy", 3), ("log loss", 3), ("McNemar", 1)),
    )  # fmt: skip
    panels = {name: pairs[pairs["score"] == score] for score, name in HEADLINE.items()}
    figure = Picture(
        "Figure A", "differences between variants, first minus second, with 95 % intervals; colours are verdicts after "
        "Holm's correction over all pairs and scores",
        forest_plot(panels, f"Differences between {_compared(pairs)}", note=found.note),
    )  # fmt: skip
    words = [f"{name.capitalize()}: {'; '.join(said)}." for name, said in verdicts_in_words(pairs).items()]
    return Section("Verdicts", (*words, *cautions(found), figure, table))


def _compared(pairs: pd.DataFrame) -> str:
    once = (pairs["seeds"] == 1).to_numpy()
    if once.all():
        return "these trained networks, 95 % intervals over locations"
    return "variants, 95 % intervals over locations and seeds" + (" (where there are several)" if once.any() else "")


def _scores_section(scores: pd.DataFrame) -> Section:
    rows = []
    for row in scores.to_dict("records"):
        spread = blank() if row["seeds"] == 1 else ours(float(row["seed_std"]))
        cells = (ours(float(row["value"])), spread, _interval(row))
        rows.append((label(row["variant"]), Cell(row["score"].replace("_", " "), "fact"), *cells))
    seeds = scores.groupby("variant", sort=False)["seeds"].first()
    known = np.isfinite(scores[["low", "high"]].to_numpy(dtype=np.float64)).all()
    few = () if known else ("Not known: there are too few locations in a class to draw them anew.",)
    trained = ", ".join(f"{name} {count}" for name, count in seeds.items())
    table = Table(
        "Table B",
        "scores on the test clips",
        ("variant", "score", "value", "spread over seeds", "95 % interval"),
        tuple(rows),
        (f"class: averaged over the classes. Log loss in nats. Seeds: {trained}.", *few),
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
            _interval(row),
            _p_value(row["p_value"]),
            _p_value(row["p_holm"]),
            _verdict(row),
        )
        for row in _of_score(pairs, score)
    )
    head = ("pair", "difference", "95 % interval", "p", "p (Holm)", "verdict")
    return Table(key, f"every pair in {score.replace('_', ' ')}", head, rows)


def _of_score(pairs: pd.DataFrame, score: str) -> list[dict[Hashable, Any]]:
    """The pairs in one score, row by row."""
    return pairs[pairs["score"] == score].to_dict("records")


def _pair(row: Mapping[Hashable, Any]) -> Cell:
    return label(f"{row['first']} − {row['second']}")


def _verdict(row: Mapping[Hashable, Any]) -> Cell:
    return ours(str(row["verdict"]).replace(" ", KEPT))


def _signed(value: float) -> str:
    return signed(value) if np.isfinite(value) else "not known"


def _interval(row: Mapping[Hashable, Any]) -> Cell:
    low, high = float(row["low"]), float(row["high"])
    if not np.isfinite(low + high):
        return ours("not known")
    form = _signed if "difference" in row else "{:.3f}".format
    return ours(f"{form(low)} to {form(high)}".replace(" ", KEPT))


def _p_value(value: float) -> Cell:
    return blank() if pd.isna(value) else ours(p_in_words(value).replace(" ", KEPT))
