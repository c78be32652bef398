"""Which variants make an ensemble, with which weights: chosen by the log loss of their validation answers alone.

M members, S seeds, N clips, C classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from avfusion.analysis.variant_answers import SideBySide, VariantAnswers, on_shared_clips
from avfusion.errors import UserError
from avfusion.scoring.calibration import best_weights, log_probabilities
from avfusion.scoring.folders import VALIDATION
from avfusion.scoring.predictions import Predictions
from avfusion.training.ensemble import ENSEMBLE

MOST_MEMBERS = 50
"""More take minutes to choose from, and are hardly meant."""


@dataclass(frozen=True)
class FittedEnsemble:
    """An ensemble of variants that stand side by side, and what each of them is to it."""

    answers: VariantAnswers
    """Its own answers, for each seed those of its members' trainings with that seed."""
    members: tuple[VariantAnswers, ...]
    """All that were offered, with as many seeds as the ensemble, over the same clips."""
    table: pd.DataFrame
    """One row for each of these, the largest weight first: member, weight (0 for one that was dropped), its own
    val_log_loss, and gain, what it takes off the validation log loss of the ensemble: how much that rises without it,
    the others fitted anew; of a dropped member, when it was dropped."""

    @property
    def weights(self) -> dict[str, float]:
        """By name, those of the members that were kept, the largest first."""
        kept = self.table[self.table["weight"] > 0]
        return {str(name): float(weight) for name, weight in zip(kept["member"], kept["weight"], strict=True)}

    @property
    def best_member(self) -> VariantAnswers:
        """The member that answers best by itself: the lowest log loss on validation clips."""
        name = self.table["member"].iloc[int(self.table["val_log_loss"].argmin())]
        return next(member for member in self.members if member.name == name)


def fit_ensemble(found: SideBySide) -> FittedEnsemble:
    """The ensemble of the variants in `found`: one weight for each, whatever the seed.

    Weights are fitted to the validation answers of all seeds together. Then members go, as long as there is one that
    does not help: the one with the smallest gain in log loss, if that is less than one over the number of validation
    clips, and the others are fitted anew. (That is Akaike's criterion, 1974, for one more number; a member with weight
    0, and the second of two equal ones, have no gain at all.) Nothing here sees the test answers before all is chosen.

    Raises `UserError` for fewer than two variants, and for one without validation answers.
    """
    members, validation = _with_validation(found)
    offered = {member.name: _stacked(member.seeds) for member in validation}
    labels = torch.from_numpy(np.concatenate([one.labels for one in validation[0].seeds]))
    weights, gains = _choose(offered, labels, 1 / len(validation[0].answers))
    if not any(weights.values()):
        raise UserError(f"no member helps: on validation clips, all of {found.source} are no better than guessing")
    table = pd.DataFrame(
        {
            "member": list(offered),
            "weight": [weights.get(name, 0.0) for name in offered],
            "val_log_loss": [float(member.values("log_loss").mean()) for member in validation],
            "gain": [gains[name] for name in offered],
        }
    ).sort_values(["weight", "val_log_loss"], ascending=[False, True], ignore_index=True)
    kept = {name: float(weights[name]) for name in table["member"] if name in weights}
    answers = VariantAnswers(
        name=ENSEMBLE,
        origin=f"the ensemble of {', '.join(kept)}",
        seeds=combined_seeds(members, kept),
        validation=combined_seeds(validation, kept),
        title="Ensemble",
        config={"variant": ENSEMBLE},
    )
    return FittedEnsemble(answers, tuple(members), table)


def combined(answers: Sequence[Predictions], weights: Sequence[float]) -> Predictions:
    """One set of answers from several over the same clips: p proportional to the product of p_m to the power w_m."""
    first = answers[0]
    scores = sum(weight * log_probabilities(one) for one, weight in zip(answers, weights, strict=True))
    return Predictions.from_scores(first.ids, first.classes, first.labels, np.asarray(scores))


def combined_seeds(members: Sequence[VariantAnswers], weights: Mapping[str, float]) -> tuple[Predictions, ...]:
    """[S] the answers of the ensemble with these `weights`, from those in `seeds` of the members that it names."""
    seeds = {member.name: member.seeds for member in members}
    return tuple(
        combined(answers, list(weights.values())) for answers in zip(*(seeds[name] for name in weights), strict=True)
    )


def _with_validation(found: SideBySide) -> tuple[list[VariantAnswers], list[VariantAnswers]]:
    """All variants with as many seeds as each of them has, and the same with validation answers in place of test's."""
    variants = found.variants
    if not 2 <= len(variants) <= MOST_MEMBERS:
        raise UserError(
            f"an ensemble needs 2 to {MOST_MEMBERS} members; {found.source} has {len(variants)}; give others"
        )
    if missing := [variant for variant in variants if not variant.validation]:
        names = ", ".join(variant.name for variant in missing)
        if missing[0].run_id is not None:
            raise UserError(f"{names}: trained in folds, which leave no validation answers; give runs with folds=none")
        raise UserError(
            f"no validation answers of {names}, and weights are fitted to nothing else; put a folder "
            f"{VALIDATION} beside the files for test clips, with files of the same names for validation clips"
        )
    n_seeds = min(len(variant.seeds) for variant in variants)
    members = [replace(one, seeds=one.seeds[:n_seeds], validation=one.validation[:n_seeds]) for one in variants]
    try:
        validation, _ = on_shared_clips([replace(one, seeds=one.validation) for one in members])
    except UserError as error:
        raise UserError(f"on validation clips, {error}") from error
    if shared := set(validation[0].answers.ids) & set(members[0].answers.ids):
        raise UserError(
            f"{len(shared)} clips have both validation and test answers, for instance {min(shared)!r}; weights "
            "that were fitted to test clips would say nothing: give answers on other clips"
        )
    classes = members[0].answers.classes
    ordered = [replace(one, seeds=tuple(seed.with_class_order(classes) for seed in one.seeds)) for one in validation]
    return members, ordered


def _choose(offered: Mapping[str, Tensor], labels: Tensor, least: float) -> tuple[dict[str, float], dict[str, float]]:
    """The weights of the members that are kept, and the gain of each that was offered (see `fit_ensemble`)."""
    kept, gains = dict(offered), dict[str, float]()
    while True:
        weights, loss = _fit(kept, labels)
        if len(kept) == 1:
            (only,) = kept
            return weights, {**gains, only: float(np.log(kept[only].shape[1])) - loss}
        without = {name: _fit({one: kept[one] for one in kept if one != name}, labels)[1] - loss for name in kept}
        weakest = min(reversed(without), key=without.__getitem__)
        if without[weakest] >= least:
            return weights, {**gains, **without}
        gains[weakest] = max(without[weakest], 0.0)
        del kept[weakest]


def _fit(members: Mapping[str, Tensor], labels: Tensor) -> tuple[dict[str, float], float]:
    """The best weights, and the log loss that they give."""
    found = best_weights(list(members.values()), labels)
    scores = sum(weight * one for weight, one in zip(found, members.values(), strict=True))
    loss = torch.nn.functional.cross_entropy(torch.as_tensor(scores), labels)
    return dict(zip(members, found, strict=True)), float(loss)


def _stacked(seeds: Sequence[Predictions]) -> Tensor:
    """[S * N, C] log-probabilities of all seeds."""
    return torch.from_numpy(np.concatenate([log_probabilities(one) for one in seeds]))
