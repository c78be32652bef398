"""What an extraction knows of one clip, as one file: its features, or why there are none.

T   frames in time, of each modality its own
D   features of a frame
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from avfusion.errors import UserError
from avfusion.features.layout import MODALITIES
from avfusion.features.sources import UNKNOWN, Sources
from avfusion.system.files import replacing

Features = NDArray[np.float32]
_STEPS = ("audio_step", "video_step")
_TEXTS = {"id", "reason", "note", *_STEPS}


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
        audio_step, video_step: seconds from one frame of the modality to the next; 0 where it is not known.
        sources: the media that it was made of.
    """

    id: str
    reason: str = ""
    note: str = ""
    audio: Features = field(default_factory=no_features)
    video: Features = field(default_factory=no_features)
    audio_step: float = 0.0
    video_step: float = 0.0
    sources: Sources = UNKNOWN

    @property
    def seconds(self) -> float:
        """How long the clip is by its features."""
        return round(max(len(self.audio) * self.audio_step, len(self.video) * self.video_step), 6)


def part_name(index: int) -> str:
    """The file name of the part of clip number `index`."""
    return f"{index:07d}.safetensors"


def write_part(folder: Path, index: int, part: Part) -> None:
    """Writes the part of clip number `index`, whole or not at all.

    The file is safetensors, written by hand: the library would hold the features three times. Format
    (github.com/huggingface/safetensors): header size as little-endian uint64, header as JSON, the arrays.
    """
    arrays = {name: np.ascontiguousarray(getattr(part, name), "<f4") for name in MODALITIES}
    texts = {"id": part.id, "reason": part.reason, "note": part.note}
    texts |= {name: repr(getattr(part, name)) for name in _STEPS}
    texts |= {f"{name}_source": text for name, text in part.sources._asdict().items()}
    header: dict[str, object] = {"__metadata__": texts}
    end = 0
    for name, array in arrays.items():
        start, end = end, end + array.nbytes
        header[name] = {"dtype": "F32", "shape": array.shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with replacing(folder / part_name(index)) as temporary, temporary.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in arrays.values():
            file.write(array.reshape(-1).data)


def read_part(folder: Path, index: int, clip_id: str) -> Part:
    """The part of clip number `index`.

    Raises:
        UserError: the file is damaged, or of another version; it is removed, so that the same command extracts it
            again.
    """
    path = folder / part_name(index)
    try:
        with safe_open(path, framework="np") as file:
            texts = file.metadata() or {}
            sources = _pop_sources(texts)
            if _of_another_version(texts):
                path.unlink()
                raise UserError(f"{path} is of another version of avfusion and is removed; run the same command again")
            audio_step, video_step = (float(texts.pop(name)) for name in _STEPS)
            arrays = {name: file.get_tensor(name) for name in MODALITIES}
            part = Part(**texts, **arrays, audio_step=audio_step, video_step=video_step, sources=sources)
        if part.id != clip_id:
            raise ValueError(f"it holds {part.id!r}")
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        path.unlink(missing_ok=True)
        raise UserError(f"{path} was damaged and is removed ({error}); run the same command again") from error
    return part


def part_sources(folder: Path, index: int) -> Sources | None:
    """The media that the part of clip number `index` was made of, unknown for a damaged one; its features are not read.

    None for a part of another version, which `read_part` cannot read.
    """
    try:
        with safe_open(folder / part_name(index), framework="np") as file:
            sources = _pop_sources(texts := file.metadata() or {})
            return None if _of_another_version(texts) else sources
    except (SafetensorError, OSError):
        return UNKNOWN


def _of_another_version(texts: dict[str, str]) -> bool:
    """Whether a part, but for its sources, says more or less than those that are written here."""
    return "id" in texts and texts.keys() != _TEXTS


def _pop_sources(texts: dict[str, str]) -> Sources:
    return Sources(*(texts.pop(f"{name}_source", "") for name in Sources._fields))
