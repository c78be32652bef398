"""How much a variant owes to having met a city: trained again without it, scored on its test clips."""

from collections.abc import Mapping
from itertools import product

import numpy as np
import pandas as pd
import torch

from avfusion.analysis.variant_answers import align, on_clips
from avfusion.errors import UserError, unknown
from avfusion.scoring.metrics import evaluate
from avfusion.scoring.predictions import Predictions
from avfusion.system.progress import show_progress
from avfusion.training.experiment import score_test, train
from avfusion.training.many import Training
from avfusion.training.split_features import TRAIN, VALIDATION, SplitFeatures

LEFT_OUT = "none"
"""Name of the split of clips that a training must not see."""


def choose_cities(names: tuple[str, ...], cities: Mapping[str, str] | None) -> list[str]:
    """The cities of these names, or every one for `all` alone; `UserError` for a name that no test clip's city has.

    `cities` is by test clip; None where they are not known.
    """
    if cities is None:
        raise UserError(
            f"cities={','.join(names)}: the cities of the clips are not known; name the clips "
            "scene-city-location-segment, or give locations=FILE with a column city, or leave cities out"
        )
    known = sorted(set(cities.values()))
    chosen = known if names == ("all",) else list(names)
    for name in chosen:
        if name not in known:
            raise unknown("city", name, [*known, "all", "none"])
    return chosen


def without_city(data: SplitFeatures, cities: Mapping[str, str], city: str) -> SplitFeatures:
    """The same data with nothing of `city` in training and validation; its test clips are the only ones to score.

    `cities` is by clip id, for every clip of the store. Raises `UserError` if nothing is left to train on or to score.
    """
    inside = np.array([cities[str(clip)] == city for clip in data.store.clips["id"]])
    learning = np.isin(data.splits, (TRAIN, VALIDATION))
    unused = np.where(learning, inside, ~inside)
    reduced = data.with_splits(np.where(unused, LEFT_OUT, data.splits))
    try:
        reduced.check_trainable()
    except UserError as error:
        raise UserError(f"without {city}: {error}") from error
    return reduced


def held_out(
    splits: Mapping[str, SplitFeatures],
    trainings: Mapping[str, Training],
    clean: Mapping[str, Predictions],
    device: torch.device,
) -> pd.DataFrame:
    """Trains again without each city; one row per city and training.

    Columns: variant, city, clips (those scored), and accuracy and log loss with the city in training and without it:
    accuracy_seen, accuracy_held_out, log_loss_seen, log_loss_held_out. `splits` are of `without_city`, by city.
    `clean` has the answers on the test clips of the variants as they were trained, by the names of `trainings`; test
    clips that it lacks are left out.
    """
    rows = []
    pairs = list(product(splits.items(), trainings.items()))
    with show_progress("held-out cities", len(pairs), "training") as bar:
        for (city, data), (name, training) in pairs:
            trained = train(data, training.variant, training.params, training.seed, device)
            unseen = on_clips(score_test(data, trained).test, set(clean[name].ids))
            unseen, seen = align(unseen, on_clips(clean[name], set(unseen.ids)))
            scores = {"seen": evaluate(seen), "held_out": evaluate(unseen)}
            columns = {
                f"{score}_{state}": scores[state][score] for score in ("accuracy", "log_loss") for state in scores
            }
            rows.append({"variant": name, "city": city, "clips": len(unseen), **columns})
            bar.update()
    return pd.DataFrame(rows)


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
