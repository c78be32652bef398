"""Pictures of a clip, sampled evenly.

H, W   height and width of a frame as decoded: rotation marks and pixel shapes are not applied
n      frames in the clip
T      frames wanted
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from avfusion.media.container import (
    DEFAULT_LIMITS,
    Limits,
    MediaError,
    Opened,
    decode,
    log_damage,
    media_errors,
    open_stream,
    packets,
)

Frame = NDArray[np.uint8]
Result = TypeVar("Result")
_FALLBACK_RATE = 25.0  # frames per second where a file does not say


def frame_indices(n_frames: int, count: int) -> NDArray[np.int64]:
    """Which frames stand for `count` equally spaced moments: int64 [count], rising, with repeats.

    The DCASE 2021 recipe: linspace(0, n - 1, T), rounded down.
    """
    return np.linspace(0, n_frames - 1, count).astype(np.int64)


class FrameCountError(Exception):
    """As many frames came as the message says, which is not what was expected."""


class VideoReader:
    """The pictures of one file, read from start to end.

    Frames are never sought: a seek decodes from the last key frame anyway, and is inexact in many
    files. Memory holds one frame at a time, however long the clip is.

    Attributes:
        n_frames: frames in the file; until they were decoded once, the number of its packets.
        seconds: duration by the time stamps of the packets, which may be far from the truth.
    """

    def __init__(
        self,
        path: Path,
        limits: Limits = DEFAULT_LIMITS,
        on_damage: Callable[[str], None] = log_damage,
    ) -> None:
        """Counts the packets, without decoding them.

        Args:
            path: any container and codec that FFmpeg reads.
            limits: what to refuse.
            on_damage: called with one line when part of the pictures could not be decoded.

        Raises:
            MediaError: no pictures, or limits exceeded.
        """
        self._path, self._limits, self._on_damage = path, limits, on_damage
        with media_errors(), open_stream(path, "video", limits) as opened:
            self.n_frames, self.seconds = _count(opened, limits)
        if self.seconds > limits.seconds:
            raise MediaError(f"more than {limits.seconds:g} s of pictures")

    def sample(self, count: int, consume: Callable[[Iterator[Frame]], Result]) -> tuple[Result, NDArray[np.int64]]:
        """Hands the distinct frames among `frame_indices(n_frames, count)` to `consume`.

        Args:
            count: T.
            consume: takes an iterator over uint8 [H, W, 3] (RGB; the size may change midway) and
                must exhaust it. It is called a second time if the first pass showed that the file
                has another number of frames than it announced.

        Returns:
            What `consume` returned, and int64 [T]: which of the distinct frames, counted from 0,
            stands for each moment.

        Raises:
            MediaError: no frame can be decoded, or limits exceeded.
        """
        for _ in range(2):
            distinct, positions = np.unique(frame_indices(self.n_frames, count), return_inverse=True)
            try:
                return consume(self._walk(distinct)), positions
            except FrameCountError:
                if not self.n_frames:
                    raise MediaError("no pictures: nothing could be decoded") from None
        raise MediaError("the number of frames differs from one decoding to the next")

    def _walk(self, wanted: NDArray[np.int64]) -> Iterator[Frame]:
        """Decodes every frame and converts the wanted ones.

        Raises:
            FrameCountError: at the end, if `n_frames` was wrong; it is right from then on.
        """
        remaining = iter(wanted.tolist())
        following = next(remaining, None)
        damage: list[str] = []
        n_seen = 0
        with media_errors(), open_stream(self._path, "video", self._limits) as opened:
            for frame in decode(opened, damage.append):
                if not isinstance(frame, VideoFrame):
                    continue
                if n_seen == following:
                    yield _picture(frame, self._limits)
                    following = next(remaining, None)
                n_seen += 1
        if n_seen != self.n_frames:
            self.n_frames = n_seen
            raise FrameCountError(str(n_seen))
        for message in damage:
            self._on_damage(message)


def _picture(frame: VideoFrame, limits: Limits) -> Frame:
    """One frame as uint8 [H, W, 3]."""
    if not 0 < frame.width * frame.height <= limits.pixels:
        raise MediaError(f"a frame of {frame.width} x {frame.height}; at most {limits.pixels} pixels are accepted")
    return np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)


def _count(opened: Opened, limits: Limits) -> tuple[int, float]:
    """Packets in the stream, and its duration in seconds."""
    stream = opened.stream
    n_packets, stamps = 0, (0, 0)
    for packet in packets(opened, lambda message: None):  # decoding will tell of any damage
        if not packet.size:
            continue
        n_packets += 1
        if n_packets > limits.frames:
            raise MediaError(f"more than {limits.frames} frames")
        if packet.pts is not None:
            stamps = (min(stamps[0], packet.pts), max(stamps[1], packet.pts)) if n_packets > 1 else (packet.pts,) * 2
    if not n_packets:
        raise MediaError("no pictures: the stream is empty")
    span = float((stamps[1] - stamps[0]) * (stream.time_base or 0))
    if span > 0:
        return n_packets, span * n_packets / (n_packets - 1)
    return n_packets, n_packets / float(getattr(stream, "average_rate", None) or _FALLBACK_RATE)
