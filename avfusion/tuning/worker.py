"""One process at work on a study: it trains one trial after another and says what came out.

It looks at the training and validation splits only.
"""

import signal
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from multiprocessing.connection import Connection
from typing import Any

import optuna
import pandas as pd
import torch
from optuna import Study, Trial, TrialPruned
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial, TrialState

from avfusion.errors import UserError
from avfusion.features import FeatureStore
from avfusion.fusion.hyperparameters import Value
from avfusion.scoring.metrics import evaluate_splits
from avfusion.system.presence import own_mark
from avfusion.training.experiment import Trained, train
from avfusion.training.fit import Epoch
from avfusion.training.split_features import SplitFeatures
from avfusion.tuning.plans import TARGETS, Plan
from avfusion.tuning.sampling import STAGE, retry
from avfusion.tuning.storage import open_storage
from avfusion.tuning.study import (
    FAILURE,
    METRICS,
    RUN,
    SURPLUS,
    WORKER,
    is_surplus,
    may_start,
    open_study,
    trial_metrics,
)


@dataclass(frozen=True)
class Started:
    """A trial begins, with these values of all hyperparameters; its worker waits for the id of its MLflow run."""

    number: int
    params: Mapping[str, Value]


@dataclass(frozen=True)
class Ended:
    """A trial has ended by itself."""

    number: int
    outcome: str
    """`complete`, `pruned` or `failed`."""
    metrics: Mapping[str, float]
    """See `trial_metrics`."""
    history: list[Epoch]
    reason: str = ""
    """Why it failed."""


@dataclass(frozen=True)
class Refused:
    """The worker cannot work at all, for a mistake of the user's."""

    reason: str


class SurplusError(Exception):
    """The trial is one too many (see `avfusion.tuning.study.is_surplus`)."""


@dataclass
class Objective:
    """Trains one trial; the value is the study's metric on validation."""

    plan: Plan
    data: SplitFeatures
    device: torch.device
    connection: Connection | None = None
    """Where `Started` and `Ended` are sent; None where nobody listens."""
    stopped: list[bool] = field(default_factory=list)
    """Gets an entry when the worker must stop after the epoch."""
    number: int = -1
    """The number of the trial that was begun last."""
    _history: list[Epoch] = field(default_factory=list)

    def __call__(self, trial: Trial) -> float:
        """Train with what `trial` suggests.

        With folds the value is the mean over them. Raises `TrialPruned` when the pruner gives up, `KeyboardInterrupt`
        when the worker must stop, `UserError` when training diverges.
        """
        self._history.clear()
        self.number = trial.number
        trial.set_user_attr(WORKER, own_mark())
        if is_surplus(self.plan, trial.study, trial.number):
            trial.set_user_attr(SURPLUS, True)
            raise SurplusError
        distributions = self.plan.space.distributions
        params = self.plan.space.complete({name: _suggest(trial, name, d) for name, d in distributions.items()})
        if self.connection is not None:
            trial.set_user_attr(RUN, self._announce(self.connection, Started(trial.number, params)))
        try:
            metrics = self._on_split(trial, params) if self.plan.folds is None else self._over_folds(trial, params)
        except UserError as error:
            trial.set_user_attr(FAILURE, str(error))
            raise
        trial.set_user_attr(METRICS, metrics)
        return metrics[TARGETS[self.plan.metric].final]

    def _on_split(self, trial: Trial, params: dict[str, Value]) -> dict[str, float]:
        """One training on the dataset's own split; the pruner is asked after each epoch."""
        on_epoch = partial(self._on_epoch, trial)
        return validation_metrics(train(self.data, self.plan.variant, params, self.plan.seed, self.device, on_epoch))

    def _over_folds(self, trial: Trial, params: dict[str, Value]) -> dict[str, float]:
        """Means over a training in each fold; the pruner is asked after each."""
        found: list[dict[str, float]] = []
        for number, data in enumerate(self.folds, 1):
            on_epoch = partial(self._on_fold_epoch, number)
            trained = train(data, self.plan.variant, params, self.plan.seed, self.device, on_epoch)
            found.append(validation_metrics(trained))
            trial.report(found[-1][TARGETS[self.plan.metric].final], number)
            if number < len(self.folds) and trial.should_prune():
                means = means_over_folds(found)
                trial.set_user_attr(METRICS, {**means, "objective": means[TARGETS[self.plan.metric].final]})
                raise TrialPruned
        return means_over_folds(found)

    @cached_property
    def folds(self) -> list[SplitFeatures]:
        """The data as each fold splits them."""
        assert self.plan.folds is not None, "asked for only where there are folds"
        return self.data.in_search_folds(self.plan.folds)

    def _announce(self, connection: Connection, started: Started) -> str:
        try:
            connection.send(started)
            return str(connection.recv())
        except (EOFError, OSError):  # the parent is gone
            raise KeyboardInterrupt from None

    def _on_epoch(self, trial: Trial, epoch: Epoch) -> None:
        self._note(epoch)
        stages = list(dict.fromkeys(record.stage for record in self._history))
        trial.report(TARGETS[self.plan.metric].at(epoch), (len(stages) - 1) * STAGE + epoch.epoch)
        if trial.should_prune():
            raise TrialPruned

    def _on_fold_epoch(self, number: int, epoch: Epoch) -> None:
        self._note(replace(epoch, stage=f"fold_{number}/{epoch.stage}".rstrip("/")))

    def _note(self, epoch: Epoch) -> None:
        self._history.append(epoch)
        if self.stopped:
            raise KeyboardInterrupt

    def ended(self, study: Study, trial: FrozenTrial) -> None:
        """Send what became of `trial`, after the storage was told."""
        outcome = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned"}.get(trial.state, "failed")
        reason = trial.user_attrs.get(FAILURE, "")
        if self.connection is None or (outcome == "failed" and not reason):
            return
        with suppress(OSError):  # the parent is gone; the storage knows the trial
            self.connection.send(Ended(trial.number, outcome, trial_metrics(trial), list(self._history), reason))


