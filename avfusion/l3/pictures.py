"""Frames -> 224x224 pictures with the values that the published OpenL3 features carry.

Source: openl3 0.4.x (scikit-image `rescale`, order 1, no anti-aliasing) and its quirks. The range of a
clip's pictures depends on the size and the type of its frames:

| frames                              | values                                           |
|-------------------------------------|--------------------------------------------------|
| shorter side above 256: rescaled    | integers [0, 1] ([-1, 1] if signed); floats kept |
| exactly 224x224                     | unsigned [-1, 1], signed [-1, 1]; floats kept    |
| otherwise (shorter side 224 to 256) | raw, whatever the type                           |
| shorter side below 224 (ours)       | rescaled up to 256; the original refuses them    |

Whatever exceeds 1 in magnitude is then divided by the largest magnitude of the whole clip.
"""

import tempfile
from collections.abc import Iterable, Iterator
from enum import Enum

import numpy as np
import numpy.typing as npt

from avfusion.errors import UserError
from avfusion.l3.area_pictures import stream_area_pictures
from avfusion.l3.presets import L3Config
from avfusion.l3.values import AnyArray, check_frame, unit_range

SIDE = 224
_SCALED_SIDE = 256  # shorter side of a rescaled frame, before cropping
_SPOOL_BYTES = 64 * 2**20  # crops that must wait for the clip's maximum go to disk beyond this

Picture = npt.NDArray[np.float32]


class ValuePath(Enum):
    """Which of the three preparations a frame gets."""

    RESCALED = "rescaled"
    EXACT = "exactly 224x224"
    RAW = "raw"


def value_path(height: int, width: int) -> ValuePath:
    """The preparation of frames of this size."""
    if (height, width) == (SIDE, SIDE):
        return ValuePath.EXACT
    return ValuePath.RAW if SIDE <= min(height, width) <= _SCALED_SIDE else ValuePath.RESCALED


def crop_frame(frame: AnyArray) -> AnyArray:
    """One [H, W, 3] frame -> [224, 224, 3], before division by the clip's largest magnitude.

    Raises UserError for anything but an RGB frame of real numbers.
    """
    check_frame(frame)
    path = value_path(*frame.shape[:2])
    if path is ValuePath.RESCALED:
        return _rescaled_crop(frame)
    if path is ValuePath.EXACT:
        values = unit_range(frame)
        return 2 * values - 1 if frame.dtype.kind == "u" else values
    top, left = (side // 2 - SIDE // 2 for side in frame.shape[:2])
    return frame[top : top + SIDE, left : left + SIDE]


def stream_pictures(frames: Iterable[AnyArray]) -> Iterator[Picture]:
    """Pictures [224, 224, 3] of a clip's frames, in order, with few of them in memory.

    Frames of one clip must share the preparation (see the table) and the type; UserError otherwise.
    """
    crops = _same_kind(frames)
    first = next(crops, None)
    if first is None:
        return
    bounded, crop = first
    if not bounded:
        yield from _divided_by_peak(crop, (crop for _, crop in crops))
        return
    yield crop.astype(np.float32)
    for _, crop in crops:
        yield crop.astype(np.float32)


def network_pictures(frames: Iterable[AnyArray], config: L3Config) -> Iterator[Picture]:
    """What the image network of `config` looks at: pictures [side, side, 3] of one clip's frames, each [H, W, 3]."""
    if config.pictures == "area":
        return stream_area_pictures(frames, config.image.input_size[0])
    return stream_pictures(frames)


def _same_kind(frames: Iterable[AnyArray]) -> Iterator[tuple[bool, AnyArray]]:
    """(whether values stay within 1, crop) of each frame."""
    expected: tuple[ValuePath, np.dtype[np.generic]] | None = None
    for item in frames:
        frame = np.asarray(item)
        crop = crop_frame(frame)
        kind = value_path(*frame.shape[:2]), frame.dtype
        if expected is not None and kind != expected:
            raise UserError(
                f"frame size changes within the clip to {frame.shape[0]}x{frame.shape[1]} {frame.dtype}, which would "
                f"need another value range than the frames before ({expected[0].value}, {expected[1]})"
            )
        expected = kind
        yield kind[0] is not ValuePath.RAW and frame.dtype.kind != "f", crop


def _divided_by_peak(first: AnyArray, others: Iterator[AnyArray]) -> Iterator[Picture]:
    """Crops as float32, divided by the largest magnitude of all if that exceeds 1."""
    with tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES) as spool:
        peak = np.float32(0)
        count = 0
        crop = first
        while True:
            crop = np.ascontiguousarray(crop)
            peak = np.maximum(peak, np.abs(crop.astype(np.float32)).max())  # a NaN stays a NaN
            spool.write(crop.tobytes())
            count += 1
            following = next(others, None)
            if following is None:
                break
            crop = following
        spool.seek(0)
        for _ in range(count):
            values = np.frombuffer(spool.read(first.nbytes), dtype=first.dtype)
            picture = values.reshape(first.shape).astype(np.float32)
            yield picture / peak if peak > 1 else picture


def _rescaled_crop(frame: AnyArray) -> npt.NDArray[np.floating]:
    """The centre 224x224 of `frame` rescaled to a shorter side of 256, computed at those points only."""
    scale = _SCALED_SIDE / min(frame.shape[:2])
    (y0, y1, wy), (x0, x1, wx) = (_taps(side, int(np.round(scale * side))) for side in frame.shape[:2])
    if frame.dtype.kind == "b":  # truth values cannot be interpolated: the nearest one
        y, x = np.where(wy < 0.5, y0, y1), np.where(wx < 0.5, x0, x1)
        return frame[y[:, None], x].astype(np.float32)
    rows = [np.take(frame, y, axis=0) for y in (y0, y1)]  # several times faster than indexing both axes at once
    corners = [unit_range(np.take(row, x, axis=1)) for row in rows for x in (x0, x1)]
    wide = corners[0].dtype.type
    across, down = wx.astype(wide)[None, :, None], wy.astype(wide)[:, None, None]
    upper = corners[0] + (corners[1] - corners[0]) * across
    lower = corners[2] + (corners[3] - corners[2]) * across
    return np.asarray(upper + (lower - upper) * down)


def _taps(side: int, scaled: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Picture]:
    """Indices before and after, and the weight of the one after, of 224 points along one axis."""
    output = np.arange(SIDE) + (scaled // 2 - SIDE // 2)
    position = np.clip((output + 0.5) * side / scaled - 0.5, 0, side - 1)
    before = np.floor(position).astype(np.int64)
    return before, np.minimum(before + 1, side - 1), (position - before).astype(np.float64)
