"""What only the runs behind answers can give: candidates for promotion, and what shifts and unseen cities do."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import torch

from avfusion.analysis.held_out_cities import choose_cities, held_out, without_city
from avfusion.analysis.locations import find_locations, need_locations
from avfusion.analysis.robustness import Shift, robustness
from avfusion.analysis.variant_answers import SideBySide, VariantAnswers, on_shared_clips
from avfusion.errors import UserError
from avfusion.fusion import variants
from avfusion.tracking.models import load_classifier
from avfusion.training.classifier import Classifier
from avfusion.training.ensemble import ENSEMBLE
from avfusion.training.experiment import hyperparameters, train
from avfusion.training.many import Training
from avfusion.training.precision import check_precision
from avfusion.training.selection import Candidate
from avfusion.training.split_features import TEST, SplitFeatures

NO_SHIFTS = "not asked for: shifts=none"
IN_FOLDS = "was trained in folds, so that no one model answered all clips"
NO_CITIES = "not asked for; cities=all trains every variant again without each city"

CLEAN = 1e-6
"""Up to this difference an accuracy without any shift repeats that of a run."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Robustness:
    """What shifted inputs and unseen cities do, or why that is not known."""

    shifts: pd.DataFrame | None = None
    """Of `avfusion.analysis.robustness.robustness`."""
    cities: pd.DataFrame | None = None
    """Of `avfusion.analysis.held_out_cities.held_out`."""
    no_shifts: str = NO_SHIFTS
    no_cities: str = NO_CITIES
    remarks: tuple[str, ...] = ()


def candidates_of(found: SideBySide) -> list[Candidate]:
    """Each variant with its validation log loss, on the validation clips that all of them answered.

    `UserError` for files, which hold no model, and for validation answers that cannot stand side by side.
    """
    if any(variant.run_id is None for variant in found.variants):
        raise UserError("promote=true: prediction files hold no model; compare runs instead")
    if folded := [variant.name for variant in found.variants if variant.config.get("folds")]:
        raise UserError(f"promote=true: {folded[0]} {IN_FOLDS}; train with folds=none what is to be promoted")
    try:
        aligned, _ = on_shared_clips([replace(variant, seeds=variant.validation) for variant in found.variants])
    except UserError as error:
        raise UserError(f"promote=true: on validation clips, {error}") from error
    return [Candidate(one.name, str(one.run_id), float(one.values("log_loss").mean())) for one in aligned]


def robustness_of(
    found: SideBySide, shifts: list[Shift], cities: tuple[str, ...], locations: Path | None, device: torch.device
) -> Robustness:
    """Curves and cities as far as they are asked for and can be had, else why not.

    `shifts` and `cities`, as for `choose_cities`, may be empty; `locations` is a CSV that must, for cities, list every
    clip of the features, or None where the clips' names say it. Raises `UserError` for cities that cannot be had.
    """
    if not shifts and not cities:
        return Robustness()
    try:
        data = trained_on(found)
        trainings = {variant.name: training_of(variant) for variant in found.variants if not _is_ensemble(variant)}
    except UserError as error:
        if cities:
            raise UserError(f"cities={','.join(cities)}: {error}") from error
        return Robustness(no_shifts=str(error), no_cities=str(error))
    made = Robustness()
    if shifts:
        networks = {one.name: _network(one, trainings.get(one.name), data, device) for one in found.variants}
        known = {name: network for name, network in networks.items() if network is not None}
        curves = robustness(known, data, shifts)
        left_out = [f"Not among the shifts: {name}, whose run kept no model." for name in networks if name not in known]
        made = replace(made, shifts=curves, remarks=(*left_out, *_not_repeated(found, curves)))
    return _with_cities(made, found, data, trainings, cities, locations, device) if cities else made


