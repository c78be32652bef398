"""Frames of any size -> small square pictures, by averaging; what the preset `demo` looks at."""

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from avfusion.l3.values import AnyArray, check_frame, unit_range

_MOST_SAMPLES = 4  # per output pixel and axis: near enough to an area average, and fast at any size


def area_picture(frame: AnyArray, side: int) -> npt.NDArray[np.float32]:
    """The centre square of `frame` [H, W, 3] as [side, side, 3], each pixel an average over its area.

    The area is sampled at up to 4x4 source pixels. Integers become [0, 1], floats keep their values.
    Raises UserError for anything but an RGB frame.
    """
    check_frame(frame)
    height, width = frame.shape[:2]
    square = min(height, width)
    samples = min(_MOST_SAMPLES, -(-square // side))
    position = ((np.arange(side * samples) + 0.5) * square / (side * samples)).astype(np.int64)
    rows = position + (height - square) // 2
    columns = position + (width - square) // 2
    picked = np.take(np.take(frame, rows, axis=0), columns, axis=1)
    values = unit_range(picked).astype(np.float32, copy=False)
    grouped = values.reshape(side, samples, side, samples, 3)
    return np.asarray(grouped.sum(axis=1).sum(axis=2) / samples**2, dtype=np.float32)


def stream_area_pictures(frames: Iterable[AnyArray], side: int) -> Iterator[npt.NDArray[np.float32]]:
    """`area_picture` of each frame in turn, one in memory at a time."""
    for frame in frames:
        yield area_picture(np.asarray(frame), side)
