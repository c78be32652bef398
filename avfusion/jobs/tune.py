"""The job `tune`: one study per variant, then the best configuration against the default."""

from pathlib import Path

import pandas as pd
import torch

from avfusion.features.provenance import title
from avfusion.jobs.features import open_features
from avfusion.jobs.promotion import promote_best
from avfusion.jobs.tuning_study import TuningStudy
from avfusion.system.device import choose_device
from avfusion.tracking.artifacts import log_table
from avfusion.tracking.session import connect
from avfusion.tracking.views import view_lines
from avfusion.tracking.work import training_job
from avfusion.training.many import Trainer, check_trainable
from avfusion.training.precision import check_precision
from avfusion.training.split_features import SplitFeatures
from avfusion.tuning.dashboard import dashboard_lines
from avfusion.tuning.plans import Plan, make_plans
from avfusion.tuning.storage import open_storage
from avfusion.tuning.study import open_study
from avfusion.tuning.worker import quiet


def tune_job(
    *,
    features: Path,
    variant: tuple[str, ...],
    trials: int,
    workers: int,
    metric: str,
    sampler: str,
    pruner: str,
    space: dict[str, str],
    storage: str | None,
    study: str | None,
    folds: int | None,
    retrain: tuple[int, ...],
    device: str,
    promote: bool,
) -> list[str]:
    """Search the hyperparameters of each variant by its validation score, then train the best and the default again.

    Unimodal variants come first: they go along with the models of the fusions as companions.

    Args:
        features: a feature store, or a folder of HDF5 features.
        variant: ids of variants, or `quick` or `all` alone; each gets a study of its own.
        trials: the total of each study, over all processes that ever work on it.
        workers: processes of this job that run trials, each with one thread.
        metric: what validation is to improve: `log_loss` or `accuracy`.
        sampler: how trials are chosen: `tpe`, `gp`, `random` or `grid`.
        pruner: when a trial is given up early: `median`, after an epoch that is worse than the median of other trials
            (with folds after one, by Wilcoxon's test), or `none` for never.
        space: in place of what the variant searches: `low:high`, `a|b|c` or one value, by hyperparameter.
        storage: where studies live: a journal file, sqlite:///FILE or postgresql://...; None is a file under runs/.
        study: name of the study; None makes one of variant, features and metric.
        folds: of the clips outside the test split; a trial's score is its mean over them. None takes the dataset's
            training and validation clips.
        retrain: seeds of the trainings at the end.
        device: `auto`, `cpu` or `cuda`.
        promote: whether the best tuned variant on validation clips becomes the champion of the registry.

    Returns the lines to show. Raises `UserError` for anything that cannot be used, before any training.
    """
    target = choose_device(device)
    store = open_features(features)
    plans = make_plans(store, variant, trials, metric, sampler, pruner, space, storage, study, folds)
    data = SplitFeatures(store)
    _check(plans, data, target)
    quiet()
    opened = open_storage(plans[0].storage)
    begun = [(plan, open_study(plan, opened)) for plan in plans]
    connect()
    with training_job("tune") as job:
        asked = {"studies": [plan.name for plan in plans], "storage": plans[0].storage, "seeds": retrain}
        work = job.begin(asked, store, target)
        trainer = Trainer(data, target, work.results, workers)
        studies = [TuningStudy(*plan_and_study, workers, retrain, trainer, work.runs) for plan_and_study in begun]
        told = [line for each in studies for line in ["", *each.run()]]
        _log_summary(studies)
        promoted = ["", *_promote(studies)] if promote else []
        ui = view_lines(job.experiment_id, *(each.view for each in studies))
        return ["", title(store.provenance), *told, *promoted, "", *dashboard_lines(plans[0].storage), *ui]


def _check(plans: list[Plan], data: SplitFeatures, device: torch.device) -> None:
    """Raises `UserError` for what cannot be trained on these features or on this machine, before any trial is."""
    check_precision([(plan.variant, values) for plan in plans for values in plan.space.each("precision")], device)
    folds = data.in_search_folds(plans[0].folds) if plans[0].folds is not None else []
    check_trainable(data, [plan.variant for plan in plans], [data, *folds])


def _log_summary(studies: list[TuningStudy]) -> None:
    """The comparisons of all studies in one table, if this process has any."""
    summary = pd.concat([each.comparison.assign(variant=each.plan.variant.id) for each in studies])
    if summary.size:
        log_table(summary, "summary")


def _promote(studies: list[TuningStudy]) -> list[str]:
    """Promote the best tuned variant, if all are known here; what to tell people."""
    others = [each.plan.name for each in studies if each.tuned is None]
    if others:
        return [
            f"promoted nothing: another process finishes {', '.join(others)}; when it has, the same command or "
            "compare with promote=true chooses among all"
        ]
    return promote_best([each.tuned for each in studies if each.tuned is not None])
