"""Processes that work on one study, and the one that watches them."""

import time
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Protocol

import torch
from optuna import Study

from avfusion.errors import UserError
from avfusion.fusion import posthoc_late
from avfusion.system.processes import Worker, training_processes
from avfusion.tuning.leader import Leadership
from avfusion.tuning.plans import Plan
from avfusion.tuning.study import may_start, n_done, recover
from avfusion.tuning.worker import Ended, Refused, Started, work

MOST_DEATHS = 10
"""Workers that may die before the study is given up."""
PATIENCE = 10.0
"""Seconds that workers have to end their epoch when they are stopped."""


class Listener(Protocol):
    """Is told what happens to the trials of this process's workers."""

    def started(self, started: Started) -> str:
        """A trial begins; returns the id of its MLflow run, which is kept with the trial."""

    def ended(self, ended: Ended) -> None:
        """A trial has ended by itself."""

    def lost(self, number: int, reason: str) -> None:
        """A trial was broken off, because its worker ended; its values are tried again."""


@dataclass
class _Member:
    worker: Worker
    trial: int | None = None
    """The number of the trial that it is training; None between two."""


class Pool:
    """Up to `n_workers` processes of one thread each at work on the study of `plan`."""

    def __init__(self, plan: Plan, study: Study, device: torch.device, n_workers: int, listener: Listener) -> None:
        self._plan, self._study, self._device = plan, study, device
        self._n_workers, self._listener = n_workers, listener
        self._members: list[_Member] = []
        self._deaths = 0
        self._context = training_processes(work.__module__, posthoc_late.__name__)

    @property
    def pids(self) -> list[int]:
        """The process ids of the workers."""
        return [member.worker.process.pid or 0 for member in self._members]

    def run(self, leadership: Leadership) -> None:
        """Work until the study has its trials; the leader also waits for those of others, and repeats lost ones.

        Raises `UserError` if the workers cannot work. When interrupted, it stops the workers, and the values of their
        trials are queued again.
        """
        try:
            while True:
                leadership.beat()
                while len(self._members) < self._n_workers and may_start(self._plan, self._study):
                    self._start()
                if self._members:
                    self._listen(timeout=1.0)
                elif n_done(self._study) >= self._plan.total or not leadership.leads:
                    return
                else:
                    recover(self._study)
                    time.sleep(0.5)
        finally:
            self._stop()

    def _start(self) -> None:
        self._members.append(_Member(Worker(self._context, work, self._plan, self._device)))

    def _listen(self, timeout: float) -> None:
        """Take messages of workers for up to `timeout` seconds, and notice workers that have ended."""
        ready = wait([member.worker.connection for member in self._members], timeout)
        for member in [member for member in self._members if member.worker.connection in ready]:
            try:
                message = member.worker.connection.recv()
                self._hear(member, message)
            except (EOFError, OSError):
                self._leave(member)

    def _hear(self, member: _Member, message: Started | Ended | Refused) -> None:
        if isinstance(message, Refused):
            raise UserError(message.reason)
        if isinstance(message, Ended):
            member.trial = None
            self._listener.ended(message)
        else:
            member.trial = message.number
            member.worker.connection.send(self._listener.started(message))

    def _leave(self, member: _Member) -> None:
        """A worker has ended: at the end of its work, when told to, or because it was killed."""
        self._members.remove(member)
        member.worker.connection.close()
        member.worker.process.join()
        recover(self._study)
        code = member.worker.process.exitcode
        if member.trial is not None:
            self._listener.lost(member.trial, "stopped" if code == 0 else f"its worker ended with exit code {code}")
        self._deaths += code != 0
        if self._deaths > MOST_DEATHS:
            raise UserError(f"{self._deaths} workers of study {self._plan.name!r} died, the last with exit code {code}")

    def _stop(self) -> None:
        for member in self._members:
            member.worker.process.terminate()
        deadline = time.monotonic() + PATIENCE
        while self._members and time.monotonic() < deadline:
            self._listen(timeout=0.2)
        for member in list(self._members):
            member.worker.process.kill()
            self._leave(member)
