"""Which files a folder of HDF5 features has."""

import hashlib
import json
from pathlib import Path

from avfusion.datasets.dataset import inside
from avfusion.errors import UserError
from avfusion.features import Modality

FOLDERS: dict[Modality, str] = {"audio": "audio_features_data", "video": "video_features_data"}
SPLIT_FILES = {"train": ("train.hdf5", "tr.hdf5"), "val": ("val.hdf5",), "test": ("test.hdf5", "tt.hdf5")}
"""Split -> the course's name (used for export too), and the baseline's where it differs."""
MOMENTS = "global_mean_std.npz"
COURSE_FRAMES = 96
"""The course's loader cuts every clip to its first frames, as many as this, and expects no fewer."""
_RULES = 2  # of what an import makes of the files; another number for other rules


def is_features_folder(path: Path) -> bool:
    """Whether `path` holds HDF5 features of either layout."""
    names = [name for names in SPLIT_FILES.values() for name in names]
    return any((path / folder / name).is_file() for folder in FOLDERS.values() for name in names)


def feature_files(root: Path, modality: Modality, *, allow_outside: bool) -> dict[str, Path]:
    """Split -> file, for the splits that `root` has.

    Raises:
        UserError: there are none, a split has two files, or a file is a link that leaves `root`.
    """
    found: dict[str, Path] = {}
    folder = FOLDERS[modality]
    for split, names in SPLIT_FILES.items():
        present = [name for name in names if (root / folder / name).is_file()]
        if len(present) > 1:
            raise UserError(f"{root / folder} has both {' and '.join(present)}; keep the one that is meant")
        if present:
            found[split] = inside(root, f"{folder}/{present[0]}", allow_outside=allow_outside)
    if not found:
        raise UserError(
            f"{root.absolute()} has no {folder}/train.hdf5 (nor tr, val, test or tt); expected "
            f"{' and '.join(FOLDERS.values())} with the same file names"
        )
    return found


def import_digest(root: Path) -> str:
    """SHA-256 (hexadecimal) of where the files are, their sizes and when they changed: cheap for any size.

    It is another one when imports follow other rules, so that what an earlier version imported is imported anew.
    """
    entries: list[object] = [_RULES]
    for folder in FOLDERS.values():
        for name in (*(name for names in SPLIT_FILES.values() for name in names), MOMENTS):
            path = root / folder / name
            if path.is_file():
                status = path.stat()
                entries.append([str(path.resolve()), status.st_size, status.st_mtime_ns])
    return hashlib.sha256(json.dumps(entries).encode()).hexdigest()
