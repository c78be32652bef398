"""Extraction: every clip of a dataset through the embedder, into one feature store."""

import hashlib
import json
import logging
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from avfusion.datasets import Dataset
from avfusion.errors import UserError, unknown
from avfusion.extraction.clip import MODALITIES, Modalities
from avfusion.extraction.executor_base import Executor, Means
from avfusion.extraction.executors import check_executor, open_executor
from avfusion.extraction.parts_storage import PartsAddress, PartsFolder, PartsStorage
from avfusion.extraction.worker import Settings, Task, given_up
from avfusion.features import FeatureStore
from avfusion.features.layout import STORE, Json
from avfusion.features.sources import UNKNOWN, Sources, read_sources, replaced
from avfusion.features.writer import StoreWriter, writing
from avfusion.media import DEFAULT_LIMITS, Limits

if TYPE_CHECKING:
    from avfusion.embedders import Embedder

WEIGHTS_FILES = "weights_files"  # where an embedder found its weights, if it has any
DECODE_TIMEOUT = 600.0  # seconds of decoding per clip; half an hour of 720p video takes about 150

_log = logging.getLogger(__name__)


def extract(
    dataset: Dataset,
    load: "Callable[[], Embedder]",
    output: str | Path,
    *,
    workers: int | None = None,
    threads: int = 1,
    modalities: Modalities = "both",
    timeout: float = DECODE_TIMEOUT,
    limits: Limits = DEFAULT_LIMITS,
    strict: bool = False,
    progress: bool = True,
    executor: str = "local",
    address: str | None = None,
    parts: str | None = None,
    on_cpu: "Callable[[], Embedder] | None" = None,
) -> FeatureStore:
    """Writes the features of `dataset` to the folder `output`, or continues where an earlier run stopped.

    The store is the same to the bit for any number of workers, and whether or not runs were killed
    in between. A clip that cannot be used is listed in failures.csv with a reason; a finished store
    is returned as it is, its failures included, if its media are those of now: their size and date, or else
    their content.

    Args:
        dataset: the clips.
        load: makes the embedder; called once in each worker process, so it must be picklable and not
            from the main module, for instance `functools.partial(load_embedder, "demo", device="cpu")`.
        output: the feature store's folder; made if need be.
        workers: processes; by default one per core, or one per GPU of a cluster that has any.
        threads: of each process. Results may differ in the last bits with another number.
        modalities: "both" needs sound and pictures of each clip; "any" accepts one of them.
        timeout: seconds that decoding one clip may take; embedding it is not counted.
        limits: what files to refuse.
        strict: raise if any clip failed (after the store is finished).
        progress: show a progress bar.
        executor: `local` for processes of this machine, `ray` for a cluster (see `extraction.executors`).
        address: of the cluster (see `extraction.ray.cluster.connected`).
        parts: an fsspec address where the workers of a cluster leave what they made, in place of `output`.
        on_cpu: like `load`, without a GPU: prepares clips for workers of a cluster that have one.

    Raises:
        UserError: the executor is unknown, not installed or does not answer; the folder holds something
            else or cannot be written, another extraction is at work in it, no clip can be used, or one
            failed and `strict` is set.
    """
    if modalities not in MODALITIES:
        raise unknown("modalities", modalities, list(MODALITIES))
    check_executor(executor, address, parts)
    folder = Path(output)
    with writing(folder) as writer:
        settings = Settings(load, writer.parts.absolute(), modalities, limits)
        n_clips = 1 if writer.complete else len(dataset.clips)  # who only says what it would do needs one worker
        means = Means(workers, n_clips, threads, timeout, address, on_cpu or load)
        with open_executor(executor, settings, means) as runner:
            embedder = runner.provenance()
            # Where weights lie does not decide what the store will hold; who serves a model needs to know it.
            origin = {key: embedder.pop(key) for key in (WEIGHTS_FILES,) if key in embedder}
            plan = _plan(dataset, embedder, modalities=modalities, threads=threads)
            writer.begin(plan)
            reused = writer.complete
            if reused:
                _check_media(dataset, folder, progress=progress)
            else:
                storage = _storage(parts, plan, writer)
                _run(dataset, storage, runner, progress=progress)
                runner.pack(partial(_pack, writer, dataset, plan | origin, storage))
        if writer.complete:
            writer.tidy()
    store = FeatureStore.open(folder)
    if reused:
        extracted = time.strftime("%Y-%m-%d %H:%M", time.localtime((folder / STORE).stat().st_mtime))
        _log.info("features of %d clips reused from %s, extracted %s", len(store.clips), folder, extracted)
    _report(store, strict=strict)
    return store


