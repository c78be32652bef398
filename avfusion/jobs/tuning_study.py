"""One tuning study of the job `tune`: its trials, then the best configuration against the default."""

import logging
from dataclasses import dataclass, field

import pandas as pd

from avfusion.features.provenance import note, tags
from avfusion.jobs.retrain import DEFAULT, TUNED, comparison_lines, remarks, retrain
from avfusion.report.cautions import rests_on
from avfusion.system.progress import Progress, show_progress
from avfusion.tracking.artifacts import log_table
from avfusion.tracking.continued import JobRuns
from avfusion.tracking.notes import write_note
from avfusion.tracking.studies import (
    StudyRecord,
    TrialRuns,
    close_left,
    link_from_outside,
    log_study,
    study_run,
)
from avfusion.tracking.views import View, trials_view
from avfusion.training.many import Trainer
from avfusion.training.selection import Candidate
from avfusion.tuning.dashboard import leave_note
from avfusion.tuning.importances_figure import importances_figure
from avfusion.tuning.interactive import interactive_page
from avfusion.tuning.leader import Leadership
from avfusion.tuning.plans import TARGETS, Plan
from avfusion.tuning.pool import Pool
from avfusion.tuning.results import best_params, importances, run_outcomes, trials_table
from avfusion.tuning.study import RUN, Study, n_done, recover
from avfusion.tuning.worker import Ended, Started

log = logging.getLogger(__name__)


@dataclass
class TuningStudy:
    """One study from its first trial, or from where it was, to the comparison at its end."""

    plan: Plan
    study: Study
    n_workers: int
    """Processes that run its trials."""
    seeds: tuple[int, ...]
    """Of the trainings at its end."""
    trainer: Trainer
    runs: JobRuns
    comparison: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Of `retrain`, after `run`; stays empty unless this process leads the study."""
    tuned: Candidate | None = None
    """The best configuration, likewise."""
    run_id: str = ""
    """Of the study, once `run` has begun."""

    def run(self) -> list[str]:
        """Work on the study; what to tell people."""
        plan, leadership = self.plan, Leadership(self.study)
        run_tags = {"variant": plan.variant.id, "study": plan.name, **tags(self.trainer.data.store.provenance)}
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
                    leave_note(self.study, link_from_outside(run_id))
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
            with show_progress(self.plan.name, total, "trial", done=min(already, total)) as bar:
                watcher = Watcher(self.study, runs, bar)
                Pool(self.plan, self.study, self.trainer.device, self.n_workers, watcher).run(leadership)
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
        value, remark = plan.value_in_words, note(self.trainer.data.store.provenance)
        unit = "epoch" if plan.folds is None else "fold"
        record = StudyRecord(
            title=plan.variant.title,
            asked=plan.asked,
            trials=table,
            scales=plan.space.scales,
            importances=importances(self.study),
            importances_figure=importances_figure(self.study, plan.variant.title, value, remark),
            page=interactive_page(self.study, f"{plan.variant.title}, {plan.name}", value, unit, remark),
            metric=value,
            larger_is_better=metric.direction == "maximize",
            best_trial=number,
            best_params=best,
        )
        log_study(record, self.trainer.data.store)
        configurations = {TUNED: best, DEFAULT: dict(plan.space.defaults)}
        self.comparison, self.tuned = retrain(
            self.trainer, self.runs, plan.variant, configurations, self.seeds, study=plan.name, study_run=run_id
        )
        log_table(self.comparison, "comparison")
        lines = self._lines(record)
        write_note("\n".join(["```", *lines, "```"]), self.trainer.data.store, see_also=[self.tuned.run_id])
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
    """Keeps MLflow, Optuna's dashboard and a progress bar up to date with a pool."""

    study: Study
    runs: TrialRuns
    bar: Progress

    def started(self, started: Started) -> str:
        """See `avfusion.tuning.pool.Listener`."""
        run_id = self.runs.start(started.number, started.params)
        leave_note(self.study, link_from_outside(run_id), started.number)
        return run_id

    def ended(self, ended: Ended) -> None:
        """See `avfusion.tuning.pool.Listener`."""
        self.runs.end(ended.number, ended.outcome, ended.metrics, ended.history, ended.reason)
        self.bar.update()

    def lost(self, number: int, reason: str) -> None:
        """See `avfusion.tuning.pool.Listener`."""
        self.runs.end(number, "broken off", {}, reason=reason)
