"""Jobs that train, and lose nothing of it: each result is on disk before it is logged.

While a job is unfinished, its results lie in a folder under runs/trained, named after all that they depend on. The
same command finds them there, with the runs that were logged to the end, and goes on; a job that finishes removes its
folder.
"""

import hashlib
import json
import logging
import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from avfusion.errors import UserError
from avfusion.features import FeatureStore
from avfusion.system.files import TEMPORARY_SUFFIX, write_atomically
from avfusion.tracking.continued import JobRuns, has_finished
from avfusion.tracking.failures import TrackingError
from avfusion.tracking.runs import job_run
from avfusion.training.stored_results import StoredResults

TRAINED = Path("runs/trained")
JOB, LOCK = "job.json", ".lock"
PACKAGE = Path(__file__).parents[1]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Work:
    """What a job trains: on disk, and in MLflow."""

    results: StoredResults
    runs: JobRuns


@dataclass
class TrainingJob:
    """A job in its run, which may begin to train."""

    name: str
    experiment_id: str
    command: str
    """What to type to start it again; empty where that is unknown."""
    after: ExitStack
    """What is done when its run has ended."""

    def begin(self, asked: Mapping[str, object], store: FeatureStore, device: torch.device) -> Work:
        """The work that this job was `asked` for (plain values) on `store`: new, or where it was broken off.

        Raises `UserError` if nothing can be written under runs/trained.
        """
        given = [self.name, asked, store.digest, device.type, torch.__version__, code_digest()]
        key = hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()[:12]
        return self.after.enter_context(_work(TRAINED / f"{self.name}-{key}", self.command))


@contextmanager
def training_job(name: str) -> Iterator[TrainingJob]:
    """The job `name` in its run. What it has trained is given up after the run has ended, and only if it finished."""
    command = "" if "MLFLOW_RUN_ID" in os.environ else shlex.join(sys.orig_argv)  # `mlflow run` was told something else
    with ExitStack() as after, job_run(name) as run:
        yield TrainingJob(name, run.info.experiment_id, command, after)


@contextmanager
def _work(base: Path, command: str) -> Iterator[Work]:
    with _claimed(base) as folder:
        work = _begun(StoredResults(folder))
        try:
            yield work
        except BaseException as error:
            if not (done := work.results.count()):
                shutil.rmtree(folder, ignore_errors=True)
                raise
            kept = f"what was trained so far ({done}) is kept in {folder.resolve()}"
            if isinstance(error, TrackingError):
                again = f": {command}" if command else ""
                raise TrackingError(f"{error}; {kept} and logged then{again}") from error
            if isinstance(error, KeyboardInterrupt):
                _log.warning(kept)
            raise
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _claimed(base: Path) -> Iterator[Path]:
    """The folder `base`, or one beside it where another process is at work there; inside the block it is locked."""
    for number in count(1):
        folder = base if number == 1 else base.with_name(f"{base.name}-{number}")
        lock = FileLock(folder / LOCK, timeout=0)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout:
            continue
        except OSError as error:
            raise UserError(
                f"{folder.absolute()}: cannot be written ({error.strerror or error}); what is trained is kept there "
                "until it is logged: start in a folder that can be written"
            ) from error
        break
    try:
        yield folder
    finally:
        lock.release()


def _begun(results: StoredResults) -> Work:
    """The work in a folder that this process has claimed; the active run is its job's."""
    note = results.folder / JOB
    origin: str | None = json.loads(note.read_text())["run"] if note.exists() else None
    if origin and has_finished(origin):  # it ended before it could remove its folder
        origin = None
        for path in results.folder.glob("*/"):
            shutil.rmtree(path)
    for leftover in results.folder.glob(f".*{TEMPORARY_SUFFIX}"):
        shutil.rmtree(leftover, ignore_errors=True)
    runs = JobRuns.begin(origin)
    write_atomically(note, json.dumps({"run": runs.origin}).encode())
    if done := results.count():
        kept = f"what was trained so far ({done}) is kept in {results.folder.resolve()}"
        _log.info("this job was broken off and goes on; %s", kept)
    return Work(results, runs)


@cache
def code_digest() -> str:
    """SHA-256 of this package's code, which tells versions apart where there is no git too."""
    total = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        total.update(f"{path.relative_to(PACKAGE)} {path.stat().st_size}\n".encode())
        total.update(path.read_bytes())
    return total.hexdigest()
