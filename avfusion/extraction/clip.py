"""One clip's features: what decoding and the embedder make of it.

T   audio windows, and as many moments of the pictures
D   features of a window or frame
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from avfusion.features.parts import Features, Part, no_features
from avfusion.media import DEFAULT_LIMITS, Frame, Limits, MediaError, VideoReader, read_sound

if TYPE_CHECKING:
    from avfusion.embedders import Embedder

Modalities = Literal["both", "any"]
MODALITIES: tuple[Modalities, ...] = ("both", "any")

_Read = TypeVar("_Read")
# For a clip without sound: windows are counted as if there were sound at this rate (any would do).
_SILENT_RATE = 48_000


def clip_features(
    embedder: "Embedder",
    clip_id: str,
    audio: Path | None,
    video: Path | None,
    *,
    modalities: Modalities = "both",
    limits: Limits = DEFAULT_LIMITS,
    decoding: AbstractContextManager[object] | None = None,
) -> Part:
    """The features of one clip: audio [T, D] and video [T, D].

    The sound decides T, and T frames are taken evenly from the pictures (DCASE 2021 recipe). Without
    sound, the duration of the pictures decides, and there are no more moments than frames.

    Args:
        embedder: makes the features.
        clip_id: goes into the part.
        audio: the file with the sound, or None.
        video: the file with the pictures, or None.
        modalities: "both" needs sound and pictures; "any" accepts one of them.
        limits: what files to refuse.
        decoding: entered around each piece of decoding, to measure its time.

    Returns:
        The features with a note on damage, or the reason why the clip cannot be used; a missing
        modality has shape [0, 0].
    """
    decoding = decoding or nullcontext()
    notes: list[str] = []
    found: dict[str, Features] = {}

    def pictures() -> VideoReader:
        with decoding:
            return VideoReader(_named(video), limits, lambda message: notes.append(f"pictures: {message}"))

    def sound() -> tuple[Features, int]:
        with decoding:
            return read_sound(_named(audio), limits, lambda message: notes.append(f"sound: {message}"))

    def attempt(read: Callable[[], _Read]) -> _Read | None:
        try:
            return read()
        except MediaError as error:
            if modalities == "both":
                raise
            notes.append(str(error))
            return None

    try:
        reader = attempt(pictures)  # before the sound, whose features are expensive
        samples = attempt(sound)
        if samples is not None:
            found["audio"] = _checked(embedder.embed_audio(*samples))
        if reader is not None:
            count = len(found["audio"]) if "audio" in found else _moments(embedder, reader, limits)
            features = attempt(lambda: _embed_pictures(embedder, reader, count, decoding))
            found |= {} if features is None else {"video": features}
        note = "; ".join(dict.fromkeys(notes))
        if not found:
            return Part(clip_id, reason=note)
        return Part(clip_id, "", note, found.get("audio", no_features()), found.get("video", no_features()))
    except MediaError as error:
        return Part(clip_id, reason=str(error))


def _named(path: Path | None) -> Path:
    if path is None:
        raise MediaError("the list names no file")
    return path


def _moments(embedder: "Embedder", reader: VideoReader, limits: Limits) -> int:
    """T for pictures without sound."""
    n_samples = round(min(reader.seconds, limits.seconds) * _SILENT_RATE)
    return min(max(1, embedder.n_windows(n_samples, _SILENT_RATE)), reader.n_frames)


def _embed_pictures(
    embedder: "Embedder", reader: VideoReader, count: int, decoding: AbstractContextManager[object]
) -> Features:
    """Features of `count` evenly spaced frames; a frame that stands for several is embedded once."""
    features, positions = reader.sample(count, lambda frames: embedder.embed_video(_timed(frames, decoding)))
    return _checked(features)[positions]


def _timed(frames: Iterator[Frame], decoding: AbstractContextManager[object]) -> Iterator[Frame]:
    """The same frames, where only the time of making them counts as decoding."""
    while True:
        with decoding:
            frame = next(frames, None)
        if frame is None:
            return
        yield frame


def _checked(features: NDArray[np.float32]) -> Features:
    """Features that may enter a store."""
    if features.ndim != 2 or not len(features):
        raise ValueError(f"the embedder gave features of shape {features.shape}; expected [T, D]")
    if not np.isfinite(features).all():
        raise MediaError("the embedder gave features that are not finite")
    return features.astype(np.float32, copy=False)
