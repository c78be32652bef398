"""Drawing on small float pictures: [height, width, 4] of red, green, blue in 0..1 and opacity.

Colours have three values (painted opaque) or four. Where the background of a scene stays
transparent, the moving outside shows through.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Canvas = NDArray[np.float32]
Colour = Sequence[float] | NDArray[np.float64] | NDArray[np.float32]


def _rgba(colour: Colour) -> Canvas:
    values = np.ones(4, np.float32)
    values[: len(colour)] = colour
    return values


def _span(low: float, high: float, size: int) -> tuple[int, int]:
    return max(0, min(size, round(low))), max(0, min(size, round(high)))


def rectangle(
    canvas: Canvas, left: float, top: float, right: float, bottom: float, colour: Colour, alpha: float = 1.0
) -> None:
    """Fill the rectangle between the given pixel edges."""
    (y0, y1), (x0, x1) = _span(top, bottom, canvas.shape[0]), _span(left, right, canvas.shape[1])
    if alpha >= 1:
        canvas[y0:y1, x0:x1] = _rgba(colour)
    else:
        region = canvas[y0:y1, x0:x1]
        region += np.float32(alpha) * (_rgba(colour) - region)


def gradient(canvas: Canvas, top: float, bottom: float, first: Colour, last: Colour) -> None:
    """Fill the rows from top to bottom, full width, from one colour to another."""
    y0, y1 = _span(top, bottom, canvas.shape[0])
    share = ((np.arange(y0, y1, dtype=np.float32) - top) / max(bottom - top, 1))[:, None, None]
    canvas[y0:y1] = _rgba(first) + share * (_rgba(last) - _rgba(first))


def ellipse(canvas: Canvas, x: float, y: float, rx: float, ry: float, colour: Colour, alpha: float = 1.0) -> None:
    """Fill an ellipse with a soft edge of about one pixel."""
    (y0, y1), (x0, x1) = _span(y - ry - 1, y + ry + 1, canvas.shape[0]), _span(x - rx - 1, x + rx + 1, canvas.shape[1])
    if y0 >= y1 or x0 >= x1:
        return
    dy = ((np.arange(y0, y1, dtype=np.float32) + np.float32(0.5 - y)) / np.float32(ry))[:, None]
    dx = ((np.arange(x0, x1, dtype=np.float32) + np.float32(0.5 - x)) / np.float32(rx))[None]
    inside = (1 - np.sqrt(dx * dx + dy * dy)) * np.float32(min(rx, ry)) + np.float32(0.5)
    cover = np.clip(inside, 0, 1)[..., None] * np.float32(alpha)
    region = canvas[y0:y1, x0:x1]
    region += cover * (_rgba(colour) - region)


def polygon(canvas: Canvas, points: Sequence[tuple[float, float]], colour: Colour, alpha: float = 1.0) -> None:
    """Fill a convex polygon given by (x, y) corners in either order."""
    corners = np.asarray(points, np.float32)
    (y0, y1) = _span(corners[:, 1].min(), corners[:, 1].max() + 1, canvas.shape[0])
    (x0, x1) = _span(corners[:, 0].min(), corners[:, 0].max() + 1, canvas.shape[1])
    if y0 >= y1 or x0 >= x1:
        return
    ys = np.arange(y0, y1, dtype=np.float32)[:, None] + np.float32(0.5)
    xs = np.arange(x0, x1, dtype=np.float32)[None] + np.float32(0.5)
    following = np.roll(corners, -1, axis=0)
    area = float(np.sum(corners[:, 0] * following[:, 1] - following[:, 0] * corners[:, 1]))
    inside = np.ones((y1 - y0, x1 - x0), bool)
    for (ax, ay), (bx, by) in zip(corners, following, strict=True):
        inside &= ((bx - ax) * (ys - ay) - (by - ay) * (xs - ax)) * np.float32(np.sign(area)) >= 0
    region = canvas[y0:y1, x0:x1]
    cover = np.float32(alpha) * inside[..., None]
    region += cover * (_rgba(colour) - region)


def texture(canvas: Canvas, top: float, bottom: float, rng: np.random.Generator, amount: float, grain: int) -> None:
    """Roughen the rows from top to bottom by random patches of `grain` pixels."""
    y0, y1 = _span(top, bottom, canvas.shape[0])
    rows, columns = -(-(y1 - y0) // grain) + 1, -(-canvas.shape[1] // (2 * grain)) + 1
    patches = rng.standard_normal((rows, columns), dtype=np.float32) * np.float32(amount)
    pattern = patches.repeat(grain, 0).repeat(2 * grain, 1)[: y1 - y0, : canvas.shape[1], None]
    canvas[y0:y1, :, :3] *= 1 + pattern


class Sprite:
    """A small picture with opacity, ready to be pasted onto frames [height, width, 3] of 0..255."""

    def __init__(self, canvas: Canvas) -> None:
        opacity = canvas[..., 3:]
        self._colour = np.clip(canvas[..., :3], 0, 1) * opacity * np.float32(255)
        self._keep = 1 - opacity

    def paste(self, frame: NDArray[np.uint8], left: float, top: float) -> None:
        """Blend into `frame` with the upper left corner at the given pixel; outside parts are cut off."""
        height, width = self._keep.shape[:2]
        x, y = round(left), round(top)
        x0, x1, y0, y1 = max(x, 0), min(x + width, frame.shape[1]), max(y, 0), min(y + height, frame.shape[0])
        if x0 >= x1 or y0 >= y1:
            return
        part = np.s_[y0 - y : y1 - y, x0 - x : x1 - x]
        region = frame[y0:y1, x0:x1]
        region[:] = region * self._keep[part] + self._colour[part]
