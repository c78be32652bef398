"""The job `extract`: clips to a feature store."""

import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from avfusion.datasets import Dataset, read_dataset
from avfusion.embedders import check_embedder, load_embedder
from avfusion.extraction import Settings, extract
from avfusion.features import FeatureStore
from avfusion.features.provenance import tags, title
from avfusion.jobs import RUNS
from avfusion.tracking.artifacts import log_features
from avfusion.tracking.runs import job_run, log_batch, log_file, set_tags
from avfusion.tracking.session import connect

DEMO_SEED = 2026
"""Seed of the demo's scenes: not one that the recipes were designed with (the number of places was set after it)."""

GPU_DRIVERS = (Path("/dev/nvidiactl"), Path("/dev/dxg"))
"""What is there where a GPU may be: on Linux, and on Linux in Windows."""


@dataclass(frozen=True)
class Extraction:
    """An extraction whose options are checked, before there are clips."""

    settings: Settings
    strict: bool
    output: Path | None
    """Folder of the store; None for one under runs/, named after the clips and `named`."""
    named: tuple[str, ...]
    """What decides the features, as users type it; the embedder's name comes first."""

    def run(self, dataset: Dataset) -> FeatureStore:
        """The feature store of `dataset`, written, or continued where an earlier run stopped."""
        digest = hashlib.sha256("\n".join([dataset.digest, *self.named]).encode()).hexdigest()[:8]
        folder = self.output or RUNS / "features" / f"{dataset.name}-{self.named[0]}-{digest}"
        return extract(dataset, folder, self.settings, strict=self.strict)


def prepare(
    output: Path | None,
    embedder: str,
    weights: str | None,
    precision: str,
    device: str,
    modalities: Literal["both", "any"],
    strict: bool,
    timeout: float,
    executor: str,
    address: str | None,
    parts: str | None,
) -> Extraction:
    """The extraction that these options of `extract_job` ask for.

    Raises `UserError` for an embedder that there is none of, and for options of clusters without a cluster.
    """
    check_embedder(embedder)
    named = (embedder, weights or "none", precision, device, modalities, f"{timeout:g}")
    if weights and Path(weights).exists():  # workers of a cluster do not share the working directory
        weights = str(Path(weights).absolute())
    load = partial(load_embedder, embedder, weights=weights, precision=precision, device=device)
    settings = Settings(
        load,
        required=modalities,
        timeout=timeout,
        workers=None if executor == "ray" else _room(device),
        executor=executor,
        address=address,
        parts=parts,
        load_on_cpu=partial(load, device="cpu"),
    )
    return Extraction(settings, strict, output, named)


def _room(device: str) -> int | None:
    """How many local processes with a network of their own a GPU's memory holds; None without one."""
    if device == "cpu" or not any(map(Path.exists, GPU_DRIVERS)):
        return None
    from avfusion.system.device import (
        gpu_processes,  # here: torch is most of the start, and without a GPU nobody needs it
    )

    return gpu_processes(device)


def extract_job(
    *,
    data: Path | None,
    output: Path | None,
    embedder: str,
    weights: str | None,
    precision: str,
    device: str,
    modalities: Literal["both", "any"],
    strict: bool,
    allow_outside: bool,
    timeout: float,
    executor: str,
    address: str | None,
    parts: str | None,
) -> list[str]:
    """Embed the sound and the pictures of every clip into a feature store.

    Args:
        data: TAU folder or CSV list of clips; None renders the synthetic scenes of the demo.
        output: folder of the store; None is one under runs/, named after clips and options.
        embedder: name of what turns clips into features.
        weights: its weights, a file or folder; None for its own.
        precision: of its arithmetic: `float32`, `bf16` or `auto`.
        device: `auto`, `cpu` or `cuda`.
        modalities: what a clip must have: `both` sound and pictures, or `any` of them.
        strict: whether a clip that cannot be used ends the job; else it is listed as failed.
        allow_outside: whether lists may name files outside their folder.
        timeout: seconds that decoding one clip may take.
        executor: `local` for processes of this machine, `ray` for a cluster.
        address: of the cluster, HOST:PORT or `auto`; None for RAY_ADDRESS or a Ray of this machine's own.
        parts: fsspec address where a cluster leaves unfinished work; None for the folder of the store.

    Returns the lines to show. Raises `UserError` for input that cannot be used.
    """
    extraction = prepare(
        output, embedder, weights, precision, device, modalities, strict, timeout, executor, address, parts
    )
    dataset = load_data(data, allow_outside)
    connect()
    with job_run("extract"):
        store = extraction.run(dataset)
        log_store(store)
    return [*summary(store), f"next     python -m entrypoints.train --features {store.path}"]


def load_data(data: Path | None, allow_outside: bool) -> Dataset:
    """The clips at `data`; for None the demo scenes, rendered under runs/ unless they are there."""
    if data is None:
        from avfusion.datasets.scenes import render_scenes  # here: what draws them is slow to import

        return read_dataset(render_scenes(RUNS / "demo-scenes", seed=DEMO_SEED))
    return read_dataset(data, allow_outside=allow_outside)


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
