"""One experiment: train a variant, choose its epoch on validation, and only then score the test split."""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from avfusion.errors import UserError
from avfusion.fusion import FusionNetwork, build, variants
from avfusion.fusion.hyperparameters import Hyperparameter, Value, check_known, resolve, with_default
from avfusion.scoring.metrics import evaluate_splits
from avfusion.scoring.predictions import Predictions
from avfusion.system.seeds import derive_seed
from avfusion.training.answering import diagnostics, examples, predictions, predictions_by_second
from avfusion.training.classifier import Description
from avfusion.training.fit import Epoch, fit_stages
from avfusion.training.recipe import RECIPE
from avfusion.training.scene_classifier import SceneClassifier
from avfusion.training.split_features import TEST, TRAIN, VALIDATION, SplitFeatures, SplitSummary

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trained:
    """A variant after training, with its answers for the validation clips; nothing in it has seen a test clip."""

    variant: type[FusionNetwork]
    params: dict[str, Value]
    """Every hyperparameter and recipe value that was in force."""
    seed: int
    history: list[Epoch]
    classifier: SceneClassifier
    validation: Predictions
    seconds: float
    recut_clips: int
    """Training and validation clips that were cut or padded to the commonest length."""
    splits: dict[str, SplitSummary]
    """What `train`, `val` and `test` had."""

    @property
    def stages(self) -> dict[str, list[Epoch]]:
        """The epochs of each stage of training, by its name, in order."""
        names = dict.fromkeys(epoch.stage for epoch in self.history)
        return {name: [epoch for epoch in self.history if epoch.stage == name] for name in names}

    @property
    def best(self) -> Epoch:
        """The chosen epoch of the last stage: the one with the lowest validation loss."""
        return best_epoch(list(self.stages.values())[-1])


@dataclass(frozen=True)
class Result:
    """One variant trained with one seed, and its answers on the test split."""

    trained: Trained
    test: Predictions
    test_seconds: Predictions | None
    """Ten answers per clip (the 1-s protocol of DCASE); None for a variant that needs whole clips."""
    diagnostics: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    """What else the variant says of the test clips, by name (see `FusionNetwork.diagnosed`): [n] each, in [0, 1]."""

    @property
    def variant(self) -> type[FusionNetwork]:
        """The variant that was trained."""
        return self.trained.variant

    @property
    def params(self) -> dict[str, Value]:
        """Every hyperparameter and recipe value that was in force."""
        return self.trained.params

    @property
    def seed(self) -> int:
        """That of the training."""
        return self.trained.seed

    @property
    def metrics(self) -> dict[str, float]:
        """Every metric, as `val/accuracy`, `test/log_loss`, `test_1s/class_log_loss` ..., the means of the diagnostics,
        as `test/gate`, and what training took.
        """
        answered = {"val": self.trained.validation, "test": self.test, "test_1s": self.test_seconds}
        means = {f"test/{name}": float(values.mean()) for name, values in self.diagnostics.items()}
        return {
            **evaluate_splits(answered),
            **means,
            "best_epoch": self.trained.best.epoch,
            "epochs": len(self.trained.history),
            "seconds": self.trained.seconds,
        }


def best_epoch(history: list[Epoch]) -> Epoch:
    """The epoch with the lowest validation loss, the first of equals."""
    return min(history, key=lambda epoch: epoch.val_loss)


def hyperparameters(variant: type[FusionNetwork]) -> dict[str, Hyperparameter]:
    """All that can be set for `variant`: what it uses of the recipe, with its own defaults, and its hyperparameters."""
    recipe = {
        name: with_default(entry, variant.recipe[name]) if name in variant.recipe else entry
        for name, entry in RECIPE.items()
        if name not in variant.cannot_use
    }
    return {**recipe, **variant.hyperparameters}


def check_usable(chosen: list[type[FusionNetwork]], given: Iterable[str], option: str = "params") -> None:
    """Raise `UserError` for a name in `given` that none of the `chosen` variants has; warn of who cannot use one."""
    for name in given:
        refusing = [f"{variant.id} ({variant.cannot_use[name]})" for variant in chosen if name in variant.cannot_use]
        if refusing:
            line = f"{option}: {name} cannot be used by {', '.join(refusing)}"
            if len(refusing) == len(chosen):
                raise UserError(f"{line}; leave it out")
            _log.warning("%s; they train without it", line)
    check_known([hyperparameters(variant) for variant in chosen], given, option)


def changed_params(variant: str, params: Mapping[str, object]) -> dict[str, tuple[object, Value]]:
    """Those of a run's `params`, as values or as text, that are not the defaults (the study's), each with its default.

    Empty where none differs, and for a `variant` that is not known here.
    """
    known = variants().get(variant)
    table = hyperparameters(known) if known else {}
    return {
        name: (params[name], entry.default)
        for name, entry in table.items()
        if name in params and str(params[name]) != str(entry.default)
    }


def resolve_params(chosen: list[type[FusionNetwork]], given: Mapping[str, str]) -> list[dict[str, Value]]:
    """For each of the `chosen` variants all its values: `given` where it has that name, else its default.

    Raises `UserError` for a name that none of the `chosen` variants has and for an illegal value; warns of who cannot
    use one.
    """
    check_usable(chosen, given)
    return [resolve(hyperparameters(variant), given) for variant in chosen]


def train(
    data: SplitFeatures,
    variant: type[FusionNetwork],
    params: dict[str, Value],
    seed: int,
    device: torch.device,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> Trained:
    """Train `variant` on the training split, keeping the epoch with the lowest validation loss.

    `on_epoch` is called after each epoch and may raise to give up. Clips that lack a modality that the variant
    listens to are left out.
    """
    started = time.perf_counter()
    data = data.needing(variant.modalities)
    data.check_trainable()
    (training, recut_training), (validation, recut_validation) = (
        examples(data, variant, split) for split in (TRAIN, VALIDATION)
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed("init", variant.id, seed))
        network = build(variant, data.shape, params)
    network.to(device)
    history = []
    for epoch in fit_stages(network, training.to(device), validation.to(device), params, derive_seed("fit", seed)):
        history.append(epoch)
        on_epoch(epoch)
    classifier = _classifier(data, params, network.cpu())
    return Trained(
        variant=variant,
        params=params,
        seed=seed,
        history=history,
        classifier=classifier,
        validation=predictions(data, VALIDATION, classifier),
        seconds=time.perf_counter() - started,
        recut_clips=recut_training + recut_validation,
        splits={split: data.summary(split) for split in (TRAIN, VALIDATION, TEST)},
    )


def score_test(data: SplitFeatures, trained: Trained) -> Result:
    """`trained` with its answers for the test clips; to be called once, after every choice is made."""
    data = data.needing(trained.variant.modalities)
    classifier, seconds = trained.classifier, None
    if trained.variant.any_length:
        seconds = predictions_by_second(data, TEST, classifier)
    return Result(trained, predictions(data, TEST, classifier), seconds, diagnostics(data, TEST, classifier))


def _classifier(data: SplitFeatures, params: dict[str, Value], network: FusionNetwork) -> SceneClassifier:
    description = Description(network.id, data.shape, params, data.classes, data.store.provenance)
    return SceneClassifier(description, data.standardize["audio"], data.standardize["video"], network.eval())
