"""The sections on calibration and robustness of a comparison's page."""

import pandas as pd

from avfusion.analysis.held_out_cities import over_cities
from avfusion.analysis.robustness import SHIFTS
from avfusion.analysis.trained import Robustness
from avfusion.analysis.variant_answers import SideBySide
from avfusion.figures import reliability_diagram, robustness_curve
from avfusion.report.document import Absent, Block, Cell, Picture, Section, Table, blank, label, ours, signed
from avfusion.scoring.calibration import BINS, reliability


def calibration_section(table: pd.DataFrame, found: SideBySide) -> Section:
    """Calibration of every variant, its reliability diagram, and what a temperature would change."""
    measures = ("ece", "brier", "log_loss", "calibration", "refinement")
    bins = {variant.name: reliability(variant.seeds) for variant in found.variants}
    rows = tuple((label(row["variant"]), *(ours(float(row[m])) for m in measures)) for row in table.to_dict("records"))
    blocks: list[Block] = [
        Table(
            "Table C",
            "calibration on the test clips",
            ("variant", "expected calibration error", "Brier score", "log loss", "calibration", "refinement"),
            rows,
            (
                f"Expected calibration error over {BINS} equal bins of confidence. Brier score summed over classes, "
                "0 to 2. Log loss = calibration + refinement: refinement is the loss at the temperature that is best "
                "for these very clips, calibration what that takes off.",
            ),
            (("", 1), ("", 2), ("log loss and its parts", 3)),
        ),
        Picture(
            "Figure B", "reliability: below the diagonal a variant is too sure; seeds together",
            reliability_diagram(bins, "How often a variant is right when it is so sure", note=found.note),
        ),
        _temperatures(table),
    ]  # fmt: skip
    return Section("Calibration", tuple(blocks))


def _temperatures(table: pd.DataFrame) -> Block:
    caption = "temperature scaling, fitted on validation"
    known = table[table["temperature"].notna()]
    if known.empty:
        return Absent("Table D", caption, "no validation answers are known; compare runs, or add a folder val of files")
    columns = ("temperature", "val_log_loss", "val_log_loss_scaled", "log_loss", "log_loss_scaled", "ece", "ece_scaled")
    rows = tuple((label(row["variant"]), *(ours(float(row[c])) for c in columns)) for row in known.to_dict("records"))
    return Table(
        "Table D",
        caption,
        ("variant", "temperature", "before", "after", "before", "after", "before", "after"),
        rows,
        (
            "Temperature above 1: the variant was too sure. It never changes a decision, and is 1 where no other "
            "lowers the validation log loss.",
        ),
        (("", 2), ("validation log loss", 2), ("test log loss", 2), ("calibration error", 2)),
    )


def robustness_section(found: Robustness, note: str | None) -> Section:
    """Curves and tables of shifted inputs and held-out cities, or why there are none; `note` stands in the figure."""
    blocks: list[Block] = list(found.remarks)
    if found.shifts is None:
        blocks.append(Absent("Figure C", "accuracy under shifted inputs", found.no_shifts))
    else:
        caption = (
            "accuracy as the features get worse, first seed of each variant; dotted: the variant cannot feel this "
            "shift (invariant)"
        )
        shown = {name: (SHIFTS[name].title, SHIFTS[name].unit) for name in dict.fromkeys(found.shifts["shift"])}
        drawn = robustness_curve(found.shifts, shown, "Accuracy as the features get worse", note=note)
        blocks.append(Picture("Figure C", caption, drawn))
        blocks.append(_worst(found.shifts))
    if found.cities is None:
        blocks.append(Absent("Table H", "cities left out of training", found.no_cities))
    else:
        blocks += _cities(found.cities)
    return Section("Robustness", tuple(blocks))


def _worst(table: pd.DataFrame) -> Table:
    """Accuracy without any shift and at the strongest of each."""
    names = list(dict.fromkeys(table["shift"]))
    rows = []
    for variant, group in table.groupby("variant", sort=False):
        cells: list[Cell] = [label(str(variant)), ours(float(group.loc[group["severity"] == 0, "accuracy"].iloc[0]))]
        for name in names:
            curve = group[group["shift"] == name].sort_values("severity")
            value = float(curve["accuracy"].iloc[-1])
            cells.append(ours("invariant") if curve["invariant"].any() else ours(value))
        rows.append(tuple(cells))
    heads = (f"{SHIFTS[name].title}, {SHIFTS[name].severities[-1]:g}" for name in names)
    return Table("Table G", "accuracy at the greatest severity", ("variant", "no shift", *heads), tuple(rows))


def _cities(table: pd.DataFrame) -> list[Block]:
    means = tuple(
        (
            label(str(row["variant"])),
            *(ours(float(row[c])) for c in ("accuracy_seen", "accuracy_held_out")),
            ours(signed(float(row["accuracy_change"]))),
            *(ours(float(row[c])) for c in ("log_loss_seen", "log_loss_held_out")),
        )
        for row in over_cities(table).to_dict("records")
    )
    cities = list(dict.fromkeys(table["city"]))
    rows = []
    for variant, group in table.groupby("variant", sort=False):
        by_city = group.set_index("city")
        changes = by_city["accuracy_held_out"] - by_city["accuracy_seen"]
        cells = (ours(signed(float(changes[city]))) if city in changes.index else blank() for city in cities)
        rows.append((label(str(variant)), *cells))
    note = "The same test clips of each city; every variant trained again, first seed, without the city's clips."
    return [
        Table(
            "Table H", "cities left out of training, means over the test clips of all of them",
            ("variant", "seen", "left out", "change", "seen", "left out"), means, (note,),
            (("", 1), ("accuracy", 3), ("log loss", 2)),
        ),
        Table("Table I", "change in accuracy, city by city", ("variant", *cities), tuple(rows)),
    ]  # fmt: skip
