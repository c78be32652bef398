"""What a study has found: the best trial, all trials as a table, which hyperparameters mattered."""

import warnings

import pandas as pd
from optuna import Study
from optuna.exceptions import ExperimentalWarning
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from avfusion.errors import UserError
from avfusion.fusion.hyperparameters import Value
from avfusion.tuning.plans import Plan
from avfusion.tuning.study import FAILURE, METRICS, RUN, SURPLUS, done

COMPLETE = "complete"
EVALUATOR = FanovaImportanceEvaluator(seed=0)
"""Functional ANOVA (Hutter et al., An Efficient Approach for Assessing Hyperparameter Importance, ICML 2014)."""


def best_params(plan: Plan, study: Study) -> tuple[int, dict[str, Value]]:
    """Number and hyperparameters of the best trial (of equal ones the first). `UserError` if no trial was completed."""
    complete = study.get_trials(states=(TrialState.COMPLETE,))
    if not complete:
        reasons = {str(trial.user_attrs[FAILURE]) for trial in study.trials if FAILURE in trial.user_attrs}
        raise UserError(f"study {plan.name!r}: no trial was completed ({'; '.join(sorted(reasons)) or 'all pruned'})")
    best = study.best_trial
    return best.number, plan.space.complete(best.params)


def outcome(trial: FrozenTrial) -> str:
    """`complete`, `pruned`, `failed` (its training), `broken off` (its worker), or `waiting` or `running`."""
    if trial.state == TrialState.FAIL and not done(trial):
        return "broken off"
    return {TrialState.FAIL: "failed"}.get(trial.state, trial.state.name.lower())


def trials_table(plan: Plan, study: Study) -> pd.DataFrame:
    """Of each trial that trained, if only in part: trial, outcome, value, what was searched, validation metrics."""
    rows = []
    for trial in study.get_trials(deepcopy=False):
        if trial.state == TrialState.WAITING or SURPLUS in trial.user_attrs:
            continue
        metrics = trial.user_attrs.get(METRICS, {})
        rows.append(
            {
                "trial": trial.number,
                "outcome": outcome(trial),
                "value": trial.value if trial.state == TrialState.COMPLETE else None,
                **{name: trial.params.get(name) for name in plan.space.searched},
                "val_accuracy": metrics.get("val/accuracy"),
                "val_log_loss": metrics.get("val/log_loss"),
                "epochs": metrics.get("epochs", len(trial.intermediate_values)),
                "seconds": trial.duration.total_seconds() if trial.duration else None,
                "default": bool(trial.user_attrs.get("default", False)),
                "retry_of": trial.user_attrs.get("retry_of"),
                "run_id": trial.user_attrs.get(RUN, ""),
            }
        )
    return pd.DataFrame(rows)


def importances(study: Study) -> dict[str, float]:
    """Share of each hyperparameter in the variation of the value, in [0, 1], the largest first.

    Empty where fewer than four completed trials have different values.
    """
    values = {trial.value for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))}
    if len(values) < 4:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return dict(get_param_importances(study, evaluator=EVALUATOR))


def run_outcomes(plan: Plan, study: Study) -> dict[int, tuple[str, dict[str, Value], dict[str, float]]]:
    """Outcome, hyperparameters and metrics of each trial that has ended, by number."""
    names = set(plan.space.searched)
    return {
        trial.number: (
            outcome(trial),
            plan.space.complete(trial.params) if names <= set(trial.params) else {},
            trial.user_attrs.get(METRICS, {}),
        )
        for trial in study.get_trials(deepcopy=False)
        if trial.state.is_finished()
    }
