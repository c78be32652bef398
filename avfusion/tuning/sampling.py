"""Which values are tried next, when a trial is given up, and that one which was broken off is tried again."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, MedianPruner, NopPruner, WilcoxonPruner
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from avfusion.errors import unknown
from avfusion.system.seeds import derive_seed

SAMPLERS: Mapping[str, Callable[[int], BaseSampler]] = {
    "tpe": lambda seed: TPESampler(seed=seed, multivariate=True, constant_liar=True),
    "gp": lambda seed: GPSampler(seed=seed),
    "random": lambda seed: RandomSampler(seed=seed),
    # The points of a grid are queued when the study is made; what is drawn beside them replaces lost ones.
    "grid": lambda seed: RandomSampler(seed=seed),
}
STAGE = 1_000_000
"""A trial reports the epochs of its first stage at the steps from 1 on, those of the next from STAGE + 1 on ..."""
WARMUP = 5
"""Epochs of a stage before the first comparison."""


class MedianWithinStages(MedianPruner):
    """Optuna's median rule, stage by stage: another stage trains another network, whose values compare with none of it.

    A trial is given up when its best value of a stage so far is worse than the median of what the whole trials, of
    which there must be five, had at the same epoch of the same stage.
    """

    def __init__(self) -> None:
        super().__init__(n_startup_trials=5, n_warmup_steps=0)  # the warm-up is that of each stage, below

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """See `BasePruner.prune`."""
        stage, epoch = divmod(trial.last_step or 0, STAGE)
        if epoch < WARMUP:
            return False
        of_stage = copy(trial)
        of_stage.intermediate_values = {
            step: value for step, value in trial.intermediate_values.items() if step // STAGE == stage
        }
        return super().prune(study, of_stage)


def _between_folds() -> BasePruner:
    """Wilcoxon's test of a trial's folds against the best trial's.

    At 0.2 it can tell after three folds: three that are all worse have p = 1/8. At Optuna's 0.1 it takes four, which of
    five folds saves one. A trial whose mean so far is the best is never given up, whatever the test says.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return WilcoxonPruner(p_threshold=0.2, n_startup_steps=3)


PRUNERS: Mapping[str, Callable[[bool], BasePruner]] = {
    "median": lambda has_folds: _between_folds() if has_folds else MedianWithinStages(),
    "none": lambda has_folds: NopPruner(),
}
"""When a trial is given up; told whether it reports a value after each fold, or after each epoch."""
MOST_RETRIES = 3
"""Times that the values of a trial which was broken off are tried again; then they are left alone."""


class NamedSeeds(BaseSampler):
    """A sampler whose draws depend on the name of the study and the number of the trial alone.

    Each trial gets a sampler of its own, seeded by the study's name and the trial's number, which no other trial has:
    so no two workers, on one machine or several, now or after an interruption, draw from the same seed; and with one
    worker a study that was stopped and resumed suggests what an uninterrupted one would.
    """

    def __init__(self, kind: str) -> None:
        if kind not in SAMPLERS:
            raise unknown("sampler", kind, list(SAMPLERS))
        self._make = SAMPLERS[kind]
        self._sampler = self._make(0)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """See `BaseSampler.before_trial`."""
        self._sampler = self._make(derive_seed("sampler", study.study_name, trial.number))
        self._sampler.before_trial(study, trial)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """See `BaseSampler.infer_relative_search_space`."""
        return self._sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """See `BaseSampler.sample_relative`."""
        return self._sampler.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """See `BaseSampler.sample_independent`."""
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """See `BaseSampler.after_trial`."""
        self._sampler.after_trial(study, trial, state, values)


def make_pruner(kind: str, *, has_folds: bool = False) -> BasePruner:
    """The pruner of this name, for trials that have folds or not; `UserError` lists the names for another."""
    if kind not in PRUNERS:
        raise unknown("pruner", kind, list(PRUNERS))
    return PRUNERS[kind](has_folds)


def retry(study: Study, trial: FrozenTrial) -> None:
    """Queue the values of `trial`, which was broken off, for the next free worker, unless that was done before.

    Optuna's own callback also copies who worked on the trial and its run in MLflow, which belong to the old one.
    """
    retries = int(trial.user_attrs.get("retries", 0)) + 1
    values = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
    if values and retries <= MOST_RETRIES and trial.number not in retried(study.get_trials(deepcopy=False)):
        study.enqueue_trial(values, user_attrs={"retry_of": trial.number, "retries": retries})


def retried(trials: Sequence[FrozenTrial]) -> set[int]:
    """The numbers of those trials whose values were queued again."""
    return {trial.user_attrs["retry_of"] for trial in trials if "retry_of" in trial.user_attrs}
