"""Writing a feature store so that a kill at any moment loses no more than the clips in work.

    plan.json    first: what is extracted, so that another extraction does not mix with it
    parts/       one file per clip, in any order
    arrays, clips.csv, failures.csv,
    media.csv, store.json    at the end, from the parts in the order of the clips
    (then plan.json and parts/ go)

Every file appears whole by a rename, and packing depends on nothing but plan and parts: a run that
is killed and repeated gives the same bytes as one that is not. No file holds a date, but media.csv
those of the media.
"""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import filelock
from safetensors.numpy import save

from avfusion import __version__
from avfusion.datasets import Clip, Dataset
from avfusion.errors import UserError
from avfusion.features.arrays import array_file
from avfusion.features.digest import content_digest
from avfusion.features.layout import (
    ARRAYS,
    CLIP_COLUMNS,
    CLIPS,
    FAILURE_COLUMNS,
    FAILURES,
    FORMAT,
    LOCK,
    PARTS,
    PLAN,
    STANDARDIZATION,
    STORE,
    Json,
    cannot_write,
    csv_bytes,
)
from avfusion.features.parts import Features, Part, read_part
from avfusion.features.sources import Sources, write_sources
from avfusion.system.files import read_object, remove_temporaries, write_atomically


class StoreWriter:
    """One folder's extraction; made by `writing`, which holds the lock."""

    def __init__(self, folder: Path) -> None:
        """Use `writing`."""
        self.folder = folder
        self.parts = folder / PARTS

    @property
    def complete(self) -> bool:
        """Whether the store is finished."""
        return (self.folder / STORE).is_file()

    def begin(self, plan: Json) -> None:
        """Declares what will be extracted, or checks that it is what was declared before.

        Raises:
            UserError: the folder holds another extraction, finished or not.
        """
        file = self.folder / (STORE if self.complete else PLAN)
        if not file.is_file():
            write_atomically(file, _json(plan))
        try:
            earlier = read_object(file)
            earlier = earlier.get("provenance", earlier)
            if not isinstance(earlier, dict):
                raise ValueError("its provenance is no object")
        except (OSError, ValueError) as error:
            raise UserError(
                f"{file.absolute()} is damaged ({error}); delete {self.folder.absolute()} and extract again"
            ) from error
        differing = _differences(earlier, json.loads(_json(plan)))
        if differing:
            raise UserError(
                f"{self.folder.absolute()} holds another extraction (other {', '.join(differing)}); "
                "choose another output folder, or delete this one"
            )
        if not self.complete:
            self.parts.mkdir(exist_ok=True)
            remove_temporaries(self.parts)

    def finish(self, dataset: Dataset, plan: Json, read: Callable[[int, str], Part] | None = None) -> None:
        """Packs the parts into the store; until that is done, the disk holds every feature twice.

        `read` gives the part of a clip by its number and id; by default it is the file in `parts`.

        Raises:
            UserError: not one clip can be used, or a part is damaged.
        """
        read = read or partial(read_part, self.parts)
        self.pack(dataset, (read(index, clip.id) for index, clip in enumerate(dataset.clips)))
        self.close(dataset, plan)

    def pack(self, dataset: Dataset, parts: Iterable[Part]) -> None:
        """Writes the arrays and tables: `parts` are those of `dataset.clips`, in that order, one in memory at a time.

        Raises:
            UserError: not one clip can be used; the folder is then as if nothing had been extracted.
        """
        usable, failures = [], []
        sources: dict[str, Sources] = {}
        with ExitStack() as stack:
            arrays = [stack.enter_context(array_file(self.folder / file)) for file in ARRAYS.values()]
            for clip, part in zip(dataset.clips, parts, strict=True):
                sources[clip.id] = part.sources
                if part.reason:
                    failures.append((clip.id, part.reason))
                    continue
                usable.append(_row(dataset, clip, part))
                for array, features in zip(arrays, (part.audio, part.video), strict=True):
                    array.append(clip.id, features)
            if not usable:
                self.tidy()
                raise UserError(
                    f"not one of the {len(dataset.clips)} clips can be used, so there is no feature store; "
                    f"the first is {failures[0][0]}: {failures[0][1]}"
                )
        write_atomically(self.folder / CLIPS, csv_bytes(CLIP_COLUMNS, usable))
        write_atomically(self.folder / FAILURES, csv_bytes(FAILURE_COLUMNS, failures))
        if any(map(any, sources.values())):
            write_sources(self.folder, sources)

    def close(self, dataset: Dataset, plan: Json, standardization: Mapping[str, Features] | None = None) -> None:
        """Declares the store finished, after `pack`.

        `standardization` holds "audio.mean", "audio.std", "video.mean" and "video.std", float32 [D], where training
        must use these in place of its own.
        """
        if standardization:
            write_atomically(self.folder / STANDARDIZATION, save(dict(standardization)))
        provenance = plan | {"root": str(dataset.root), "avfusion": __version__}
        header = {"format": FORMAT, "digest": content_digest(self.folder), "provenance": provenance}
        write_atomically(self.folder / STORE, _json(header))
        self.tidy()

    def tidy(self) -> None:
        """Removes what only an unfinished store needs."""
        shutil.rmtree(self.parts, ignore_errors=True)
        (self.folder / PLAN).unlink(missing_ok=True)


@contextmanager
def writing(folder: Path) -> Iterator[StoreWriter]:
    """Makes `folder` if need be, and holds it: the lock goes with the process, however it ends.

    Raises:
        UserError: another process holds it, it holds something else, or it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        foreign = not any((folder / name).exists() for name in (STORE, PLAN, LOCK)) and any(folder.iterdir())
        if foreign:
            raise UserError(f"{folder.absolute()} holds other files; a feature store needs a new or empty folder")
        lock = filelock.FileLock(folder / LOCK, timeout=0)
        with lock:
            remove_temporaries(folder)
            yield StoreWriter(folder)
    except filelock.Timeout as error:
        raise UserError(f"another extraction is writing to {folder.absolute()}; wait until it ends") from error
    except OSError as error:
        raise UserError(cannot_write(folder, error)) from error


def _row(dataset: Dataset, clip: Clip, part: Part) -> tuple[str | int, ...]:
    """The row of clips.csv, in the order of CLIP_COLUMNS."""
    files = (dataset.relative(clip.audio), dataset.relative(clip.video))
    return (clip.id, clip.label, clip.location, clip.split, *files, len(part.audio), len(part.video), part.note)


def _json(content: Json) -> bytes:
    return (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()


def _differences(earlier: Json, now: Json, prefix: str = "") -> list[str]:
    """Dotted names of the values of `now` that `earlier` does not have."""
    found = []
    for name, value in now.items():
        other = earlier.get(name)
        if isinstance(value, dict) and isinstance(other, dict):
            found += _differences(other, value, f"{prefix}{name}.")
        elif value != other:
            found.append(f"{prefix}{name}")
    return found
