"""What an extraction knows of one clip, as one file: its features, or why there are none.

T   frames in time
D   features of a frame
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from avfusion.atomic import write_atomically
from avfusion.errors import UserError

Features = NDArray[np.float32]


def no_features() -> Features:
    """What stands for a missing modality: float32 [0, 0]."""
    return np.zeros((0, 0), np.float32)


@dataclass(frozen=True)
class Part:
    """One clip's outcome.

    Attributes:
        id: the clip.
        reason: one line on why the clip cannot be used; "" when it can.
        note: one line on what is less than perfect (damage, a missing modality), or "".
        audio, video: float32 [T, D], finite; [0, 0] where the modality is missing.
    """

    id: str
    reason: str = ""
    note: str = ""
    audio: Features = field(default_factory=no_features)
    video: Features = field(default_factory=no_features)


def part_name(index: int) -> str:
    """The file name of the part of clip number `index`."""
    return f"{index:07d}.safetensors"


def write_part(folder: Path, index: int, part: Part) -> None:
    """Writes the part of clip number `index`, whole or not at all."""
    texts = {"id": part.id, "reason": part.reason, "note": part.note}
    arrays = {"audio": part.audio, "video": part.video}
    content = save({name: np.ascontiguousarray(array) for name, array in arrays.items()}, metadata=texts)
    write_atomically(folder / part_name(index), content)


def read_part(folder: Path, index: int, clip_id: str) -> Part:
    """The part of clip number `index`.

    Raises:
        UserError: the file is damaged; it is removed, so that the same command extracts it again.
    """
    path = folder / part_name(index)
    try:
        with safe_open(path, framework="np") as file:
            texts = file.metadata() or {}
            part = Part(**texts, audio=file.get_tensor("audio"), video=file.get_tensor("video"))
        if part.id != clip_id:
            raise ValueError(f"it holds {part.id!r}")
    except (SafetensorError, TypeError, ValueError) as error:
        path.unlink(missing_ok=True)
        raise UserError(f"{path} was damaged and is removed ({error}); run the same command again") from error
    return part
