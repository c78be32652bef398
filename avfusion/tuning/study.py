"""Opening a study, and how far it has come: trials are counted so that the total is right, whoever was killed.

A trial counts while it waits or runs, and when it is done: complete, pruned, or failed by itself (its training
diverged). One that was broken off does not count; its values wait as another trial.
"""

import warnings
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

import optuna
from optuna import Study as Study  # the job names its type without importing Optuna
from optuna.exceptions import DuplicatedStudyError, ExperimentalWarning, UpdateFinishedTrialError
from optuna.storages import BaseStorage, fail_stale_trials
from optuna.trial import FrozenTrial, TrialState

from avfusion.errors import UserError
from avfusion.system.presence import gone, on_this_host
from avfusion.system.seeds import derive_seed
from avfusion.tuning.plans import TARGETS, Plan
from avfusion.tuning.sampling import NamedSeeds, make_pruner, retried, retry

IDENTITY, SPACE = "identity", "space"
WORKER, FAILURE, METRICS, RUN, SURPLUS = "worker", "failure", "metrics", "mlflow_run", "surplus"
"""User attributes: two of the study; five of a trial: its process, why it failed, its final metrics, its MLflow run,
and that it was one too many and trained nothing."""

UNMARKED = 60.0
"""Seconds after which a running trial that no process has put its mark on is taken for broken off."""


def open_study(plan: Plan, storage: BaseStorage) -> Study:
    """The study of `plan`: made, with its first trials queued, or joined where it is there already.

    Raises `UserError` if the study of this name searches something else.
    """
    sampler, pruner = NamedSeeds(plan.sampler), make_pruner(plan.pruner, has_folds=plan.folds is not None)
    direction = TARGETS[plan.metric].direction
    try:
        study = optuna.create_study(
            storage=storage, study_name=plan.name, direction=direction, sampler=sampler, pruner=pruner
        )
    except DuplicatedStudyError:
        study = optuna.load_study(storage=storage, study_name=plan.name, sampler=sampler, pruner=pruner)
    if not study.user_attrs and not study.get_trials(deepcopy=False):  # new, or its maker was killed at once
        study.set_user_attr(IDENTITY, plan.identity)
        study.set_user_attr(SPACE, plan.space.in_words)
        study.set_metric_names([plan.value_in_words])  # for Optuna's dashboard
        study.enqueue_trial(plan.space.first, user_attrs={"default": plan.space.has_defaults})
    _check(plan, study)
    if plan.sampler == "grid":
        _queue_grid(plan, study)
    return study


def trial_metrics(trial: FrozenTrial) -> dict[str, float]:
    """What a trial came to: all metrics of its chosen epoch on validation, and `objective`, what the study improves.

    A pruned trial has the objective alone, after its last epoch, or with folds means over those that it trained in; a
    failed one has nothing.
    """
    value = {} if trial.value is None else {"objective": trial.value}
    return {**value, **trial.user_attrs.get(METRICS, {})}


def _check(plan: Plan, study: Study) -> None:
    found = study.user_attrs.get(IDENTITY, {})
    for key, wanted in plan.identity.items():
        if found.get(key) != wanted:
            there, here = found.get(key, "nothing"), wanted
            if key == "space":
                there, here = _differing(study.user_attrs.get(SPACE, {}), plan.space.in_words)
            raise UserError(
                f"study {plan.name!r} is there already, with {key} {there}, not {here}; "
                "give another name, as study=NAME, or ask for the same"
            )


def _differing(*spaces: dict[str, str]) -> tuple[str, str]:
    """Of two spaces, the hyperparameters that differ, each as `name=values, name=values`."""
    there, here = spaces
    names = [name for name in {**there, **here} if there.get(name) != here.get(name)]
    first, second = (
        ", ".join(f"{name}={found[name]}" for name in names if name in found) or "nothing" for found in spaces
    )
    return first, second


def _queue_grid(plan: Plan, study: Study) -> None:
    """Queue the points of the grid that were not tried, one for each trial that is to come."""
    trials = study.get_trials(deepcopy=False)
    seen = [{**trial.system_attrs.get("fixed_params", {}), **trial.params} for trial in trials]
    points = plan.space.grid(plan.n_trials + len(seen), derive_seed("grid", plan.name))
    missing = max(plan.total - len(counted(trials)), 0)
    for point in [point for point in points if point not in seen][:missing]:
        study.enqueue_trial(point)


def done(trial: FrozenTrial) -> bool:
    """Whether `trial` has ended by itself: complete, pruned, or because its training failed."""
    return trial.state in (TrialState.COMPLETE, TrialState.PRUNED) or (
        trial.state == TrialState.FAIL and FAILURE in trial.user_attrs
    )


def counted(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Those of `trials` that count towards the total: one whose values wait again does not, though it seems to run."""
    going, again = (TrialState.WAITING, TrialState.RUNNING), retried(trials)
    return [trial for trial in trials if done(trial) or (trial.state in going and trial.number not in again)]


def may_start(plan: Plan, study: Study) -> bool:
    """Whether there is a trial for a worker that is free."""
    trials = study.get_trials(deepcopy=False)
    waiting = any(trial.state == TrialState.WAITING for trial in trials)
    return len(counted(trials)) < plan.total or (waiting and n_done(study) < plan.total)


def is_surplus(plan: Plan, study: Study, number: int) -> bool:
    """Whether trial `number` is one too many: two workers began the last trial at once, and the lower number counts."""
    return sum(trial.number < number for trial in counted(study.get_trials(deepcopy=False))) >= plan.total


def n_done(study: Study) -> int:
    """How many trials of `study` have ended by themselves (see `done`)."""
    return sum(map(done, study.get_trials(deepcopy=False)))


def recover(study: Study) -> list[int]:
    """End the trials whose workers are gone and queue their values again; returns the numbers of those on this host.

    Workers on other hosts are known to be gone when their heartbeat in the database has stopped.
    """
    lost = []
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if _abandoned(trial):
            retry(study, trial)  # first, so that no free worker begins another in its place
            with suppress(ValueError, UpdateFinishedTrialError):  # another process was faster
                study.tell(trial.number, state=TrialState.FAIL)
                lost.append(trial.number)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        fail_stale_trials(study)
    return lost


def _abandoned(trial: FrozenTrial) -> bool:
    if (mark := trial.user_attrs.get(WORKER)) is not None:
        return on_this_host(mark) and gone(mark)
    started = trial.datetime_start
    return started is not None and (datetime.now() - started).total_seconds() > UNMARKED