def validation_metrics(trained: Trained) -> dict[str, float]:
    """Every metric on the validation split, and the epochs and seconds of the training."""
    return {
        **evaluate_splits({"val": trained.validation}),
        "best_epoch": trained.best.epoch,
        "epochs": len(trained.history),
        "seconds": trained.seconds,
    }


def means_over_folds(folds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Means of the folds' `validation_metrics`, and the seconds of all."""
    found = pd.DataFrame(folds)
    means = {str(name): float(value) for name, value in found.mean().items()}
    return {**means, "seconds": float(found["seconds"].sum()), "folds": len(folds)}


def work(connection: Connection, plan: Plan, device: torch.device) -> None:
    """What a worker process does: trials of `plan` until there are enough. At SIGTERM it stops after the epoch."""
    stopped: list[bool] = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    quiet()
    torch.set_num_threads(1)
    try:
        # With folds each would keep its own copy of the sequences.
        whole = SplitFeatures(FeatureStore.open(plan.features), keep_sequences=plan.folds is None)
        data = whole.needing(plan.variant.modalities)
        study = open_study(plan, open_storage(plan.storage))
        objective = Objective(plan, data, device, connection, stopped)
        while not stopped and may_start(plan, study):
            study.optimize(objective, n_trials=1, catch=(UserError, SurplusError), callbacks=[objective.ended])
    except UserError as error:
        connection.send(Refused(str(error)))
    except KeyboardInterrupt:  # Optuna has marked the trial as failed
        retry(study, next(trial for trial in study.get_trials(deepcopy=False) if trial.number == objective.number))


def quiet() -> None:
    """Silence Optuna: its log lines say nothing that MLflow does not show."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=ExperimentalWarning)


def _suggest(trial: Trial, name: str, distribution: BaseDistribution) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(name, distribution.choices)
    if isinstance(distribution, IntDistribution):
        return trial.suggest_int(name, distribution.low, distribution.high, log=distribution.log)
    assert isinstance(distribution, FloatDistribution)
    return trial.suggest_float(name, distribution.low, distribution.high, log=distribution.log)
