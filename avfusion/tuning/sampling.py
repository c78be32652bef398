"""Which values are tried next, when a trial is given up, and that one which was broken off is tried again."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner, MedianPruner, NopPruner
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
PRUNERS: Mapping[str, Callable[[], BasePruner]] = {
    # A few whole trials to compare with, and a few epochs before the first comparison.
    "median": lambda: MedianPruner(n_startup_trials=5, n_warmup_steps=5),
    "none": NopPruner,
}
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


def make_pruner(kind: str) -> BasePruner:
    """The pruner of this name; `UserError` lists them for another."""
    if kind not in PRUNERS:
        raise unknown("pruner", kind, list(PRUNERS))
    return PRUNERS[kind]()


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
