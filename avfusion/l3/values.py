"""Pixel values as numbers, by the rules of scikit-image that OpenL3's picture preparation uses."""

from typing import Any

import numpy as np
import numpy.typing as npt

from avfusion.errors import UserError

AnyArray = npt.NDArray[Any]


def check_frame(frame: AnyArray) -> None:
    """Raise UserError unless `frame` is a non-empty [H, W, 3] array of real numbers."""
    if frame.ndim != 3 or frame.shape[-1] != 3 or frame.size == 0:
        raise UserError(f"a frame has shape {list(frame.shape)}; expected RGB, [height, width, 3]")
    if frame.dtype.kind not in "buif":
        raise UserError(f"a frame has values of type {frame.dtype}; expected integers or floats")


def unit_range(values: AnyArray) -> npt.NDArray[np.floating]:
    """Unsigned integers -> [0, 1], signed ones -> [-1, 1], by their type's maximum; floats unchanged.

    Integers of 8 and 16 bits give float32, wider ones float64; the most negative integer gives -1.
    """
    kind = values.dtype.kind
    if kind not in "ui":
        return values.astype(np.float32) if values.dtype.itemsize < 4 else values
    wide = np.dtype(np.float32 if values.dtype.itemsize <= 2 else np.float64)
    scaled: npt.NDArray[np.floating] = values.astype(wide) * wide.type(1.0 / np.iinfo(values.dtype).max)
    return scaled if kind == "u" else np.maximum(scaled, wide.type(-1.0))
