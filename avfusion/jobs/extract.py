"""The job `extract`: clips to a feature store."""

import hashlib
from functools import partial
from pathlib import Path

from avfusion.datasets import Dataset, read_dataset
from avfusion.datasets.scenes import render_scenes
from avfusion.embedders import load_embedder
from avfusion.extraction import extract
from avfusion.features import FeatureStore
from avfusion.provenance import tags, title
from avfusion.tracking.records import log_features
from avfusion.tracking.runs import job_run, log_batch, log_file, set_tags
from avfusion.tracking.session import connect

RUNS = Path("runs")
"""Folder, in the working directory, of everything that was not given another place."""


def extract_job(*, data: str, output: str, embedder: str, weights: str, precision: str, device: str) -> list[str]:
    """Write the features of `data` into `output`; returns what to tell people.

    `data=none` renders the synthetic demo scenes, `output=none` chooses a folder under runs/.
    Raises `UserError` for input that cannot be used.
    """
    dataset = load_data(data)
    connect()
    with job_run("extract"):
        store = extract_features(dataset, output, embedder, weights, precision, device)
        log_batch({}, {"clips": len(store.clips), "failed_clips": len(store.failures)})
        set_tags({**tags(store.provenance), "failed_clips": str(len(store.failures))})
        log_features(store)
        if len(store.failures):
            log_file(store.path / "failures.csv")
    return [*summary(store), f"next     python -m entrypoints.train --features {store.path}"]


def load_data(data: str) -> Dataset:
    """The clips at `data`; for `none`, the demo scenes, rendered under runs/ unless they are there."""
    return read_dataset(render_scenes(RUNS / "demo-scenes") if data == "none" else Path(data))


def extract_features(
    dataset: Dataset, output: str, embedder: str, weights: str, precision: str, device: str
) -> FeatureStore:
    """The feature store of `dataset`, written or continued at `output`, or at a folder named after its content."""
    load = partial(load_embedder, embedder, weights=weights, precision=precision, device=device)
    folder = Path(output)
    if output == "none":
        content = "\n".join([dataset.digest, embedder, weights, precision, device])
        digest = hashlib.sha256(content.encode()).hexdigest()[:8]
        folder = RUNS / "features" / f"{dataset.name}-{embedder}-{digest}"
    return extract(dataset, load, folder)


def summary(store: FeatureStore) -> list[str]:
    """What is in the store and what is not, in a few lines."""
    lines = [
        f"features {store.path}",
        f"         {title(store.provenance)}; {len(store.clips)} clips, failed_clips={len(store.failures)}",
    ]
    if len(store.failures):
        lines.append(f"         reasons: {store.path / 'failures.csv'}")
    return lines
