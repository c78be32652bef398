"""The job `extract`: clips to a feature store."""

import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from avfusion.datasets import Dataset, read_dataset
from avfusion.embedders import embedder_names, load_embedder
from avfusion.errors import UserError, unknown
from avfusion.extraction import Settings, extract
from avfusion.features import REQUIRED, FeatureStore, Required
from avfusion.features.provenance import tags, title
from avfusion.jobs.options import RUNS, read_output, read_truth
from avfusion.tracking.artifacts import log_features
from avfusion.tracking.runs import job_run, log_batch, log_file, set_tags
from avfusion.tracking.session import connect

DEMO_SEED = 2026
"""Seed of the demo's scenes: not one that the recipes were designed with (the number of places was set after it)."""

GPU_DRIVERS = (Path("/dev/nvidiactl"), Path("/dev/dxg"))
"""What is there where a GPU may be: on Linux, and on Linux in Windows."""
DEFAULTS = {
    "modalities": "both", "strict": "false", "timeout": "600", "executor": "local", "address": "none", "parts": "none",
}  # fmt: skip
"""What callers may leave out."""


@dataclass(frozen=True)
class Extraction:
    """The options of an extraction, read from text and checked."""

    output: str
    embedder: str
    weights: str
    precision: str
    device: str
    modalities: Required
    strict: bool
    timeout: float
    executor: str
    address: str
    parts: str

    @classmethod
    def parse(cls, *, modalities: str, strict: str, timeout: str, **others: str) -> "Extraction":
        """Raises `UserError` for a value that is none of the choices."""
        chosen = next((name for name in REQUIRED if name == modalities), None)
        if chosen is None:
            raise unknown("modalities", modalities, list(REQUIRED))
        try:
            seconds = float(timeout)
        except ValueError:
            seconds = 0.0
        if not 0 < seconds < float("inf"):
            raise UserError(f"timeout={timeout}: expected seconds above 0 for decoding one clip")
        if others["embedder"] not in embedder_names():
            raise unknown("embedder", others["embedder"], embedder_names())
        if others["output"] != "none":
            read_output(others["output"])
        return cls(**others, modalities=chosen, strict=read_truth("strict", strict), timeout=seconds)

    def run(self, dataset: Dataset) -> FeatureStore:
        """The feature store of `dataset`, written or continued at `output`, or at a folder named after its content."""
        # Workers of a cluster do not share the working directory.
        weights = str(Path(self.weights).absolute()) if Path(self.weights).exists() else self.weights
        load = partial(load_embedder, self.embedder, weights=weights, precision=self.precision, device=self.device)
        settings = Settings(
            load,
            required=self.modalities,
            timeout=self.timeout,
            workers=None if self.executor == "ray" else _room(self.device),
            executor=self.executor,
            address=None if self.address == "none" else self.address,
            parts=None if self.parts == "none" else self.parts,
            load_on_cpu=partial(load, device="cpu"),
        )
        return extract(dataset, self._folder(dataset), settings, strict=self.strict)

    def _folder(self, dataset: Dataset) -> Path:
        if self.output != "none":
            return Path(self.output)
        options = [self.embedder, self.weights, self.precision, self.device, self.modalities, f"{self.timeout:g}"]
        digest = hashlib.sha256("\n".join([dataset.digest, *options]).encode()).hexdigest()[:8]
        return RUNS / "features" / f"{dataset.name}-{self.embedder}-{digest}"


def _room(device: str) -> int | None:
    """How many local processes with a network of their own a GPU's memory holds; None without one."""
    if device == "cpu" or not any(map(Path.exists, GPU_DRIVERS)):
        return None
    from avfusion.system.device import (
        gpu_processes,  # here: torch is most of the start, and without a GPU nobody needs it
    )

    return gpu_processes(device)


def extract_job(*, data: str, allow_outside: str = "false", **options: str) -> list[str]:
    """Write the features of `data` into a feature store; returns what to tell people.

    `data=none` renders the synthetic demo scenes, `output=none` chooses a folder under runs/; the
    other options are those of `Extraction`. Raises `UserError` for input that cannot be used.
    """
    extraction = Extraction.parse(**{**DEFAULTS, **options})
    dataset = load_data(data, allow_outside)
    connect()
    with job_run("extract"):
        store = extraction.run(dataset)
        log_store(store)
    return [*summary(store), f"next     python -m entrypoints.train --features {store.path}"]


def load_data(data: str, allow_outside: str = "false") -> Dataset:
    """The clips at `data`; for `none`, the demo scenes, rendered under runs/ unless they are there."""
    allowed = read_truth("allow_outside", allow_outside)
    if data == "none":
        from avfusion.datasets.scenes import render_scenes  # here: what draws them is slow to import

        return read_dataset(render_scenes(RUNS / "demo-scenes", seed=DEMO_SEED))
    return read_dataset(Path(data), allow_outside=allowed)


def log_store(store: FeatureStore) -> None:
    """What was extracted and what failed, into the active run."""
    log_batch({}, {"clips": len(store.clips), "failed_clips": len(store.failures)})
    set_tags({**tags(store.provenance), "failed_clips": str(len(store.failures))})
    log_features(store)
    if len(store.failures):
        log_file(store.path / "failures.csv")


def summary(store: FeatureStore) -> list[str]:
    """What is in the store and what is not, in a few lines."""
    embedder = store.provenance["embedder"]
    chosen = ", ".join(f"{name}={embedder[name]}" for name in ("precision", "device") if name in embedder)
    lines = [
        f"features {store.path}",
        f"         {title(store.provenance)}; {len(store.clips)} clips, failed_clips={len(store.failures)}",
        *([f"         computed with {chosen}"] if chosen else []),
    ]
    if len(store.failures):
        lines.append(f"         reasons: {store.path / 'failures.csv'}")
    return lines
