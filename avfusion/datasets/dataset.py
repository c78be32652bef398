"""What every dataset reader gives: clips with labels and locations."""

import hashlib
import json
import os
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from avfusion.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Clip:
    """One labelled scene: a file with sound and pictures, or one file of each.

    Attributes:
        id: unique in its dataset.
        label: the class.
        location: where it was recorded, or the recording that it was cut from; stays within one split.
        split: "train", "val", "test", or "" where the dataset leaves it open.
        audio: the file with the sound, or None.
        video: the file with the pictures (the same one for a muxed clip), or None.
    """

    id: str
    label: str
    location: str
    split: str
    audio: Path | None
    video: Path | None


@dataclass(frozen=True)
class Dataset:
    """Clips under one root folder.

    Attributes:
        name: what to call it in tables.
        root: the folder that paths are given relative to.
        clips: at least one.
        synthetic: True for rendered scenes, which must be called synthetic wherever shown.
        notes: what a reader of the results should know about how it was read.
    """

    name: str
    root: Path
    clips: tuple[Clip, ...]
    synthetic: bool = False
    notes: tuple[str, ...] = ()

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The labels in alphabetical order."""
        return tuple(sorted({clip.label for clip in self.clips}))

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hexadecimal) of the clip list, whatever its order and its root folder."""
        rows = sorted(
            [clip.id, clip.label, clip.location, clip.split, self.relative(clip.audio), self.relative(clip.video)]
            for clip in self.clips
        )
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()

    def relative(self, path: Path | None) -> str:
        """The path of a media file relative to the root, with forward slashes; "" for None."""
        return "" if path is None else PurePosixPath(os.path.relpath(path, self.root)).as_posix()

    def table(self) -> "pd.DataFrame":
        """The clips as columns id, label, location, split, audio, video (paths relative to the root)."""
        import pandas as pd  # here: extraction's workers import this package, and pandas is most of their start

        columns = ["id", "label", "location", "split", "audio", "video"]
        rows = [
            (clip.id, clip.label, clip.location, clip.split, self.relative(clip.audio), self.relative(clip.video))
            for clip in self.clips
        ]
        return pd.DataFrame(rows, columns=columns)


def inside(root: Path, name: str, *, allow_outside: bool) -> Path:
    """The media file `name` of a list in `root`, which must not lead out of that folder.

    A list may come from anyone, and a path in it that is absolute, climbs with `..` or follows a
    link could reach any file of this machine.

    Raises:
        UserError: the path leaves `root` and `allow_outside` is False, or it is no path at all.
    """
    path = root / name
    try:
        stays = path.resolve().is_relative_to(root.resolve())
    except (ValueError, RuntimeError, OSError) as error:  # a NUL character; a loop of links
        raise UserError(f"the path {name!r} cannot be followed: {error}") from error
    if not allow_outside and not stays:
        raise UserError(
            f"the path {name!r} leads out of the data folder {root.resolve()}; "
            "move the file inside, or add allow_outside=true if you trust this list"
        )
    return path


def unique_ids(names: list[str], source: Path) -> list[str]:
    """Clip ids for relative file names: the stem, or as much more of the name as it takes.

    Raises:
        UserError: one name is listed twice.
    """
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise UserError(f"{source}: the clip {twice[0]!r} is listed {Counter(names)[twice[0]]} times; list it once")
    paths = [PurePosixPath(name) for name in names]
    stems = Counter(path.stem for path in paths)
    ids = [path.stem if stems[path.stem] == 1 else path.with_suffix("").as_posix() for path in paths]
    while len(set(ids)) < len(ids):  # whole names differ, but one of them may be the stem of another
        counts = Counter(ids)
        ids = [name if counts[id_] > 1 else id_ for id_, name in zip(ids, names, strict=True)]
    return ids
