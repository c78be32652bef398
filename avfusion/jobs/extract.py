"""The job `extract`: clips to a feature store."""

import hashlib
import logging
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from avfusion.datasets import Dataset, read_dataset
from avfusion.embedders import HALVES, UNTRAINED, check_embedder, load_embedder
from avfusion.errors import UserError
from avfusion.extraction import Settings, extract
from avfusion.features import FeatureStore
from avfusion.features.provenance import tags, title
from avfusion.jobs import RUNS
from avfusion.system.names import plain
from avfusion.tracking.artifacts import log_features
from avfusion.tracking.descriptions import describe_store
from avfusion.tracking.lookup import FEATURES_MADE
from avfusion.tracking.notes import NOTE
from avfusion.tracking.runs import job_run, log_batch, log_file, set_tags
from avfusion.tracking.session import connect
from avfusion.tracking.starting import next_line
from avfusion.tracking.ui import run_page, ui_lines

DEMO_SEED = 2026
"""Seed of the demo's scenes: not one that the recipes were designed with (the number of places was set after it)."""

AUTO, OF_SCENES, OF_CLIPS = "auto", "demo", "efficientnet_lite0+yamnet"
"""What `embedder=auto` takes: a small network that knows rendered scenes, or two that know the world."""

GPU_DRIVERS = (Path("/dev/nvidiactl"), Path("/dev/dxg"))
"""What is there where a GPU may be: on Linux, and on Linux in Windows."""


_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Extraction:
    """An extraction whose options are checked, before there are clips."""

    embedder: str
    """Its name, or `auto`."""
    options: dict[str, Any]
    """What `load_embedder` takes beside the name."""
    settings: Settings
    """Those of the named embedder; `auto` is chosen for the clips."""
    strict: bool
    output: Path | None
    """Folder of the store; None for one under runs/, named after the clips, the embedder and `named`."""
    named: tuple[str, ...]
    """What else decides the features, as users type it."""

    def embedder_for(self, dataset: Dataset) -> str:
        """The embedder that `dataset` gets; raises `UserError` if it has not the options that were given."""
        if self.embedder != AUTO:
            return self.embedder
        embedder = OF_SCENES if dataset.synthetic else OF_CLIPS
        check_embedder(embedder, *(option for option in ("hop", "frames") if option in self.options))
        return embedder

    def run(self, dataset: Dataset) -> FeatureStore:
        """The feature store of `dataset`, written, or continued where an earlier run stopped."""
        embedder = self.embedder_for(dataset)
        if self.embedder == AUTO:
            _log.info("embedder=auto takes %s for %s clips", embedder, "synthetic" if dataset.synthetic else "real")
        digest = hashlib.sha256("\n".join([dataset.digest, embedder, *self.named]).encode()).hexdigest()[:8]
        folder = self.output or RUNS / "features" / f"{dataset.name}-{plain(embedder)}-{digest}"
        load = partial(load_embedder, embedder, **self.options)
        settings = replace(self.settings, load=load, load_on_cpu=partial(load, device="cpu"))
        return extract(dataset, folder, settings, strict=self.strict)


def prepare(
    output: Path | None,
    embedder: str,
    hop: float | None,
    frames: float | None,
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

    Raises `UserError` for an embedder or an option of it that there is none of, weights of one that is not named, and
    options of clusters without a cluster.
    """
    own = {name: value for name, value in (("hop", hop), ("frames", frames)) if value is not None}
    check_embedder(OF_CLIPS if embedder == AUTO else embedder, *own)
    if embedder == AUTO and weights not in (None, UNTRAINED):
        raise UserError(f"weights={weights}: name the embedder that they are for, as embedder={OF_SCENES}")
    named = (weights or "none", precision, device, modalities, f"{timeout:g}", *(f"{o}={own[o]:g}" for o in own))
    if weights and Path(weights).exists():  # workers of a cluster do not share the working directory
        weights = str(Path(weights).absolute())
    options: dict[str, Any] = {"weights": weights, "precision": precision, "device": device, **own}
    settings = Settings(
        partial(load_embedder, embedder, **options),
        required=modalities,
        timeout=timeout,
        workers=None if executor == "ray" else _room(device),
        executor=executor,
        address=address,
        parts=parts,
    )
    return Extraction(embedder, options, settings, strict, output, named)


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
    hop: float | None,
    frames: float | None,
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
        embedder: name of what turns clips into features, `PICTURE+SOUND` for two, or `auto`: `OF_SCENES` or `OF_CLIPS`.
        hop: seconds between two windows of sound; None for the embedder's own.
        frames: pictures per second, of an embedder that can choose; None for its own.
        weights: its weights, a file or folder, or `untrained`; None for its own.
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
        output, embedder, hop, frames, weights, precision, device, modalities, strict, timeout, executor, address, parts
    )
    dataset = load_data(data, allow_outside)
    extraction.embedder_for(dataset)  # refused before there is a run
    connect()
    with job_run("extract") as run:
        store = extraction.run(dataset)
        log_store(store)
        told = [next_line("train", features=store.path), *ui_lines(run_page(run.info.experiment_id, run.info.run_id))]
    return [*summary(store), *told]


def load_data(data: Path | None, allow_outside: bool) -> Dataset:
    """The clips at `data`; for None the demo scenes, rendered under runs/ unless they are there."""
    if data is None:
        from avfusion.datasets.scenes import render_scenes  # here: what draws them is slow to import

        return read_dataset(render_scenes(RUNS / "demo-scenes", seed=DEMO_SEED))
    return read_dataset(data, allow_outside=allow_outside)


def log_store(store: FeatureStore) -> None:
    """What was extracted and what failed, into the active run."""
    log_batch({}, {"clips": len(store.clips), "failed_clips": len(store.failures)})
    made = {FEATURES_MADE: store.digest, "failed_clips": str(len(store.failures))}
    set_tags({**tags(store.provenance), **made, NOTE: describe_store(store)})
    log_features(store)
    if len(store.failures):
        log_file(store.path / "failures.csv")


def summary(store: FeatureStore) -> list[str]:
    """What is in the store and what is not, in a few lines."""
    embedder = store.provenance["embedder"]
    half = next((embedder[place] for place in HALVES if place in embedder), embedder)  # a pair's have one precision
    computed = {name: embedder.get(name, half.get(name)) for name in ("precision", "device")}
    chosen = ", ".join(f"{name}={value}" for name, value in computed.items() if value is not None)
    lines = [
        f"features {store.path}",
        f"         {title(store.provenance)}; {len(store.clips)} clips, failed_clips={len(store.failures)}",
        *([f"         computed with {chosen}"] if chosen else []),
    ]
    if len(store.failures):
        lines.append(f"         reasons: {store.path / 'failures.csv'}")
    return lines
