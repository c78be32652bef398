"""The names and columns of a feature store's files."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

Modality = Literal["audio", "video"]
MODALITIES: tuple[Modality, ...] = ("audio", "video")

Required = Literal["both", "any", "named"]
"""What a clip must have to be used.

`both`: sound and pictures. `any`: one of them; a note says what is missing. `named`: like `any`, for callers who name
just the files that they want read: nothing is said of a file that was not named.
"""
REQUIRED: tuple[Required, ...] = ("both", "any")
"""What people can choose."""

FORMAT = 1
STORE, PLAN, PARTS, LOCK = "store.json", "plan.json", "parts", ".lock"
CLIPS, FAILURES = "clips.csv", "failures.csv"
ARRAYS: dict[Modality, str] = {"audio": "audio.npy", "video": "video.npy"}
STANDARDIZATION = "standardization.safetensors"  # only where the features came with one
MEDIA = "media.csv"  # what was extracted from; no content, so that the same features have the same digest
CONTENT = (CLIPS, FAILURES, *ARRAYS.values(), STANDARDIZATION)

CLIP_COLUMNS = ("id", "label", "location", "split", "audio", "video", "audio_frames", "video_frames", "note")
FAILURE_COLUMNS = ("id", "reason")
MEDIA_COLUMNS = ("id", "audio", "video")

FIRST_FRAMES = "first_frames"  # among the parameters: how many frames of a clip are learned from, if not all

Json = dict[str, Any]


def csv_bytes(columns: Sequence[str], rows: Sequence[Sequence[str | int]]) -> bytes:
    """A table as the content of a CSV file."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue().encode()


def cannot_write(folder: Path, error: OSError) -> str:
    """The line for a full disk, a missing permission and the like."""
    return (
        f"cannot write to {folder.absolute()}: {error.strerror or error}; "
        "mend that and run the same command again: it continues where it stopped"
    )
