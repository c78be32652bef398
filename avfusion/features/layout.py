"""The names and columns of a feature store's files, and the digest of its content."""

import hashlib
from pathlib import Path
from typing import Any

FORMAT = 1
STORE, PLAN, PARTS, LOCK = "store.json", "plan.json", "parts", ".lock"
CLIPS, FAILURES = "clips.csv", "failures.csv"
ARRAYS = {"audio": "audio.npy", "video": "video.npy"}
STANDARDIZATION = "standardization.safetensors"  # only where the features came with one
CONTENT = (CLIPS, FAILURES, *ARRAYS.values(), STANDARDIZATION)

CLIP_COLUMNS = ("id", "label", "location", "split", "audio", "video", "audio_frames", "video_frames", "note")
FAILURE_COLUMNS = ("id", "reason")

Json = dict[str, Any]
_BLOCK = 2**22


def content_digest(folder: Path) -> str:
    """SHA-256 (hexadecimal) over the names, sizes and bytes of the clips, failures, arrays and standardisation."""
    total = hashlib.sha256()
    for name in CONTENT:
        path = folder / name
        if name == STANDARDIZATION and not path.exists():
            continue
        total.update(f"{name} {path.stat().st_size}\n".encode())
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                total.update(block)
    return total.hexdigest()


def cannot_write(folder: Path, error: OSError) -> str:
    """The line for a full disk, a missing permission and the like."""
    return (
        f"cannot write to {folder.absolute()}: {error.strerror or error}; "
        "mend that and run the same command again: it continues where it stopped"
    )
