"""Extraction: every clip of a dataset through the embedder into a feature store, from where it was broken off."""

import hashlib
import json
import logging
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from avfusion.datasets import Dataset
from avfusion.errors import UserError
from avfusion.extraction.executors import Executor, open_executor
from avfusion.extraction.parts_storage import PartsAddress, PartsFolder, PartsStorage
from avfusion.extraction.settings import Settings
from avfusion.extraction.worker import Task, given_up
from avfusion.features import FeatureStore
from avfusion.features.layout import STORE, Json
from avfusion.features.sources import UNKNOWN, Sources, read_sources, replaced
from avfusion.features.writer import StoreWriter, writing
from avfusion.system.progress import show_progress

WEIGHTS_FILES = "weights_files"  # entry of an embedder's provenance: where it found its weights, if it has any

_log = logging.getLogger(__name__)


def extract(
    dataset: Dataset, output: str | Path, settings: Settings, *, strict: bool = False, progress: bool = True
) -> FeatureStore:
    """Writes the features of `dataset` to the folder `output`, or continues where an earlier run stopped.

    The store is the same to the bit for any number of workers, and whether or not runs were killed
    in between. A clip that cannot be used is listed in failures.csv with a reason. A finished store
    is returned as it is, its failures included, if its media have the size and date, or else the content,
    that they had then.

    Args:
        dataset: the clips.
        output: the feature store's folder; made if need be.
        settings: how clips become features.
        strict: raise if any clip failed (after the store is finished).
        progress: show a progress bar.

    Raises:
        UserError: the executor is not installed or does not answer; the folder holds something
            else or cannot be written, another extraction is at work in it, no clip can be used, or one
            failed and `strict` is set.
    """
    folder = Path(output)
    with writing(folder) as writer:
        reused = writer.complete
        # Of a finished store only its plan is compared, for which one worker has to load the embedder.
        with open_executor(settings, most=1 if reused else len(dataset.clips)) as executor:
            embedder = executor.provenance()
            # Where weights lie does not decide what the store will hold; who serves a model needs to know it.
            origin = {key: embedder.pop(key) for key in (WEIGHTS_FILES,) if key in embedder}
            plan = _plan(dataset, embedder, settings)
            writer.begin(plan)
            if reused:
                _check_media(dataset, folder, progress=progress)
            else:
                storage = _storage(settings.parts, plan, writer)
                _run(dataset, storage, executor, progress=progress)
                executor.pack(partial(_pack, writer, dataset, plan | origin, storage))
        if writer.complete:
            writer.tidy()
    store = FeatureStore.open(folder)
    if reused:
        extracted = time.strftime("%Y-%m-%d %H:%M", time.localtime((folder / STORE).stat().st_mtime))
        _log.info("features of %d clips reused from %s, extracted %s", len(store.clips), folder, extracted)
    _report(store, strict=strict)
    return store


def _storage(parts: str | None, plan: Json, writer: StoreWriter) -> PartsStorage:
    """Where the parts go: under an address in a folder named after the plan, so that those of two plans never mix."""
    if parts is None:
        return PartsFolder(writer.parts.absolute())
    digest = hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()[:16]
    storage = PartsAddress(f"{parts.rstrip('/')}/{digest}")
    storage.check()
    return storage


def _pack(writer: StoreWriter, dataset: Dataset, plan: Json, storage: PartsStorage) -> None:
    """Makes the store of the parts. The lock of the folder is held by the caller, perhaps in another process."""
    writer.finish(dataset, plan, storage.read)
    storage.clear()


def _plan(dataset: Dataset, embedder: Json, settings: Settings) -> Json:
    """Everything that decides what the store will hold."""
    return {
        "embedder": embedder,
        "dataset": {
            "name": dataset.name,
            "synthetic": dataset.synthetic,
            "clips": len(dataset.clips),
            "digest": dataset.digest,
        },
        "parameters": {"modalities": settings.required, "threads": settings.threads},
    }


def _check_media(dataset: Dataset, folder: Path, *, progress: bool) -> None:
    """Raises UserError if media were replaced since the finished store in `folder` was made of them."""
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
    """Number of a clip -> how its media were replaced since they were `known`; only of those that were replaced."""
    changed = {}
    with show_progress("comparing media", len(known), "clip", delay=2, shown=progress) as bar:
        for index, sources in known.items():
            clip = dataset.clips[index]
            if change := replaced(sources, clip.audio, clip.video):
                changed[index] = change
            bar.update()
    return changed


def _in_words(dataset: Dataset, changed: Mapping[int, str]) -> str:
    first, change = next(iter(changed.items()))
    return f"{len(changed)} of {len(dataset.clips)} clips changed, the first is {dataset.clips[first].id}: {change}"


def _remove_unusable(dataset: Dataset, storage: PartsStorage, *, progress: bool) -> None:
    """Removes the parts of media that were replaced since, and those of another version."""
    known, old = dict[int, Sources](), set[int]()
    for index in sorted(storage.done(len(dataset.clips))):
        if (sources := storage.sources(index)) is None:
            old.add(index)
        else:
            known[index] = sources
    changed = _changed(dataset, known, progress)
    if old:
        counts = f"{len(old)} of {len(dataset.clips)}"
        _log.warning("%s clips have parts of another version of avfusion; they are extracted again", counts)
    if changed:
        _log.warning("%s; they are extracted again", _in_words(dataset, changed))
    for index in old.union(changed):
        storage.remove(index)


def _run(dataset: Dataset, storage: PartsStorage, executor: Executor, *, progress: bool) -> None:
    """Makes the parts that are missing, and anew those that are of no use any more."""
    _remove_unusable(dataset, storage, progress=progress)
    done = storage.done(len(dataset.clips))
    if done:
        _log.info("%d of %d clips were extracted before; continuing", len(done), len(dataset.clips))
    tasks = [
        Task(index, clip.id, clip.audio, clip.video) for index, clip in enumerate(dataset.clips) if index not in done
    ]
    n_failed = 0
    with show_progress("extracting", len(dataset.clips), "clip", done=len(done), shown=progress) as bar:
        for outcome in executor.run(tasks, storage):
            if not outcome.written:
                storage.write(outcome.task.index, given_up(outcome.task, outcome.reason))
            n_failed += bool(outcome.reason)
            bar.update(1, **({"failed": str(n_failed)} if n_failed else {}))


def _report(store: FeatureStore, *, strict: bool) -> None:
    """Logs what came of it.

    Raises:
        UserError: a clip failed and `strict` is set.
    """
    n_failed, n_notes = len(store.failures), int((store.clips["note"] != "").sum())
    noted = f", {n_notes} with a note" if n_notes else ""
    _log.info(
        "feature store %s: %d clips, %d failed%s; digest %s",
        store.path, len(store.clips), n_failed, noted, store.digest[:12],
    )  # fmt: skip
    if n_failed:
        first = store.failures.iloc[0]
        summary = f"{n_failed} of {n_failed + len(store.clips)} clips failed (see {store.path / 'failures.csv'})"
        summary += f"; the first is {first['id']}: {first['reason']}"
        if strict:
            raise UserError(summary)
        _log.warning("%s", summary)
