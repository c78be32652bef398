"""The study's claims (a) to (f): what our numbers say about each, by the rule of `compare`.

(a) and (b) describe clips, and are decided on these as they are. (c), (d) and (f) compare models, and are decided by
the verdicts that `compare` gives on the same models: locations are what is independent, and Holm's correction goes over
all pairs and scores, so that the two pages cannot contradict each other. (e) compares alphas on the validation clips in
the same way. What the same intervals say without the correction is said where it is something else.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from avfusion.analysis.conflict import cell_table, error_distribution
from avfusion.analysis.intervals import Estimate, class_weights
from avfusion.analysis.over_seeds import difference_over_seeds
from avfusion.analysis.pairs import Verdict, holm, replicates, verdict
from avfusion.report import published
from avfusion.report.cautions import cautions
from avfusion.report.certainty import gain, in_words
from avfusion.report.document import Cell, Kind, Section, Table, fact, label, listed, ours
from avfusion.report.material import Material, SweepValidation


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


DECIDED_BY = {
    **dict.fromkeys("ab", "the clips as they are"),
    **dict.fromkeys("cdf", "locations, corrected over all pairs and scores"),
    "e": "validation locations, corrected over the other alphas",
}
"""The rule of each claim, in words."""


def claims_section(material: Material) -> Section:
    """The table of claims, evidence, rules and outcomes."""
    rows = []
    for letter, text in published.CLAIMS.items():
        evidence, outcome, missing = JUDGES[letter](material)
        found = label(evidence) if missing else ours(evidence)
        verdict_cell = Cell(outcome.value, OUTCOME_CELLS[outcome])
        rows.append((label(f"({letter}) {text}"), found, fact(DECIDED_BY[letter]), verdict_cell))
    head = ("claim", "evidence", "decided by", "verdict")
    table = Table("Claims", "what the study's text claims", head, tuple(rows), tuple(_notes(material)))
    return Section("The study's claims", (table,))


def _notes(material: Material) -> list[str]:
    notes = [
        "(c), (d) and (f) compare models: differences are in accuracy over the same test clips, with 95 % intervals "
        "over locations in parentheses. They are decided by the rule of compare, which is why the two pages agree on "
        f"the same models: the p-value with Holm's correction over all {len(material.pairs)} pairs and scores of the "
        "models here is below 0.05. An interval, and the p-value before the correction, are those of one pair alone; "
        "what they would say is told where it is something else.",
        "(e) holds only where validation chooses 0.25 and every other alpha is worse by that rule, over the locations "
        "of the validation clips; it does not where another is better by it.",
        *cautions(material),
    ]
    if material.unlike:
        unlike = "; ".join(f"{model.title} ({model.remarks})" for model in material.unlike)
        notes.append(
            f"Not all were trained with the study's hyperparameters: {unlike}. A verdict on these is about them as "
            "they were trained."
        )
    if material.not_tau:
        notes.insert(0, "These are not the study's data: the verdicts are about these data, not about the study.")
    return notes


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
    """(e): holds where every other alpha is worse than 0.25 on validation by more than the error over locations."""
    sweep = material.sweep
    if sweep is None:
        return Judged(f"not in {material.searched}: an alpha sweep", Outcome.OPEN, missing=True)
    means, claimed = sweep.means["val_accuracy"], published.BEST_ALPHA
    evidence = f"validation chooses {sweep.best_alpha:g} (accuracy {float(means.loc[sweep.best_alpha]):.3f})"
    if claimed not in means.index:
        return Judged(f"{evidence}; {claimed:g} was not tried.", Outcome.OPEN)
    evidence += f"; at {claimed:g} it is {float(means.loc[claimed]):.3f}"
    if sweep.validation is None:
        return Judged(
            f"{evidence}; the sweep's run does not say which validation clips each alpha got right: run `sweep` again, "
            "without folds.",
            Outcome.OPEN,
        )
    gains = _over_other_alphas(claimed, sweep.validation)
    p_values = [found.p_value for found in gains]
    said, alone = (
        [verdict(found.value, p_value, higher_is_better=True) for found, p_value in zip(gains, family, strict=True)]
        for family in (holm(p_values), p_values)
    )
    evidence += (
        f"; of {len(gains)} other alphas {said.count(Verdict.BETTER)} are worse and {said.count(Verdict.WORSE)} better "
        f"than it by more than the error over {len(sweep.validation.locations)} locations"
    )
    seeds = f"means over {sweep.n_seeds} seeds" if sweep.n_seeds > 1 else "one seed each, so these networks only"
    return _judged(f"{evidence}; {seeds}.", said, alone)


def _over_other_alphas(claimed: float, validation: SweepValidation) -> list[Estimate]:
    """Accuracy on the validation clips at the alpha that is `claimed`, minus that at every other."""
    locations = validation.locations
    weights, drawn = class_weights(locations, equal=False), replicates(locations)
    others = [right for alpha, right in validation.right.items() if alpha != claimed]
    return [difference_over_seeds(validation.right[claimed], right, locations, weights, drawn) for right in others]


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
    """Whether the first model of every pair is better in accuracy than the second, by the verdicts of `compare`."""
    names = list(dict.fromkeys(name for pair in pairs for name in pair))
    if reason := _missing(material, names, ()):
        return Judged(reason, Outcome.OPEN, missing=True)
    gains = [gain(*pair, material) for pair in pairs]
    evidence = []
    for (better, worse), found in zip(pairs, gains, strict=True):
        first, second = material.models[better], material.models[worse]
        losses = first.metrics["log_loss"], second.metrics["log_loss"]
        evidence.append(
            f"{first.title} minus {second.title}: {in_words(found)} (log loss {losses[0]:.3f} and {losses[1]:.3f})"
        )
    return _judged("; ".join(evidence) + ".", [found.corrected for found in gains], [found.alone for found in gains])


def _judged(evidence: str, corrected: list[Verdict], alone: list[Verdict]) -> Judged:
    """A claim that the first is better in every pair, by verdicts with Holm's correction and without it."""
    outcome, uncorrected = map(_of_all, (corrected, alone))
    if uncorrected is not outcome:
        evidence += f" Without Holm's correction: {uncorrected.value}."
    return Judged(evidence, outcome)


def _of_all(said: list[Verdict]) -> Outcome:
    if Verdict.WORSE in said:
        return Outcome.FAILS
    return Outcome.HOLDS if set(said) == {Verdict.BETTER} else Outcome.OPEN


def _missing(material: Material, models: list[str], classes: tuple[str, ...]) -> str:
    """What the evidence lacks; empty if nothing."""
    if absent := [name for name in models if name not in material.models]:
        return material.absent(*absent)
    if unknown := [scene for scene in classes if scene not in material.first.classes]:
        return f"not in these data: the class {listed(unknown)}"
    return ""


def _outcome(holds: bool) -> Outcome:
    return Outcome.HOLDS if holds else Outcome.FAILS
