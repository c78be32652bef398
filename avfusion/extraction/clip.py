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

from avfusion.embedders import StreamingEmbedder
from avfusion.features.parts import Features, Part, no_features
from avfusion.media import DEFAULT_LIMITS, Limits, MediaError, Samples, VideoReader, stream_sound

if TYPE_CHECKING:
    from avfusion.embedders import Embedder

Modalities = Literal["both", "any"]
MODALITIES: tuple[Modalities, ...] = ("both", "any")

NO_FILE = "the list names no file"
"""What is said of a modality for which no file was named."""

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

    def open_pictures() -> VideoReader:
        with decoding:
            return VideoReader(_named(video), limits, lambda message: notes.append(f"pictures: {message}"))

    def sound() -> Features:
        with decoding:
            blocks, rate = stream_sound(_named(audio), limits, lambda message: notes.append(f"sound: {message}"))
        return _embed_sound(embedder, _timed(blocks, decoding), rate)

    def attempt(read: Callable[[], _Read]) -> _Read | None:
        try:
            return read()
        except MediaError as error:
            if modalities == "both":
                raise
            notes.append(str(error))
            return None

    try:
        step = embedder.hop
        reader = attempt(open_pictures)  # before the sound, whose features are expensive
        heard = attempt(sound)
        if heard is not None:
            found["audio"] = heard
        if reader is not None:
            count = len(heard) if heard is not None else _moments(embedder, reader, limits)
            step = embedder.hop if heard is not None else max(embedder.hop, reader.seconds / max(1, reader.n_frames))
            features = attempt(lambda: _embed_pictures(embedder, reader, count, decoding))
            found |= {} if features is None else {"video": features}
        note = "; ".join(dict.fromkeys(notes))
        if not found:
            return Part(clip_id, reason=note)
        return Part(clip_id, "", note, found.get("audio", no_features()), found.get("video", no_features()), step)
    except MediaError as error:
        return Part(clip_id, reason=str(error))


def _named(path: Path | None) -> Path:
    if path is None:
        raise MediaError(NO_FILE)
    return path


def _moments(embedder: "Embedder", reader: VideoReader, limits: Limits) -> int:
    """T for pictures without sound."""
    n_samples = round(min(reader.seconds, limits.seconds) * _SILENT_RATE)
    return min(max(1, embedder.n_windows(n_samples, _SILENT_RATE)), reader.n_frames)


def _embed_sound(embedder: "Embedder", blocks: Iterator[Samples], rate: int) -> Features:
    """Features of the sound, block by block where the embedder can."""
    if isinstance(embedder, StreamingEmbedder):
        return _checked(embedder.embed_audio_blocks(blocks, rate))
    return _checked(embedder.embed_audio(np.concatenate(list(blocks)), rate))


def _embed_pictures(
    embedder: "Embedder", reader: VideoReader, count: int, decoding: AbstractContextManager[object]
) -> Features:
    """Features of `count` evenly spaced frames; a frame that stands for several is embedded once."""
    features, positions = reader.sample(count, lambda frames: embedder.embed_video(_timed(frames, decoding)))
    repeated = len(positions) != len(features)  # else each stands for one moment, and nothing need be copied
    return _checked(features)[positions] if repeated else _checked(features)


def _timed(pieces: Iterator[_Read], decoding: AbstractContextManager[object]) -> Iterator[_Read]:
    """The same pieces, where only the time of making them counts as decoding."""
    while True:
        with decoding:
            piece = next(pieces, None)
        if piece is None:
            return
        yield piece


def _checked(features: NDArray[np.float32]) -> Features:
    """Features that may enter a store."""
    if features.ndim != 2 or not len(features):
        raise ValueError(f"the embedder gave features of shape {features.shape}; expected [T, D]")
    if not np.isfinite(features).all():
        raise MediaError("the embedder gave features that are not finite")
    return features.astype(np.float32, copy=False)
