"""Being told to stop, by real signals to real processes: no run stays open, no process stays behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from avfusion.tracking.runs import job_run
from avfusion.tracking.session import connect
from tests.kills import ROOT, in_session, wait_until
from tests.stores import make_store

JOB = """
import sys
from pathlib import Path
from threading import Event
from entrypoints import command

def job(**options):
    Path("ready").touch()
    try:
        while not Path("done").exists():
            Event().wait(0.01)
    except KeyboardInterrupt:
        Path("cleaning").touch()
        while not Path("go on").exists():
            Event().wait(0.01)
        Path("clean").touch()
        raise
    return ["done"]

command.load_job = lambda name: job
command.command("report")()
"""

CREW = """
from multiprocessing import get_context
from pathlib import Path
from entrypoints import command
from tests.at_work import stay

def job(**options):
    from avfusion.system.processes import spread
    return list(spread(stay, [Path("at-1"), Path("at-2")], 2, get_context("forkserver")))

if __name__ == "__main__":
    command.load_job = lambda name: job
    command.command("report")()
"""

STARTER = """
import subprocess, sys
subprocess.Popen([sys.executable, "-c", sys.argv[1]])
sys.stdin.read()
"""


@contextmanager
def started(command: list[str], folder: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A session of its own, in `folder`; whatever is left of it at the end is killed."""
    process = subprocess.Popen(
        command, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT), **environment}, start_new_session=True,
        stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        for pid in in_session(process.pid):
            os.kill(pid, signal.SIGKILL)
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_interrupts_and_later_ones_leave_the_clean_up_alone(tmp_path: Path, number: int) -> None:
    with started([sys.executable, "-c", JOB], tmp_path) as process:
        wait_until((tmp_path / "ready").exists)
        process.send_signal(number)
        wait_until((tmp_path / "cleaning").exists)
        for later in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            process.send_signal(later)
        (tmp_path / "go on").touch()
        assert process.communicate(timeout=300)[1] == "stopped; the same command begins anew\n"
        assert process.returncode == 128 + number and (tmp_path / "clean").exists()


def test_nohup(tmp_path: Path) -> None:
    with started(["nohup", sys.executable, "-c", JOB], tmp_path) as process:
        wait_until((tmp_path / "ready").exists)
        process.send_signal(signal.SIGHUP)
        (tmp_path / "done").touch()
        assert process.wait(300) == 0


def test_the_end_of_mlflow_run_interrupts_its_job(tmp_path: Path, tracking_uri: str) -> None:
    """MLflow ends at once and tells nobody; here another process takes its place."""
    run = MlflowClient().create_run("0")
    variables = {"MLFLOW_RUN_ID": run.info.run_id, "MLFLOW_TRACKING_URI": tracking_uri}
    with started([sys.executable, "-c", STARTER, JOB], tmp_path, **variables) as starter:
        wait_until((tmp_path / "ready").exists)
        starter.kill()
        (tmp_path / "go on").touch()
        wait_until(lambda: not in_session(starter.pid))
        assert (tmp_path / "clean").exists()
    assert MlflowClient().get_run(run.info.run_id).info.status == "KILLED"


def runs(experiment: str) -> list[Run]:
    """The runs of an experiment, the newest first; none where it is not there yet."""
    found = MlflowClient().get_experiment_by_name(experiment)
    return list(MlflowClient().search_runs([found.experiment_id])) if found else []


def test_ctrl_c_in_the_terminal_while_processes_work(tmp_path: Path) -> None:
    """It reaches the whole group; the job ends them, and says one line."""
    with started([sys.executable, "-c", CREW], tmp_path) as process:
        wait_until(lambda: len(list(tmp_path.glob("at-*"))) == 2)
        os.killpg(process.pid, signal.SIGINT)
        assert process.communicate(timeout=300)[1] == "stopped; the same command begins anew\n"
        assert process.returncode == 130
        wait_until(lambda: not in_session(process.pid))


def test_a_killed_sweep_leaves_no_process_behind_and_the_next_job_closes_its_runs(
    tmp_path: Path, tracking_uri: str
) -> None:
    make_store(tmp_path / "store", locations=8)
    endless = "epochs=100000,patience=1000"
    command = [sys.executable, "-m", "entrypoints.sweep", "--features", "store", "--params", endless]
    variables = {"MLFLOW_EXPERIMENT_NAME": "signals", "MLFLOW_TRACKING_URI": tracking_uri}
    with started(command, tmp_path, **variables) as sweep:
        wait_until(lambda: len(runs("signals")) == 2 and len(in_session(sweep.pid)) >= 3)
        sweep.kill()
        wait_until(lambda: not in_session(sweep.pid))
    assert {run.info.status for run in runs("signals")} == {"RUNNING"}
    with pytest.MonkeyPatch.context() as context:
        context.setenv("MLFLOW_EXPERIMENT_NAME", "signals")
        connect()
        with job_run("next"):
            pass
    connect()
    assert [run.info.status for run in runs("signals")] == ["FINISHED", "KILLED", "KILLED"]
    reasons = [run.data.tags["reason"] for run in runs("signals")[1:]]
    assert all(f"its process ({sweep.pid} on " in reason for reason in reasons)
