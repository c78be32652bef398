"""What stands beside verdicts: one seed or several, the command that settles it, few locations."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avfusion.analysis.locations import locations_of_names
from avfusion.analysis.pairs import Verdict, pair_table
from avfusion.analysis.variant_answers import SideBySide, VariantAnswers
from avfusion.fusion import variants
from avfusion.report.cautions import THESE_ONLY, cautions, few_locations, rests_on, scope, settled_by
from avfusion.report.comparison_page import verdicts_in_words
from avfusion.report.measured import AT_RARE_LOCATIONS, BY_LOCATIONS
from avfusion.scoring.predictions import Predictions
from avfusion.training.ensemble import ENSEMBLE
from avfusion.training.experiment import resolve_params

CLASSES = ("airport", "bus")


def answers(skill: float, seed: int, n_locations: int = 12) -> Predictions:
    labels = np.repeat(np.arange(2 * n_locations) % 2, 3)
    ids = [f"{CLASSES[label]}-lyon-{number // 3}-{number}" for number, label in enumerate(labels)]
    scores = np.random.default_rng(seed).normal(size=(len(labels), 2)) + skill * np.eye(2)[labels]
    return Predictions.from_scores(ids, CLASSES, labels, scores)


def variant(name: str, n_seeds: int, skill: float = 1.0, n_locations: int = 12, **params: str) -> VariantAnswers:
    """As a run left it, which was trained with these settings."""
    seeds = tuple(answers(skill, seed, n_locations) for seed in range(n_seeds))
    (resolved,) = resolve_params([variants()[name]], params)
    config: dict[str, Any] = {"variant": name, "params": resolved, "features": {"path": "runs/features/my clips"}}
    return VariantAnswers(name, "a run", seeds, title=name, config=config)


def side_by_side(*found: VariantAnswers, **more: Any) -> SideBySide:
    return SideBySide(found, "runs", locations_of_names(found[0].answers.ids), **more)


def test_with_one_seed_a_verdict_is_about_these_two_networks_only() -> None:
    good, bad, several = variant("late", 1, 6.0), variant("early", 1, 0.0), variant("baseline", 3, 0.0)
    found = side_by_side(good, bad)
    assert THESE_ONLY in scope(found) and scope(found).startswith("Every variant was trained with one seed")
    (said,) = verdicts_in_words(pair_table(found.variants, found.locations))[f"accuracy ({THESE_ONLY})"]
    assert said.startswith("late is better than early by")
    mixed = side_by_side(good, several, variant("two_stage", 2, 0.0))
    first, second, _ = verdicts_in_words(pair_table(mixed.variants, mixed.locations))["accuracy"]
    assert first.endswith(f"), {THESE_ONLY}") and second.endswith(f"), {THESE_ONLY}")
    assert scope(mixed).startswith("late was trained with one seed: a verdict on it is about these two")
    assert scope(side_by_side(good, bad, several)).startswith("late and early were trained with one seed: a verdict on")


def test_with_several_seeds_it_is_about_the_variants() -> None:
    found = side_by_side(variant("late", 3, 6.0), variant("early", 5, 0.0))
    assert "several seeds (late 3, early 5): verdicts are about the variants" in scope(found)
    assert settled_by(found) == "" and cautions(found) == [scope(found)]
    (said,) = verdicts_in_words(pair_table(found.variants, found.locations))["accuracy"]
    assert said.startswith("late is better than early by") and THESE_ONLY not in said


def test_where_nothing_can_be_told_apart_it_says_so_of_the_pairs_that_were_compared() -> None:
    found = side_by_side(*(variant(name, 3, 0.0) for name in ("late", "early", "baseline")))
    pairs = pair_table(found.variants, found.locations).assign(verdict=Verdict.OPEN)
    (said,) = verdicts_in_words(pairs)["accuracy"]
    assert said == "these clips cannot tell apart any two of late, early and baseline"
    (said,) = verdicts_in_words(pairs[pairs["first"] == "late"])["accuracy"]
    assert said == "these clips cannot tell apart late and early, late and baseline"


def test_the_command_trains_what_was_trained_once_with_the_same_settings() -> None:
    features = "--features 'runs/features/my clips'"
    late, early = variant("late", 1, alpha="0.25"), variant("early", 1)
    plain = side_by_side(variant("baseline", 1), early, variant("video_only", 3))
    expected = f"python -m entrypoints.train {features} --variants baseline,early --seeds 0,1,2,3,4"
    assert settled_by(plain) == expected and settled_by(plain) in cautions(plain)[0]
    elsewhere = side_by_side(replace(late, experiment="my runs"), replace(early, experiment="my runs"))
    first, second = settled_by(elsewhere).split(" && ")
    assert {"--variants early", "--variants late"} == {" ".join(shlex.split(each)[6:8]) for each in (first, second)}
    assert all(each.startswith("MLFLOW_EXPERIMENT_NAME='my runs' python -m") for each in (first, second))
    assert "--params alpha=0.25" in settled_by(elsewhere)


def test_files_are_settled_by_runs() -> None:
    files = side_by_side(VariantAnswers("a", "a.tsv", (answers(1, 0),)), VariantAnswers("b", "b.tsv", (answers(2, 1),)))
    assert settled_by(files) == "train each with several seeds, as runs in MLflow, and compare these runs."


def test_an_ensemble_is_settled_by_its_members() -> None:
    ensemble = VariantAnswers("ensemble", "of runs", (answers(1, 0),), config={"variant": ENSEMBLE})
    with_member = settled_by(side_by_side(ensemble, variant("early", 1)))
    assert with_member.endswith("--variants early --seeds 0,1,2,3,4; then make the ensemble of these runs.")
    alone = settled_by(side_by_side(ensemble, variant("early", 3)))
    assert alone == "train the members of ensemble with several seeds; then make the ensemble of these runs."


@pytest.mark.parametrize(("n_seeds", "said"), [(1, "these trained networks only; retrain=0,1"), (3, "means over them")])
def test_tables_of_scores_say_how_many_seeds_they_rest_on(n_seeds: int, said: str) -> None:
    assert rests_on(n_seeds, "retrain").startswith(f"{n_seeds}: ") and said in rests_on(n_seeds, "retrain")


def test_few_locations_of_a_class_make_weak_verdicts_and_the_page_says_how_weak() -> None:
    enough = side_by_side(variant("late", 1, n_locations=5), variant("early", 1, n_locations=5))
    assert few_locations(enough) == []
    weak = side_by_side(variant("late", 1, n_locations=3), variant("early", 1, n_locations=3))
    (said,) = few_locations(weak)
    assert said.startswith("Fewer than 5 test locations of airport 3, bus 3: verdicts are weak.")
    told, false = BY_LOCATIONS[3]
    assert f"told in {told} of 100" in said and f"{false} of 100 verdicts on equal models are false" in said
    assert said in cautions(weak)


def test_what_pages_say_of_false_verdicts_is_what_was_measured() -> None:
    text = (Path(__file__).parents[1] / "benchmarks" / "README.md").read_text()
    lines = text.partition("## Comparing")[2].partition("**Seeds**")[0].splitlines()
    rows = {cells[0]: cells[1:] for line in lines if len(cells := [cell.strip() for cell in line.split("|")[1:-1]]) > 1}
    for n_locations, expected in BY_LOCATIONS.items():
        told, _, false = map(float, rows[str(n_locations)])
        assert (round(told), round(false)) == expected
    names = ("TAU's 126 (8 to 16 a class)", "8 a class", "3 a class")
    for name, most in zip(names, AT_RARE_LOCATIONS.values(), strict=True):
        assert round(max(map(float, rows[f"{name}, skewed"][4].strip("*").split(" / ")))) == most
