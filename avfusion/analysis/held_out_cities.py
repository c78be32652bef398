"""How much a variant owes to having met a city: trained again without it, scored on its test clips."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from avfusion.errors import UserError, unknown
from avfusion.fusion import FusionNetwork
from avfusion.fusion.hyperparameters import Value
from avfusion.scoring.metrics import evaluate
from avfusion.scoring.predictions import Predictions
from avfusion.training.experiment import score_test, train
from avfusion.training.split_features import TRAIN, VALIDATION, SplitFeatures

LEFT_OUT = "none"
"""Name of the split of clips that a training must not see."""


@dataclass(frozen=True)
class Recipe:
    """What a run was trained with, so that the same can be trained again."""

    variant: type[FusionNetwork]
    params: dict[str, Value]
    seed: int


def choose_cities(names: str, cities: Mapping[str, str] | None) -> list[str]:
    """`all`, `none`, or names with commas, of the test clips' cities; `UserError` if they are not known."""
    if names == "none":
        return []
    if cities is None:
        raise UserError(
            f"cities={names}: the cities of the clips are not known; name the clips scene-city-location-segment, or "
            "give locations=FILE with a column city, or leave cities out"
        )
    known = sorted(set(cities.values()))
    chosen = known if names == "all" else list(dict.fromkeys(name.strip() for name in names.split(",")))
    for name in chosen:
        if name not in known:
            raise unknown("city", name, [*known, "all", "none"])
    return chosen


def without_city(task: SplitFeatures, cities: Mapping[str, str], city: str) -> SplitFeatures:
    """The same task with nothing of `city` in training and validation; its test clips are the only ones to score.

    `cities` is by clip id, for every clip of the store. Raises `UserError` if nothing is left to train on or to score.
    """
    inside = np.array([cities[str(clip)] == city for clip in task.store.clips["id"]])
    learning = np.isin(task.splits, (TRAIN, VALIDATION))
    unused = np.where(learning, inside, ~inside)
    reduced = task.with_splits(np.where(unused, LEFT_OUT, task.splits))
    try:
        reduced.check_trainable()
    except UserError as error:
        raise UserError(f"without {city}: {error}") from error
    return reduced


def held_out(
    tasks: Mapping[str, SplitFeatures],
    recipes: Mapping[str, Recipe],
    clean: Mapping[str, Predictions],
    device: torch.device,
) -> Iterator[dict[str, float | int | str]]:
    """For every city and recipe: variant, city, clips, and accuracy and log loss with the city trained on and without.

    `tasks` are of `without_city`, by city. `clean` has the answers on the test clips of the variants as they were
    trained, by the names of `recipes`; test clips that it lacks are left out.
    """
    for city, task in tasks.items():
        for name, recipe in recipes.items():
            trained = train(task, recipe.variant, recipe.params, recipe.seed, device)
            unseen = score_test(task, trained).test
            row = {clip: position for position, clip in enumerate(clean[name].ids)}
            shared = np.array([position for position, clip in enumerate(unseen.ids) if clip in row])
            unseen = unseen.take(shared)
            states = {"seen": clean[name].take(np.array([row[clip] for clip in unseen.ids])), "held_out": unseen}
            scores = {state: evaluate(answers) for state, answers in states.items()}
            columns = {
                f"{score}_{state}": values[score]
                for score in ("accuracy", "log_loss")
                for state, values in scores.items()
            }
            yield {"variant": name, "city": city, "clips": len(unseen), **columns}


def over_cities(table: pd.DataFrame) -> pd.DataFrame:
    """Per variant the means over the cities, weighted by their clips, with the change in accuracy; in its order."""
    rows = []
    for name, group in table.groupby("variant", sort=False):
        means = {
            column: float(np.average(group[column], weights=group["clips"]))
            for column in table.columns.drop(["variant", "city", "clips"])
        }
        change = means["accuracy_held_out"] - means["accuracy_seen"]
        rows.append({"variant": name, "clips": int(group["clips"].sum()), **means, "accuracy_change": change})
    return pd.DataFrame(rows)