def trained_on(found: SideBySide) -> SplitFeatures:
    """The features that the variants were trained on; `UserError`, saying why, where it cannot be had."""
    if any("features" not in variant.config for variant in found.variants):
        raise UserError("prediction files hold no model; compare runs instead")
    if len({variant.config["features"]["digest"] for variant in found.variants}) > 1:
        raise UserError("the runs were trained on different features")
    if folded := [variant.name for variant in found.variants if variant.config.get("folds")]:
        raise UserError(f"{folded[0]} {IN_FOLDS}")
    path = found.variants[0].config["features"]["path"]
    if found.store is None:
        raise UserError(f"the feature store {path} is no longer there, or has changed")
    data = SplitFeatures(found.store)
    if not set(data.ids(TEST)) >= set(found.first.ids):
        raise UserError(f"the test clips of {path} are not those of the runs")
    return data


def training_of(variant: VariantAnswers) -> Training:
    """The training behind the answers of the first seed, to be done again.

    Hyperparameters that came after it are at their defaults, which change nothing. Raises `UserError` for a variant
    that this program does not have.
    """
    config = variant.config
    known = variants().get(config["variant"])
    if known is None:
        raise UserError(f"this avfusion has no variant {config['variant']}")
    defaults = {name: entry.default for name, entry in hyperparameters(known).items()}
    return Training(known, defaults | config["params"], int(config["seed"]))


def _is_ensemble(variant: VariantAnswers) -> bool:
    """Whether the answers are of an ensemble: that is fitted, and never trained."""
    return bool(variant.config["variant"] == ENSEMBLE)


def _network(
    variant: VariantAnswers, training: Training | None, data: SplitFeatures, device: torch.device
) -> Classifier | None:
    """The classifier as the run left it; one that the run did not keep (one of several seeds) is trained again.

    An ensemble, which has no `training`, is that of its run, whatever its seeds; None if that kept none.
    """
    if training is None:
        return load_classifier(str(variant.run_id))
    kept = load_classifier(str(variant.first_seed_id))
    if kept is not None:
        return kept
    check_precision([(training.variant, training.params)], device)
    logger.info("%s, seed %d: its run kept no model, so it is trained again", variant.name, training.seed)
    return train(data, training.variant, training.params, training.seed, device).classifier


def _not_repeated(found: SideBySide, curves: pd.DataFrame) -> Iterator[str]:
    """Says which variants have another accuracy without any shift than the answers of their first seed."""
    clean = curves[curves["severity"] == 0].groupby("variant")["accuracy"].first()
    logged = {variant.name: float(variant.answers.right.mean()) for variant in found.variants}
    differing = [str(name) for name, accuracy in clean.items() if abs(accuracy - logged[str(name)]) > CLEAN]
    if differing:
        yield f"Without any shift these do not repeat the accuracy of their runs: {', '.join(differing)}."


def _with_cities(
    made: Robustness,
    found: SideBySide,
    data: SplitFeatures,
    trainings: dict[str, Training],
    cities: tuple[str, ...],
    locations: Path | None,
    device: torch.device,
) -> Robustness:
    clips = tuple(map(str, data.store.clips["id"]))
    chosen = choose_cities(cities, found.clip_locations.cities if found.clip_locations else None)
    known = need_locations(find_locations(clips, locations, None)).cities or {}
    if missing := [clip for clip in clips if clip not in known]:
        raise UserError(
            f"cities={','.join(cities)}: no city of {len(missing)} clips of the feature store, for instance "
            f"{missing[0]!r}; locations must list the training clips too"
        )
    by_city, remarks = {}, list(made.remarks)
    remarks += [f"Not trained again: {one.name}, an ensemble." for one in found.variants if one.name not in trainings]
    for city in chosen:
        try:
            by_city[city] = without_city(data, known, city)
        except UserError as error:
            remarks.append(f"Cannot be left out: {error}.")
    if not by_city:
        return replace(made, no_cities="; ".join(remarks))
    check_precision([(training.variant, training.params) for training in trainings.values()], device)
    if not trainings:
        return replace(made, no_cities="ensembles are fitted, and never trained")
    table = held_out(by_city, trainings, {variant.name: variant.answers for variant in found.variants}, device)
    return replace(made, cities=table, remarks=tuple(remarks))
