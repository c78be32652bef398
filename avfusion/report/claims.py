"""The study's claims (a) to (f): what our numbers say about each.

(a) and (b) describe clips, and are decided on these as they are. A comparison of two models holds, or does not, where
the 95 % interval of the difference in accuracy over the same test clips lies on one side of zero; otherwise these
clips cannot tell.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

import numpy as np

from avfusion.analysis.conflict import cell_table, error_distribution
from avfusion.analysis.intervals import Estimate
from avfusion.report import published
from avfusion.report.certainty import gain, in_words, seeds_in_words
from avfusion.report.document import Cell, Kind, Section, Table, label, listed, ours
from avfusion.report.material import Material


class Outcome(StrEnum):
    """What became of a claim."""

    HOLDS = "holds"
    FAILS = "does not"
    OPEN = "cannot tell"


OUTCOME_CELLS: dict[Outcome, Kind] = {Outcome.HOLDS: "holds", Outcome.FAILS: "fails", Outcome.OPEN: "open"}
"""The kind of a table's cell for each."""


class Judged(NamedTuple):
    """A claim beside the answers."""

    evidence: str
    """What the answers say, or what of them is missing."""
    outcome: Outcome
    missing: bool = False
    """Whether models or classes that the claim is about are not there."""


def claims_section(material: Material) -> Section:
    """The table of claims, evidence and outcomes."""
    rows = []
    for letter, text in published.CLAIMS.items():
        evidence, outcome, missing = JUDGES[letter](material)
        found = label(evidence) if missing else ours(evidence)
        rows.append((label(f"({letter}) {text}"), found, Cell(outcome.value, OUTCOME_CELLS[outcome])))
    notes = [
        "(a) and (b) describe clips and are decided on these as they are. (c), (d) and (f) compare models: differences "
        "are in accuracy over the same test clips, with 95 % intervals in parentheses, and are decided only where the "
        f"interval leaves out zero. {seeds_in_words(material)} (e) cannot be told where 0.25 is within one standard "
        "error of the best."
    ]
    if material.unlike:
        unlike = "; ".join(f"{model.title} ({model.remarks})" for model in material.unlike)
        notes.append(
            f"Not all were trained with the study's hyperparameters: {unlike}. A verdict on these is about them as "
            "they were trained."
        )
    if material.not_tau:
        notes.insert(0, "These are not the study's data: the verdicts are about these data, not about the study.")
    table = Table("Claims", "what the study's text claims", ("claim", "evidence", "verdict"), tuple(rows), tuple(notes))
    return Section("The study's claims", (table,))


def strongest_conflict(material: Material) -> Judged:
    """(a): the three classes named are the three of most conflict."""
    if reason := _missing(material, ["audio_only", "video_only"], published.CONFLICT_CLASSES):
        return Judged(reason, Outcome.OPEN, missing=True)
    audio, video = (material.models[name].answers for name in ("audio_only", "video_only"))
    conflict = cell_table(audio, video)["conflict"]
    ranks = {str(scene): rank for rank, scene in enumerate(conflict.index, start=1)}
    named = ", ".join(f"{scene} is no. {ranks[scene]}" for scene in published.CONFLICT_CLASSES)
    shares = ", ".join(f"{scene} {share:.3f}" for scene, share in conflict.items())
    holds = set(conflict.index[: len(published.CONFLICT_CLASSES)]) == set(published.CONFLICT_CLASSES)
    return Judged(f"{named}. Share of clips that exactly one model gets right: {shares}.", _outcome(holds))


def taken_for(material: Material) -> Judged:
    """(b): the commonest wrong answers of the video-only model on airport and on bus."""
    if reason := _missing(material, ["video_only"], ("airport", "bus", "shopping_mall", "metro_station", "tram")):
        return Judged(reason, Outcome.OPEN, missing=True)
    answers = material.models["video_only"].answers
    evidence, holds = [], True
    for true_class, expected in (("airport", {"shopping_mall", "metro_station"}), ("bus", {"tram"})):
        shares = error_distribution(answers, true_class)["share"]
        found = ", ".join(f"{scene} {share:.3f}" for scene, share in shares.iloc[:3].items())
        evidence.append(f"{true_class} is taken for {found or 'nothing'}")
        holds &= set(shares.index[: len(expected)]) == expected
    return Judged("; ".join(evidence) + ".", _outcome(holds))


