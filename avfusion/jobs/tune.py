"""The job `tune`: one study per variant, then the best configuration against the default."""

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import pandas as pd
import torch
from tqdm import tqdm

from avfusion.features import FeatureStore
from avfusion.features.provenance import note, tags, title
from avfusion.jobs.features import open_features
from avfusion.jobs.promotion import promote_best
from avfusion.jobs.retrain import DEFAULT, TUNED, comparison_lines, remarks, retrain
from avfusion.report.cautions import rests_on
from avfusion.system.device import choose_device
from avfusion.tracking.artifacts import log_table
from avfusion.tracking.notes import write_note
from avfusion.tracking.session import connect
from avfusion.tracking.studies import StudyRecord, TrialRuns, close_left, log_study, study_run
from avfusion.tracking.views import View, trials_view, view_lines
from avfusion.tracking.work import Work, training_job
from avfusion.training.many import Trainer, check_trainable
from avfusion.training.precision import check_precision
from avfusion.training.selection import Candidate
from avfusion.training.split_features import SplitFeatures
from avfusion.tuning.drawings import drawings
from avfusion.tuning.leader import Leadership
from avfusion.tuning.plans import TARGETS, Plan, make_plans
from avfusion.tuning.pool import Pool
from avfusion.tuning.results import best_params, importances, run_outcomes, trials_table
from avfusion.tuning.storage import open_storage
from avfusion.tuning.study import RUN, Study, n_done, open_study, recover
from avfusion.tuning.worker import Ended, Started, quiet

log = logging.getLogger(__name__)


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
    studies = [open_study(plan, opened) for plan in plans]
    connect()
    with training_job("tune") as job:
        asked = {"studies": [plan.name for plan in plans], "storage": plans[0].storage, "seeds": retrain}
        work = job.begin(asked, store, target)
        trainer = Trainer(data, target, work.results, workers)
        tunings = [
            Tuning(plan, its_study, store, target, workers, retrain, trainer, work)
            for plan, its_study in zip(plans, studies, strict=True)
        ]
        told = [line for tuning in tunings for line in ["", *tuning.run()]]
        _log_summary(tunings)
        promoted = ["", *_promote(tunings)] if promote else []
        ui = view_lines(job.experiment_id, *(tuning.view for tuning in tunings))
        return ["", title(store.provenance), *told, *promoted, "", *ui]


def _check(plans: list[Plan], data: SplitFeatures, device: torch.device) -> None:
    """Raises `UserError` for what cannot be trained on these features or on this machine, before any trial is."""
    check_precision([(plan.variant, values) for plan in plans for values in plan.space.each("precision")], device)
    folds = data.in_search_folds(plans[0].folds) if plans[0].folds is not None else []
    check_trainable(data, [plan.variant for plan in plans], [data, *folds])


def _log_summary(tunings: "list[Tuning]") -> None:
    """The comparisons of all studies in one table, if this process has any."""
    summary = pd.concat([tuning.comparison.assign(variant=tuning.plan.variant.id) for tuning in tunings])
    if summary.size:
        log_table(summary, "summary")


def _promote(tunings: "list[Tuning]") -> list[str]:
    """Promote the best tuned variant, if all are known here; what to tell people."""
    others = [tuning.plan.name for tuning in tunings if tuning.tuned is None]
    if others:
        return [
            f"promoted nothing: another process finishes {', '.join(others)}; when it has, the same command or "
            "compare with promote=true chooses among all"
        ]
    return promote_best([tuning.tuned for tuning in tunings if tuning.tuned is not None])


