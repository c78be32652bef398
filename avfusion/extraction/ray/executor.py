"""An extraction on a Ray cluster, as seen by the process that asked for it.

    clips ----> network                   without GPUs: an actor reads, prepares and embeds, as a local worker does
    clips ----> prepare ----> network     with GPUs: any processor reads and prepares, an actor on a GPU embeds

Workers write the parts themselves; this process hears the numbers of the clips and why some cannot be used.
"""

import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any

import pyarrow as pa
import ray
import ray.data

from avfusion import __version__
from avfusion.errors import UserError
from avfusion.extraction.parts_storage import PartsStorage
from avfusion.extraction.pool import Outcome
from avfusion.extraction.ray.asking import ask, here, provenance
from avfusion.extraction.ray.cluster import connected
from avfusion.extraction.ray.ledger import Ledger
from avfusion.extraction.ray.stages import SCHEMA, STOPPED, Network, Row, Work, as_table, prepare
from avfusion.extraction.settings import Settings
from avfusion.extraction.worker import Task
from avfusion.extraction.worker_process import THREAD_VARIABLES
from avfusion.system.memory import VARIABLE, gigabytes

_WAVE = 20_000  # clips that are handed to Ray Data at a time: its bookkeeping grows with them
_LARGEST_BLOCK = 16  # clips per task; a task of Ray Data costs about 10 ms


class RayExecutor:
    """Runs the tasks of one extraction on a cluster; an `Executor`. Use it as a context manager."""

    def __init__(self, settings: Settings) -> None:
        """Connects; raises `UserError` if nobody answers or the cluster has fewer processors than a worker needs."""
        self._settings = settings
        self._exit = ExitStack()
        self._size = self._exit.enter_context(connected(settings.address))
        if self._size.cpus < settings.threads:
            self._exit.close()
            raise UserError(f"the Ray cluster has {self._size.cpus} processors; a worker needs {settings.threads}")

    def __enter__(self) -> "RayExecutor":
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    def provenance(self) -> dict[str, Any]:
        """See `avfusion.extraction.executors.Executor`; the embedder is loaded where `run` will load it."""
        version, answer = ask(partial(provenance, self._settings.load), **self._network())
        if version != __version__:
            raise UserError(f"the cluster has avfusion {version}, this machine {__version__}; install the same")
        return dict(answer)

    def run(self, tasks: Iterable[Task], storage: PartsStorage) -> Iterator[Outcome]:
        """See `avfusion.extraction.executors.Executor`.

        Ray Data loses clips whose worker or node ends. They are handed over again, as long as others come to an end.
        """
        work = self._work(storage)
        waiting = {task.index: task for task in tasks}
        while waiting:
            n_before = len(waiting)
            for row in self._wave(list(islice(waiting.values(), _WAVE)), work):
                if row["state"] == STOPPED:
                    raise UserError(row["reason"])
                task = waiting.pop(row["number"], None)
                if task is not None:
                    yield Outcome(task, row["reason"], written=True)
            if len(waiting) == n_before:
                raise RuntimeError(f"the Ray cluster gave no answer for any of {n_before} clips")

    def pack(self, work: Callable[[], None]) -> None:
        """Packs in a process of its own on this machine, which sees the folder of the store."""
        ask(work, num_cpus=0, scheduling_strategy=here())

    def _work(self, storage: PartsStorage) -> Work:
        # Its loss would end the extraction, so it lives and dies with the machine of the driver.
        ledger = ray.remote(Ledger).options(num_cpus=0, scheduling_strategy=here()).remote()
        return Work(uuid.uuid4().hex, self._settings, storage, ledger)

    def _wave(self, tasks: list[Task], work: Work) -> Iterator[dict[str, Any]]:
        """Hands these clips to Ray Data; yields a row of `stages.SCHEMA` for each that came to an end."""
        n_workers = min(self._settings.workers or len(tasks), self._room(), len(tasks))
        on_gpus = self._size.gpus > 0
        # Prepared clips are large, so each is a block of its own, and repeats of its task give one block again.
        per_block = 1 if on_gpus else max(1, min(_LARGEST_BLOCK, len(tasks) // (4 * n_workers)))
        blocks = [as_table(list(map(_row, tasks[at : at + per_block]))) for at in range(0, len(tasks), per_block)]
        whole: dict[str, Any] = {"batch_size": None, "batch_format": "pyarrow", "zero_copy_batch": True}
        with ray.data.DataContext.current(_quiet_context()):
            stream: Any = ray.data.from_blocks(blocks)  # unlike `from_arrow`, it starts no processes to look at them
            if on_gpus:
                on_cpu = replace(work, settings=self._settings.on_cpu)
                stream = stream.map_batches(
                    prepare, fn_kwargs={"work": on_cpu}, num_cpus=self._settings.threads, **self._environment(), **whole
                )
            stream = stream.map_batches(
                Network, fn_constructor_args=(work,), compute=ray.data.ActorPoolStrategy(size=n_workers),
                **self._network(), **whole | ({"batch_size": 1} if on_gpus else {}),
            )  # fmt: skip
            for table in stream.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
                assert isinstance(table, pa.Table) and table.schema.names == SCHEMA.names
                yield from table.select(["number", "state", "reason"]).to_pylist()

    def _room(self) -> int:
        """How many networks the cluster has room for: one per GPU, or as many as its processors carry."""
        return self._size.gpus or self._size.cpus // self._settings.threads

    def _network(self) -> dict[str, Any]:
        """Ray's options for a process that runs the network: a GPU where there are any, else processors."""
        taken = {"num_cpus": 0, "num_gpus": 1} if self._size.gpus else {"num_cpus": self._settings.threads}
        return taken | self._environment()

    def _environment(self) -> dict[str, Any]:
        variables = dict.fromkeys(THREAD_VARIABLES, str(self._settings.threads)) | {VARIABLE: f"{gigabytes():g}"}
        return {"runtime_env": {"env_vars": variables}}


def _row(task: Task) -> Row:
    audio, video = (None if path is None else str(path.absolute()) for path in (task.audio, task.video))
    return Row(task.index, task.clip_id, audio, video)


def _quiet_context() -> ray.data.DataContext:
    context = ray.data.DataContext.get_current().copy()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.execution_options.preserve_order = False
    context.max_errored_blocks = -1  # their clips are handed over again
    context.execution_no_progress_timeout_s = -1  # a long clip may take hours
    return context
