"""A trial that was broken off is tried again, with the same values."""

from collections.abc import Sequence

from optuna import Study
from optuna.trial import FrozenTrial

MOST_RETRIES = 3
"""After so many the values are left alone, and another trial takes the place."""


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