def _storage(parts: str | None, plan: Json, writer: StoreWriter) -> PartsStorage:
    """Where the parts go; those of another plan have another name, so that they never mix."""
    if parts is None:
        return PartsFolder(writer.parts.absolute())
    digest = hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()[:16]
    storage = PartsAddress(f"{parts.rstrip('/')}/{digest}")
    storage.check()
    return storage


def _pack(writer: StoreWriter, dataset: Dataset, plan: Json, storage: PartsStorage) -> None:
    """Makes the store of the parts; in whatever process it is called, the driver holds the lock."""
    writer.finish(dataset, plan, storage.read)
    storage.clear()


def _plan(dataset: Dataset, embedder: Json, *, modalities: str, threads: int) -> Json:
    """Everything that decides what the store will hold."""
    return {
        "embedder": embedder,
        "dataset": {
            "name": dataset.name,
            "synthetic": dataset.synthetic,
            "clips": len(dataset.clips),
            "digest": dataset.digest,
        },
        "parameters": {"modalities": modalities, "threads": threads},
    }


def _check_media(dataset: Dataset, folder: Path, *, progress: bool) -> None:
    """Whether a finished store is of the media as they are now.

    Raises:
        UserError: some were replaced since.
    """
    known = read_sources(folder)
    if not known:
        _log.warning("%s does not tell of what media it was made: whether they changed since is not known", folder)
        return
    changed = _changed(dataset, dict(enumerate(known.get(clip.id, UNKNOWN) for clip in dataset.clips)), progress)
    if changed:
        raise UserError(
            f"{folder.absolute()} holds features of other media: {_in_words(dataset, changed)}; delete that folder to "
            "extract them again, or choose another output folder"
        )


def _changed(dataset: Dataset, known: Mapping[int, Sources], progress: bool) -> dict[int, str]:
    """By its number how the media of each clip were replaced since they were `known`, without those that were not."""
    changed = {}
    for index in tqdm(known, "comparing media", unit="clip", disable=not progress, delay=2):
        clip = dataset.clips[index]
        if change := replaced(known[index], clip.audio, clip.video):
            changed[index] = change
    return changed


def _in_words(dataset: Dataset, changed: Mapping[int, str]) -> str:
    first, change = next(iter(changed.items()))
    return f"{len(changed)} of {len(dataset.clips)} clips changed, the first is {dataset.clips[first].id}: {change}"


def _run(dataset: Dataset, storage: PartsStorage, runner: Executor, *, progress: bool) -> None:
    """Makes the parts that are still missing, and those of media that were replaced since."""
    done = storage.done(len(dataset.clips))
    changed = _changed(dataset, {index: storage.sources(index) for index in sorted(done)}, progress)
    if changed:
        _log.warning("%s; they are extracted again", _in_words(dataset, changed))
    for index in changed:
        storage.remove(index)
    done -= set(changed)
    if done:
        _log.info("%d of %d clips were extracted before; continuing", len(done), len(dataset.clips))
    tasks = [
        Task(index, clip.id, clip.audio, clip.video) for index, clip in enumerate(dataset.clips) if index not in done
    ]
    n_failed = 0
    with tqdm(
        total=len(dataset.clips),
        initial=len(done),
        desc="extracting",
        unit="clip",
        disable=not progress,
        mininterval=0.5 if sys.stderr.isatty() else 15.0,  # a log file needs no more
    ) as bar:
        for outcome in runner.run(tasks, storage):
            if not outcome.written:
                storage.write(outcome.task.index, given_up(outcome.task, outcome.reason))
            if outcome.reason:
                n_failed += 1
                bar.set_postfix(failed=n_failed, refresh=False)
            bar.update()


def _report(store: FeatureStore, *, strict: bool) -> None:
    """Logs what came of it.

    Raises:
        UserError: a clip failed and `strict` is set.
    """
    n_failed, n_notes = len(store.failures), int((store.clips["note"] != "").sum())
    _log.info(
        "feature store %s: %d clips, %d failed, %d with a note; digest %s",
        store.path,
        len(store.clips),
        n_failed,
        n_notes,
        store.digest[:12],
    )
    if n_failed:
        first = store.failures.iloc[0]
        summary = f"{n_failed} of {n_failed + len(store.clips)} clips failed (see {store.path / 'failures.csv'})"
        summary += f"; the first is {first['id']}: {first['reason']}"
        if strict:
            raise UserError(summary)
        _log.warning("%s", summary)