@dataclass
class Tuning:
    """One study from its first trial, or from where it was, to the comparison at its end."""

    plan: Plan
    study: Study
    store: FeatureStore
    device: torch.device
    n_workers: int
    seeds: tuple[int, ...]
    trainer: Trainer
    work: Work
    comparison: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Of `retrain`, after `run`; stays empty unless this process leads the study."""
    tuned: Candidate | None = None
    """The best configuration, likewise."""
    run_id: str = ""
    """Of the study, once `run` has begun."""

    def run(self) -> list[str]:
        """Work on the study; what to tell people."""
        plan, leadership = self.plan, Leadership(self.study)
        run_tags = {"variant": plan.variant.id, "study": plan.name, **tags(self.store.provenance)}
        try:
            with study_run(
                f"{plan.variant.id} tuning",
                {"avfusion.kind": "study", "storage": plan.storage, **run_tags},
                self.study.user_attrs.get(RUN),
                join=not leadership.leads,
            ) as run_id:
                self.run_id = run_id
                if leadership.leads:
                    self.study.set_user_attr(RUN, run_id)
                self._search(leadership, TrialRuns(run_id, run_tags))
                if not leadership.leads:
                    return self._joined()
                return self._finish(run_id)
        finally:
            leadership.release()

    @property
    def view(self) -> View:
        """Its trials in the UI."""
        return trials_view(self.plan.name, self.run_id, list(self.plan.space.searched))

    def _search(self, leadership: Leadership, runs: TrialRuns) -> None:
        """All trials that are missing, each in a run of its own."""
        recover(self.study)
        already, total = n_done(self.study), self.plan.total
        try:
            with tqdm(total=total, initial=min(already, total), desc=self.plan.name, unit="trial") as bar:
                Pool(self.plan, self.study, self.device, self.n_workers, Watcher(runs, bar)).run(leadership)
        except KeyboardInterrupt:
            log.warning(
                "study %s: %d of %d trials are done and kept in %s; the same command resumes",
                self.plan.name, n_done(self.study), total, self.plan.storage,
            )  # fmt: skip
            raise
        finally:
            close_left(runs.parent, run_outcomes(self.plan, self.study))

    def _joined(self) -> list[str]:
        done = f"{n_done(self.study)} of {self.plan.total} trials are done"
        return [f"study {self.plan.name}: {done}; the process that began it finishes it (else the same command does)"]

    def _finish(self, run_id: str) -> list[str]:
        """Tables, figures, and the best configuration trained again beside the default."""
        plan, metric = self.plan, TARGETS[self.plan.metric]
        number, best = best_params(plan, self.study)
        table = trials_table(plan, self.study)
        value = f"validation {plan.metric.replace('_', ' ')}"
        record = StudyRecord(
            title=plan.variant.title,
            asked=plan.asked,
            trials=table,
            scales=plan.space.scales,
            importances=importances(self.study),
            drawings=drawings(self.study, plan.variant.title, value, note(self.store.provenance)),
            metric=plan.metric,
            larger_is_better=metric.direction == "maximize",
            best_trial=number,
            best_params=best,
        )
        log_study(record, self.store)
        configurations = {TUNED: best, DEFAULT: dict(plan.space.defaults)}
        self.comparison, self.tuned = retrain(
            self.trainer, self.work.runs, plan.variant, configurations, self.seeds, study=plan.name, study_run=run_id
        )
        log_table(self.comparison, "comparison")
        lines = self._lines(record)
        write_note("\n".join(["```", *lines, "```"]), self.store, see_also=[self.tuned.run_id])
        return lines

    def _lines(self, record: StudyRecord) -> list[str]:
        plan, trials = self.plan, record.trials
        counts = ", ".join(f"{n} {name}" for name, n in trials["outcome"].value_counts().items())
        values = trials.set_index("trial")["value"]
        first = values[trials.set_index("trial")["default"]].dropna()
        over = f", mean over {plan.folds} folds" if plan.folds is not None else ""
        of_defaults = f" (defaults: {first.iloc[-1]:.4f})" if len(first) else ""
        searched = ", ".join(f"{name}={_short(record.best_params[name])}" for name in plan.space.searched)
        best = f"{values[record.best_trial]:.4f}"
        return [
            f"study {plan.name}: {len(trials)} trials ({counts}), kept in {plan.storage}",
            f"best trial {record.best_trial}: validation {plan.metric} {best}{over}{of_defaults}",
            f"  {searched}",
            f"retrained with {self._seeds_in_words()}:",
            *(f"  {line}" for line in comparison_lines(self.comparison)),
            *remarks(self.comparison, TARGETS[plan.metric], has_defaults=plan.space.has_defaults),
            f"seeds    {rests_on(len(self.seeds), 'retrain')}",
        ]

    def _seeds_in_words(self) -> str:
        if len(self.seeds) == 1:
            return f"seed {self.seeds[0]}"
        return f"seeds {','.join(map(str, self.seeds))}, mean (standard deviation)"


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


@dataclass
class Watcher:
    """Keeps MLflow and a progress bar up to date with a pool."""

    runs: TrialRuns
    bar: "tqdm[NoReturn]"

    def started(self, started: Started) -> str:
        """See `avfusion.tuning.pool.Listener`."""
        return self.runs.start(started.number, started.params)

    def ended(self, ended: Ended) -> None:
        """See `avfusion.tuning.pool.Listener`."""
        self.runs.end(ended.number, ended.outcome, ended.metrics, ended.history, ended.reason)
        self.bar.update()

    def lost(self, number: int, reason: str) -> None:
        """See `avfusion.tuning.pool.Listener`."""
        self.runs.end(number, "broken off", {}, reason=reason)