def both_beat_baseline(material: Material) -> Judged:
    """(c)."""
    return _ordered(material, [("early", "baseline"), ("late", "baseline")])


def late_beats_early(material: Material) -> Judged:
    """(d)."""
    return _ordered(material, [("late", "early")])


def best_alpha(material: Material) -> Judged:
    """(e): cannot tell where 0.25 is within one standard error of a validation accuracy of the chosen alpha."""
    sweep = material.sweep
    if sweep is None:
        return Judged(f"not in {material.searched}: an alpha sweep", Outcome.OPEN, missing=True)
    validation = sweep.means["val_accuracy"]
    top = float(validation.loc[sweep.best_alpha])
    evidence = f"validation chooses {sweep.best_alpha:g} (accuracy {top:.3f})"
    if published.BEST_ALPHA not in validation.index:
        return Judged(f"{evidence}; 0.25 was not tried.", Outcome.OPEN)
    there = float(validation.loc[published.BEST_ALPHA])
    evidence += f"; at 0.25 it is {there:.3f}"
    if material.n_validation is None:
        return Judged(evidence + ".", Outcome.HOLDS if sweep.best_alpha == published.BEST_ALPHA else Outcome.OPEN)
    error = float(np.sqrt(top * (1 - top) / material.n_validation))
    near = int((validation >= top - error).sum())
    evidence += f"; {near} of {len(validation)} alphas lie within one standard error ({error:.3f}) of the best."
    if sweep.best_alpha == published.BEST_ALPHA:
        return Judged(evidence, Outcome.HOLDS)
    return Judged(evidence, Outcome.OPEN if there >= top - error else Outcome.FAILS)


def averaging_wins(material: Material) -> Judged:
    """(f): the baseline averages over time."""
    return _ordered(material, [("baseline", "flatten"), ("baseline", "lstm")])


JUDGES: dict[str, Callable[[Material], Judged]] = {
    "a": strongest_conflict,
    "b": taken_for,
    "c": both_beat_baseline,
    "d": late_beats_early,
    "e": best_alpha,
    "f": averaging_wins,
}


def _ordered(material: Material, pairs: list[tuple[str, str]]) -> Judged:
    """Whether the first model of every pair is better than the second."""
    names = list(dict.fromkeys(name for pair in pairs for name in pair))
    if reason := _missing(material, names, ()):
        return Judged(reason, Outcome.OPEN, missing=True)
    gains: list[Estimate] = []
    evidence = []
    for better, worse in pairs:
        first, second = material.models[better], material.models[worse]
        gains.append(gain(first, second, material))
        losses = first.metrics["log_loss"], second.metrics["log_loss"]
        evidence.append(
            f"{first.title} minus {second.title}: {in_words(gains[-1])} (log loss {losses[0]:.3f} and {losses[1]:.3f})"
        )
    if any(estimate.jackknife.high < 0 for estimate in gains):
        outcome = Outcome.FAILS
    else:
        outcome = Outcome.HOLDS if all(estimate.jackknife.low > 0 for estimate in gains) else Outcome.OPEN
    return Judged("; ".join(evidence) + ".", outcome)


def _missing(material: Material, models: list[str], classes: tuple[str, ...]) -> str:
    """What the evidence lacks; empty if nothing."""
    if absent := [name for name in models if name not in material.models]:
        return material.absent(*absent)
    if unknown := [scene for scene in classes if scene not in material.first.classes]:
        return f"not in these data: the class {listed(unknown)}"
    return ""


def _outcome(holds: bool) -> Outcome:
    return Outcome.HOLDS if holds else Outcome.FAILS
