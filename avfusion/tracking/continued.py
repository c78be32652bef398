"""The runs of a job that was broken off, which the same job goes on with."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from avfusion.fusion.hyperparameters import Value
from avfusion.tracking.lookup import KIND, PARENT
from avfusion.tracking.runs import experiment_run, set_tags
from avfusion.training.stored_results import params_digest

JOB, MEMBER, CONTINUED_BY = "avfusion.job", "avfusion.member", "continued_by"
"""Tags: the run of the job that began the work; which part of it a run is; the job that went on where one broke off."""

ENDED = ("FINISHED", "FAILED", "KILLED")


@dataclass
class JobRuns:
    """The runs that a job logs into, beside and below its own.

    What an earlier run of the same, unfinished job has logged to the end stays as it is.
    """

    origin: str
    """Id of the job's run, or of that which began where this one goes on."""
    whole: dict[str, str] = field(default_factory=dict)
    """Member -> id of the run that has all of it."""

    @classmethod
    def begin(cls, origin: str | None) -> "JobRuns":
        """The runs of the active job, which goes on where the job of the run `origin` was broken off.

        What `origin` logged to the end is kept, what it left half logged is deleted. Without `origin`, or if this
        experiment has no such run, the job begins anew.
        """
        active = mlflow.active_run()
        assert active is not None, "work begins inside a job's run"
        job = active.info
        earlier = _tagged(job.experiment_id, origin) if origin else []
        runs = cls(str(origin) if earlier else job.run_id)
        set_tags({JOB: runs.origin})
        client = MlflowClient()
        for run in earlier:
            if run.info.status not in ENDED:
                client.set_terminated(run.info.run_id, "KILLED")
            if run.data.tags.get(KIND) == "job":
                client.set_tag(run.info.run_id, CONTINUED_BY, job.run_id)
            elif run.info.status == "FINISHED":
                runs.whole[run.data.tags.get(MEMBER, "")] = run.info.run_id
            else:
                client.delete_run(run.info.run_id)
        return runs

    @contextmanager
    def open(
        self, name: str, params: Mapping[str, Value], tags: Mapping[str, str], parent: str | None = None
    ) -> Iterator[mlflow.ActiveRun]:
        """A new run, as `experiment_run` opens one, for what is trained with `params`."""
        member = _member(name, params)
        if stale := self.whole.pop(member, None):
            MlflowClient().delete_run(stale)
        with experiment_run(name, {JOB: self.origin, MEMBER: member, **tags}, parent) as run:
            yield run

    def find(self, name: str, params: Mapping[str, Value]) -> str | None:
        """Id of the run `name` with `params`, if an earlier run of this job has logged it to the end."""
        return self.whole.get(_member(name, params))

    def log(
        self, name: str, params: Mapping[str, Value], tags: Mapping[str, str], parent: str, log: Callable[[], None]
    ) -> str:
        """Call `log` in a new run under the run `parent`; one that was logged before is put there instead; its id."""
        if found := self.find(name, params):
            MlflowClient().set_tag(found, PARENT, parent)
            return found
        with self.open(name, params, tags, parent) as run:
            log()
        return str(run.info.run_id)


def has_finished(run_id: str) -> bool:
    """Whether the run of this id has come to its end; not if there is none."""
    try:
        return bool(MlflowClient().get_run(run_id).info.status == "FINISHED")
    except MlflowException:
        return False


def _member(name: str, params: Mapping[str, Value]) -> str:
    return f"{name} {params_digest(params)}"


def _tagged(experiment_id: str, origin: str) -> list[Run]:
    """All runs of the experiment that belong to the work of the job `origin`."""
    found: list[Run] = mlflow.search_runs([experiment_id], f"tags.`{JOB}` = '{origin}'", output_format="list")
    return found
