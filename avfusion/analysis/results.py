"""All results of a comparison, as tables: what the page, MLflow and the terminal are made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd
from matplotlib.figure import Figure

from avfusion.analysis.contenders import locations_in_order
from avfusion.analysis.entries import Entries
from avfusion.analysis.pairs import compare
from avfusion.analysis.resampling import Locations
from avfusion.analysis.robustness import SHIFTS
from avfusion.analysis.tables import calibration_table, mcnemar_table, pairs_table, scores_table
from avfusion.figures import forest_plot, reliability_diagram, robustness_curve
from avfusion.scoring.calibration import reliability

HEADLINE = {"accuracy": "accuracy", "log_loss": "log loss"}
"""The scores that the forest plot and the verdicts are about, and their names for people."""


@dataclass(frozen=True)
class Robustness:
    """What shifted inputs and unseen cities do, or why that is not known."""

    shifts: pd.DataFrame | None = None
    """Of `avfusion.analysis.robustness.robustness`."""
    cities: pd.DataFrame | None = None
    """Of `avfusion.analysis.held_out_cities.held_out`."""
    no_shifts: str = ""
    no_cities: str = ""
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Results:
    """A finished comparison."""

    entries: Entries
    n_clips: int
    n_locations: int
    scores: pd.DataFrame
    pairs: pd.DataFrame
    mcnemar: pd.DataFrame
    calibration: pd.DataFrame
    robustness: Robustness
    figures: Mapping[str, Figure] = field(default_factory=dict)

    def headline(self, score: str) -> pd.DataFrame:
        """The pairs in one score."""
        return self.pairs[self.pairs["score"] == score].reset_index(drop=True)


def results_of(entries: Entries, robustness: Robustness) -> Results:
    """Compare the contenders of `entries` and draw the figures."""
    answers = entries.contenders[0].seeds[0]
    places = locations_in_order(answers.ids, entries.places.locations, entries.places.origin)
    locations = Locations.of(places, answers.labels, len(answers.classes))
    comparison = compare(entries.contenders, locations)
    pairs = pairs_table(comparison)
    return Results(
        entries=entries,
        n_clips=len(answers),
        n_locations=len(locations),
        scores=scores_table(comparison),
        pairs=pairs,
        mcnemar=mcnemar_table(comparison),
        calibration=calibration_table(entries.contenders),
        robustness=robustness,
        figures=_figures(entries, pairs, robustness),
    )


def _figures(entries: Entries, pairs: pd.DataFrame, robustness: Robustness) -> dict[str, Figure]:
    note = entries.warning or None
    ends = {"jackknife_low": "low", "jackknife_high": "high"}
    panels = {name: pairs[pairs["score"] == score].rename(columns=ends) for score, name in HEADLINE.items()}
    tables = {contender.name: reliability(contender.seeds) for contender in entries.contenders}
    figures = {
        "forest": forest_plot(panels, "Differences between variants, 95 % intervals over locations", note=note),
        "reliability": reliability_diagram(tables, "How often a variant is right when it is so sure", note=note),
    }
    if robustness.shifts is not None:
        shown = {name: (SHIFTS[name].title, SHIFTS[name].unit) for name in dict.fromkeys(robustness.shifts["shift"])}
        title = "Accuracy as the features get worse"
        figures["robustness"] = robustness_curve(robustness.shifts, shown, title, note=note)
    return figures
