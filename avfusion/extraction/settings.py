"""How clips become features: one object, made and checked once, that goes from the job to every worker process."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from avfusion.errors import UserError, unknown
from avfusion.features import REQUIRED, Required
from avfusion.media import DEFAULT_LIMITS, Limits

if TYPE_CHECKING:
    from avfusion.embedders import Embedder

EXECUTORS = ("local", "ray")
DECODE_TIMEOUT = 600.0  # seconds of decoding per clip; half an hour of 720p video takes about 150


@dataclass(frozen=True)
class Settings:
    """Everything about an extraction but its clips and its output. It can be pickled: every worker process gets it.

    Attributes:
        load: makes the embedder; called once in each worker process, so it must be picklable and not from the main
            module, for instance `functools.partial(load_embedder, "demo", device="cpu")`.
        required: what a clip must have to be used, `both` or `any` (sound and pictures).
        timeout: seconds, above 0, that decoding one clip may take; embedding it is not counted.
        limits: what files to refuse.
        workers: processes with a network each, at least 1; None for one per core, or per GPU of a cluster that has any.
        threads: of each process, at least 1. Features may differ in the last bits with another number.
        executor: `local` for processes of this machine, `ray` for a cluster.
        address: of the cluster, see `avfusion.extraction.ray.cluster.connected`.
        parts: an fsspec address where the workers of a cluster leave the parts, the files of single clips; None for
            the output folder, which all of them must see then.
        load_on_cpu: like `load`, without a GPU: prepares clips for workers of a cluster that have one; None for `load`.

    Raises:
        UserError: a choice that there is none of, or an option of clusters without a cluster.
    """

    load: "Callable[[], Embedder]"
    required: Required = "both"
    timeout: float = DECODE_TIMEOUT
    limits: Limits = DEFAULT_LIMITS
    workers: int | None = None
    threads: int = 1
    executor: str = "local"
    address: str | None = None
    parts: str | None = None
    load_on_cpu: "Callable[[], Embedder] | None" = None

    def __post_init__(self) -> None:
        if self.required not in (*REQUIRED, "named"):
            raise unknown("modalities", self.required, list(REQUIRED))
        if self.executor not in EXECUTORS:
            raise unknown("executor", self.executor, list(EXECUTORS))
        for option, value in (("address", self.address), ("parts", self.parts)):
            if self.executor == "local" and value is not None:
                raise UserError(f"{option}={value} is for a cluster: add executor=ray, or leave it out")

    @property
    def on_cpu(self) -> "Settings":
        """The same for workers that only prepare clips."""
        return replace(self, load=self.load_on_cpu or self.load)
