"""The trained networks behind the runs of a comparison, for what predictions alone cannot answer."""

import logging
from dataclasses import dataclass

import numpy as np
import torch

from avfusion.analysis.entries import Entries
from avfusion.analysis.from_runs import open_store
from avfusion.analysis.held_out_cities import Recipe
from avfusion.errors import UserError
from avfusion.features.layout import Json
from avfusion.fusion import FusionNetwork, variants
from avfusion.tracking.lookup import find_run, read_config
from avfusion.tracking.models import load_classifier
from avfusion.training.classifier import SceneClassifier
from avfusion.training.experiment import hyperparameters, train
from avfusion.training.precision import check_precision
from avfusion.training.split_features import TEST, SplitFeatures

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainedVariants:
    """The task that the contenders were trained on, and by contender its recipe (first seed)."""

    task: SplitFeatures
    recipes: dict[str, Recipe]
    run_ids: dict[str, str]

    def classifiers(self, device: torch.device) -> dict[str, SceneClassifier]:
        """The classifiers as the runs left them; a run without a model (one of several seeds) is trained again."""
        found = {}
        for name, recipe in self.recipes.items():
            classifier = load_classifier(self.run_ids[name])
            if classifier is None:
                check_precision([(recipe.variant, recipe.params)], device)
                logger.info("%s, seed %d: its run kept no model, so it is trained again", name, recipe.seed)
                classifier = train(self.task, recipe.variant, recipe.params, recipe.seed, device).classifier
            found[name] = classifier
        return found


def trained_variants(entries: Entries) -> TrainedVariants:
    """What is behind `entries`; `UserError`, saying why, where it cannot be had."""
    if entries.run_ids is None:
        raise UserError("prediction files hold no model; compare runs instead")
    configs = {name: read_config(find_run(run_id)) for name, run_id in entries.run_ids.items()}
    if len({config["features"]["digest"] for config in configs.values()}) > 1:
        raise UserError("the runs were trained on different features")
    features = next(iter(configs.values()))["features"]
    store = open_store(features)
    if store is None:
        raise UserError(f"the feature store {features['path']} is no longer there, or has changed")
    task, known = SplitFeatures(store), variants()
    if missing := sorted({config["variant"] for config in configs.values()} - set(known)):
        raise UserError(f"this avfusion has no variant {missing[0]}")
    if not set(task.ids(TEST)) >= set(entries.contenders[0].seeds[0].ids):
        raise UserError(f"the test clips of {features['path']} are not those of the runs")
    recipes = {name: _recipe(known[config["variant"]], config) for name, config in configs.items()}
    return TrainedVariants(task, recipes, dict(entries.run_ids))


def _recipe(variant: type[FusionNetwork], config: Json) -> Recipe:
    """What a run was trained with; hyperparameters that came after it are at their defaults, which change nothing."""
    defaults = {name: entry.default for name, entry in hyperparameters(variant).items()}
    return Recipe(variant, defaults | config["params"], int(config["seed"]))


def differing_clean_scores(entries: Entries, clean: dict[str, float], tolerance: float = 1e-6) -> list[str]:
    """The contenders whose accuracy without any shift is not that of the answers of their first seed."""
    logged = {contender.name: float(np.mean(contender.seeds[0].right)) for contender in entries.contenders}
    return [name for name, accuracy in clean.items() if abs(accuracy - logged[name]) > tolerance]
