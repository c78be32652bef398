"""How runs end: by themselves, interrupted at any moment, or by the next job after a kill."""

from collections.abc import Iterator
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient

from avfusion.system.presence import host, own_mark, process_space
from avfusion.tracking.runs import HOST, PROCESS, REASON, SPACE, experiment_run, job_run
from avfusion.tracking.session import connect


@pytest.fixture(autouse=True)
def experiment(tracking_uri: str) -> Iterator[str]:
    """The id of the experiment of these tests, which is MLflow's choice while they run."""
    with pytest.MonkeyPatch.context() as context:
        context.setenv("MLFLOW_EXPERIMENT_NAME", "endings")
        connect()
        found = MlflowClient().get_experiment_by_name("endings")
        assert found is not None
        yield str(found.experiment_id)
    connect()


def status(run_id: str) -> str:
    return str(MlflowClient().get_run(run_id).info.status)


@pytest.mark.parametrize(("error", "expected"), [(KeyboardInterrupt, "KILLED"), (ValueError, "FAILED")])
def test_how_a_job_and_its_runs_end(error: type[BaseException], expected: str) -> None:
    with pytest.raises(error), job_run("job") as job, experiment_run("variant", {}) as variant:
        raise error
    assert status(job.info.run_id) == status(variant.info.run_id) == expected


@pytest.mark.parametrize("moment", ["start_run", "end_run"])
def test_an_interruption_while_a_run_is_opened_or_closed(
    monkeypatch: pytest.MonkeyPatch, moment: str, experiment: str
) -> None:
    """MLflow has by then made the run and not said so, or forgotten it and not closed it."""
    original, calls = MlflowClient.create_run if moment == "start_run" else MlflowClient.set_terminated, list[str]()

    def interrupted(*arguments: Any, **options: Any) -> Any:
        calls.append(moment)
        if len(calls) == 2:  # of the variant when opened, of the job when closed
            if moment == "start_run":
                original(*arguments, **options)
            raise KeyboardInterrupt
        return original(*arguments, **options)

    monkeypatch.setattr(MlflowClient, "create_run" if moment == "start_run" else "set_terminated", interrupted)
    before = {run.info.run_id for run in MlflowClient().search_runs([experiment])}
    with pytest.raises(KeyboardInterrupt), job_run("job"), experiment_run("variant", {}):
        pass
    found = {run.info.status for run in MlflowClient().search_runs([experiment]) if run.info.run_id not in before}
    assert found == ({"KILLED"} if moment == "start_run" else {"FINISHED", "KILLED"})
    assert mlflow.active_run() is None


def test_the_next_job_closes_runs_whose_process_is_gone(experiment: str) -> None:
    """Not those of living processes, of other hosts, and of containers whose processes cannot be seen."""
    own, space = own_mark(), process_space()
    here = {HOST: host(), SPACE: space}
    processes = {
        "killed": {**here, PROCESS: f"{own['pid']} of-another-process-with-this-id"},
        "alive": {**here, PROCESS: f"{own['pid']} {own['born']}"},
        "elsewhere": {**here, HOST: "another", PROCESS: "1 long-ago"},
        "in a container": {**here, SPACE: f"{space} another", PROCESS: "1 long-ago"},
        "of somebody else": {},
    }
    client = MlflowClient()
    ids = {name: client.create_run(experiment, tags=tags).info.run_id for name, tags in processes.items()}
    with job_run("job"):
        assert {name for name, run_id in ids.items() if status(run_id) != "RUNNING"} == {"killed"}
    killed = client.get_run(ids["killed"])
    assert killed.info.status == "KILLED" and killed.info.end_time >= killed.info.start_time
    assert killed.data.tags[REASON] == f"its process ({own['pid']} on {host()}) ended without closing it"
    for name in ("alive", "elsewhere", "in a container", "of somebody else"):
        client.set_terminated(ids[name])
