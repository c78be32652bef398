"""The features of one clip: its files are decoded, and the embedder turns sound and pictures into features.

T   windows of the sound
N   pictures, evenly spread over the clip: as many as the embedder wants
M   distinct frames among those pictures
D   features of a window or frame, of each modality its own
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from avfusion.features import Required
from avfusion.features.parts import Features, Part, no_features
from avfusion.media import DEFAULT_LIMITS, Limits, MediaError, Samples, VideoReader, stream_sound

if TYPE_CHECKING:
    from avfusion.embedders import Embedder

Frame = NDArray[np.uint8]
Sound = TypeVar("Sound")
Pictures = TypeVar("Pictures")
_Read = TypeVar("_Read")
# Hz. For a clip without sound: windows are counted as if there were sound at this rate (any would do).
_SILENT_RATE = 48_000


@dataclass(frozen=True)
class Taken(Generic[Sound, Pictures]):
    """What was made of the sound and of the pictures of a clip.

    Attributes:
        sound: what was made of the sound; None if there is none.
        pictures: what was made of the M distinct frames; None if there are none.
        positions: int64 [N], which of the M frames is each picture; [0] without pictures.
        note: one line on damage and on what is missing, or "".
        audio_step: seconds from one window of sound to the next.
        video_step: seconds from one picture to the next; 0 without pictures.
    """

    sound: Sound | None
    pictures: Pictures | None
    positions: NDArray[np.int64]
    note: str
    audio_step: float
    video_step: float


def clip_features(
    embedder: "Embedder",
    clip_id: str,
    audio: Path | None,
    video: Path | None,
    *,
    required: Required = "both",
    limits: Limits = DEFAULT_LIMITS,
    decoding: AbstractContextManager[object] | None = None,
) -> Part:
    """The features of one clip: audio [T, D] and video [N, D].

    The sound decides how long the clip is; the embedder says how many pictures it wants of that, which are taken evenly
    (L3-Nets: as many as windows, the DCASE 2021 recipe). Without sound, the duration of the pictures decides, and
    no more are taken than there are frames.

    Args:
        embedder: makes the features.
        clip_id: goes into the part.
        audio: the file with the sound, or None.
        video: the file with the pictures, or None.
        required: what the clip must have to be used.
        limits: what files to refuse.
        decoding: a context manager that is entered around each piece of decoding, for instance to measure its time.

    Returns:
        The features with a note on damage, or the reason why the clip cannot be used; a missing
        modality has shape [0, 0].
    """

    def hear(blocks: Iterator[Samples], rate: int) -> Features:
        return checked(embedder.embed_audio(blocks, rate))

    def see(frames: Iterator[Frame]) -> Features:
        return checked(embedder.embed_video(frames))

    try:
        taken = take(embedder, audio, video, hear, see, required, limits, decoding or nullcontext())
    except MediaError as error:
        return Part(clip_id, reason=str(error))
    return as_part(clip_id, taken)


def take(
    embedder: "Embedder",
    audio: Path | None,
    video: Path | None,
    hear: Callable[[Iterator[Samples], int], Sound],
    see: Callable[[Iterator[Frame]], Pictures],
    required: Required,
    limits: Limits,
    decoding: AbstractContextManager[object],
) -> Taken[Sound, Pictures]:
    """Reads a clip, whatever is made of its sound and its pictures: features, or what a network elsewhere needs.

    Args:
        hear: called with the blocks of sound, float32 [n, 1], and their rate in Hz; takes all of them, and returns what
            it makes of them.
        see: called with the M distinct frames, uint8 [H, W, 3]; returns what it makes of them.

    For the other arguments see `clip_features`. Raises MediaError when the clip cannot be used.
    """
    notes: list[str] = []
    attempt = partial(_attempt, required, notes)

    def open_pictures(path: Path) -> VideoReader:
        with decoding:
            return VideoReader(path, limits, lambda message: notes.append(f"pictures: {message}"))

    def read_sound(path: Path) -> tuple[Sound, int, int]:
        with decoding:
            blocks, rate = stream_sound(path, limits, lambda message: notes.append(f"sound: {message}"))
        counted = _Counted(_timed(blocks, decoding))
        sound = hear(iter(counted), rate)
        return sound, counted.n_samples, rate

    reader = attempt(video, open_pictures)  # before the sound, whose features are expensive
    heard = attempt(audio, read_sound)
    seen, video_step = None, 0.0
    if reader is not None:
        if heard is not None:
            _, n_samples, rate = heard
            seconds = n_samples / rate
            count = pictures_wanted(embedder, seconds, embedder.n_windows(n_samples, rate))
        else:
            seconds = min(reader.seconds, limits.seconds)
            count = min(pictures_wanted(embedder, seconds), reader.n_frames)
        seen = attempt(video, lambda _: reader.sample(count, lambda frames: see(_timed(frames, decoding))))
        video_step = seconds / count if seen is not None else 0.0
    note = "; ".join(dict.fromkeys(notes))
    if heard is None and seen is None and notes:  # without notes, no file was named
        raise MediaError(note)
    pictures, positions = seen if seen is not None else (None, np.zeros(0, np.int64))
    return Taken(None if heard is None else heard[0], pictures, positions, note, embedder.hop, video_step)


def pictures_wanted(embedder: "Embedder", seconds: float, n_windows: int | None = None) -> int:
    """How many pictures N, at least 1, the embedder wants of a clip of `seconds` with T = `n_windows` windows of sound.

    Without sound, windows are counted as if there were some.
    """
    if n_windows is None:
        n_windows = max(1, embedder.n_windows(round(seconds * _SILENT_RATE), _SILENT_RATE))
    return max(1, embedder.n_frames(seconds, n_windows))


def as_part(clip_id: str, taken: Taken[Features, Features]) -> Part:
    """Features as the part of a clip. A frame that is several pictures was embedded once, and is repeated."""
    audio = no_features() if taken.sound is None else taken.sound
    video = no_features() if taken.pictures is None else taken.pictures
    repeated = len(taken.positions) != len(video)  # else each is one picture, and nothing need be copied
    pictures = video[taken.positions] if repeated else video
    return Part(clip_id, "", taken.note, audio, pictures, taken.audio_step, taken.video_step)


def checked(features: NDArray[np.float32]) -> Features:
    """Features [T, D] as float32; MediaError if they are not finite, ValueError (our mistake) for another shape."""
    if features.ndim != 2 or not len(features):
        raise ValueError(f"the embedder gave features of shape {features.shape}; expected [T, D]")
    if not np.isfinite(features).all():
        raise MediaError("the embedder gave features that are not finite")
    return features.astype(np.float32, copy=False)


def _attempt(required: Required, notes: list[str], path: Path | None, read: Callable[[Path], _Read]) -> _Read | None:
    """What `read` makes of the file; None where that may be missing and is, with the reason in `notes`."""
    if path is None and required == "named":
        return None
    try:
        if path is None:
            raise MediaError("the list names no file")
        return read(path)
    except MediaError as error:
        if required == "both":
            raise
        notes.append(str(error))
        return None


class _Counted:
    """Blocks of sound as they are, and how many samples have gone by."""

    def __init__(self, blocks: Iterator[Samples]) -> None:
        self._blocks = blocks
        self.n_samples = 0

    def __iter__(self) -> Iterator[Samples]:
        for block in self._blocks:
            self.n_samples += len(block)
            yield block


def _timed(pieces: Iterator[_Read], decoding: AbstractContextManager[object]) -> Iterator[_Read]:
    """The same pieces, where only the time of making them counts as decoding."""
    while True:
        with decoding:
            piece = next(pieces, None)
        if piece is None:
            return
        yield piece
