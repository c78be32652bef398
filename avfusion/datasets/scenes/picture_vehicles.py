"""Picture elements inside vehicles: cabin and windows, the passing outside, seats, poles, passengers."""

import numpy as np

from avfusion.datasets.scenes.canvas import ellipse, gradient, polygon, rectangle
from avfusion.datasets.scenes.picture_streets import house_colour, windows
from avfusion.datasets.scenes.stage import HEIGHT, Stage

_OUTSIDE_WIDTH = 640
_CLOTHES = 0.6  # brightest value of a garment's colour channels


def _ride(stage: Stage) -> None:
    """Let the outside pass at the vehicle's speed."""
    pace = stage.moment.speed * 260 * stage.moment.rng("ride").choice([-1, 1])
    start = stage.moment.rng("ride start").uniform(0, _OUTSIDE_WIDTH)
    stage.outside_shift = lambda time: start + pace * time


def street_outside(stage: Stage, level: float) -> None:
    """Houses, trees and parked cars that pass by the windows; `level` is how built-up it is."""
    rng, light = stage.moment.location.rng("street_outside"), stage.daylight
    view = np.ones((HEIGHT, _OUTSIDE_WIDTH, 4), np.float32)
    gradient(view, 0, HEIGHT, np.array([0.55, 0.7, 0.9]) * light, np.array([0.9, 0.9, 0.9]) * light)
    foot, x = stage.horizon + 12, 0.0
    while x < _OUTSIDE_WIDTH:
        width = rng.uniform(25, 70)
        if rng.random() < 0.3 + 0.6 * level:
            top = foot - rng.uniform(25, 60)
            rectangle(view, x, top, x + width, foot, house_colour(rng) * light)
            windows(view, rng, (x + 2, top + 2, x + width - 2, foot - 8), stage.moment.location.daylight < 0.5)
        else:
            for _ in range(4):
                green = np.array([0.22, 0.42, 0.16]) * rng.uniform(0.7, 1.3)
                ellipse(
                    view, x + rng.uniform(0, width), foot - rng.uniform(8, 24), rng.uniform(8, 16), 12, green * light
                )
        x += width
    rectangle(view, 0, foot, _OUTSIDE_WIDTH, HEIGHT, np.array([0.38, 0.38, 0.4]) * light)
    for x in rng.uniform(0, _OUTSIDE_WIDTH - 40, 8):
        paint = rng.uniform(0.15, 0.9, 3) * light
        rectangle(view, x, foot - 2, x + 30, foot + 6, paint)
        rectangle(view, x + 6, foot - 8, x + 23, foot - 2, paint * 0.6)
    stage.outside = view[..., :3]
    _ride(stage)


def tunnel_outside(stage: Stage, level: float) -> None:
    """A dark tunnel with lamps that flash by; some lines run above ground for a while."""
    rng = stage.moment.location.rng("tunnel_outside")
    if stage.moment.rng("overground").random() < 0.15:
        street_outside(stage, level)
        return
    view = np.ones((HEIGHT, _OUTSIDE_WIDTH, 4), np.float32)
    gradient(view, 0, HEIGHT, (0.05, 0.05, 0.06), (0.1, 0.1, 0.11))
    rectangle(view, 0, stage.horizon + 4, _OUTSIDE_WIDTH, stage.horizon + 6, (0.22, 0.21, 0.2))
    lamp = np.array([1.0, 0.9, 0.65]) * (0.6 + 0.4 * level)
    for x in range(20, _OUTSIDE_WIDTH, round(rng.uniform(70, 130))):
        rectangle(view, x, stage.horizon - 14, x + 10, stage.horizon - 11, lamp)
        ellipse(view, x + 5, stage.horizon - 12, 14, 8, lamp, 0.2)
    stage.outside = view[..., :3]
    _ride(stage)


def cabin(stage: Stage, level: float) -> None:
    """Walls, ceiling with lights and a row of windows; `level` is how tall and wide the windows are."""
    rng, canvas = stage.moment.location.rng("cabin"), stage.background
    width = canvas.shape[1]
    lamp = 0.55 + 0.4 * rng.random()
    panel = np.array([0.78, 0.78, 0.76]) * lamp * rng.uniform(0.85, 1.1, 3)
    gradient(canvas, 0, HEIGHT, panel, panel * 0.75)
    ceiling = stage.horizon * (0.42 - 0.22 * level)
    gradient(canvas, 0, ceiling, panel * 1.1, panel * 0.95)
    rectangle(canvas, 0, ceiling * 0.3, width, ceiling * 0.3 + 3, (1.0, 0.99, 0.95))
    top, bottom = ceiling + 5, stage.horizon + 10 + 10 * level
    pitch = 44 + 24 * level * rng.uniform(0.7, 1.2)
    start = rng.uniform(-pitch, 0)
    for k in range(int(width / pitch) + 2):
        left = start + k * pitch
        rectangle(canvas, left, top, left + pitch - 6, bottom, (0.12, 0.12, 0.13))
        rectangle(canvas, left + 1.5, top + 1.5, left + pitch - 7.5, bottom - 1.5, (0.8, 0.85, 0.9, 0.1))
    gradient(canvas, HEIGHT * 0.9, HEIGHT, panel * 0.4, panel * 0.3)


def seat_backs(stage: Stage, level: float) -> None:
    """Seats in rows, seen from behind."""
    rng, canvas = stage.moment.location.rng("seat_backs"), stage.background
    cover = np.array(((0.15, 0.25, 0.5), (0.5, 0.15, 0.15), (0.2, 0.4, 0.3), (0.35, 0.3, 0.4))[rng.integers(4)])
    cover = cover * rng.uniform(0.7, 1.3)
    for row in range(2):
        size = 15 + 9 * row + 5 * level
        y = stage.horizon + 26 + 18 * row
        x = rng.uniform(-size, 0)
        while x < canvas.shape[1]:
            if rng.random() < 0.5 + 0.5 * level:
                ellipse(canvas, x + size / 2, y - size * 0.5, size * 0.45, size * 0.35, cover * (0.8 + 0.2 * row))
                rectangle(canvas, x + 1, y - size * 0.5, x + size - 1, HEIGHT, cover * (0.8 + 0.2 * row))
                rectangle(canvas, x + 2, y - size * 0.8, x + size - 2, y - size * 0.74, (0.85, 0.75, 0.2))
            x += size + rng.uniform(3, 9)


def benches_along(stage: Stage, level: float) -> None:
    """Seats along the wall under the windows, seen from the front."""
    rng, canvas = stage.moment.location.rng("benches_along"), stage.background
    cover = np.array(((0.15, 0.3, 0.55), (0.6, 0.3, 0.1), (0.5, 0.12, 0.2), (0.3, 0.32, 0.36))[rng.integers(4)])
    top = stage.horizon + 16
    rectangle(canvas, 0, top, 400, top + 16, cover)
    rectangle(canvas, 0, top + 16, 400, top + 26, cover * 0.7)
    rectangle(canvas, 0, top + 26, 400, HEIGHT, (0.2, 0.2, 0.21))
    for x in np.arange(rng.uniform(0, 14), 400, 14 + 6 * level):
        rectangle(canvas, x, top, x + 1, top + 16, cover * 0.6)


def poles(stage: Stage, level: float) -> None:
    """Upright grab poles and a bar with hanging straps."""
    rng, canvas = stage.moment.location.rng("poles"), stage.background
    metal = np.array(((0.95, 0.8, 0.15), (0.75, 0.76, 0.78), (0.85, 0.25, 0.2))[rng.integers(3)])
    for x in np.linspace(0, canvas.shape[1], 2 + round(3 * level)) + rng.uniform(-15, 15):
        half = rng.uniform(1, 2.2)
        rectangle(canvas, x - half, 0, x + half, HEIGHT, metal)
        rectangle(canvas, x + half * 0.3, 0, x + half, HEIGHT, metal * 0.7)
    bar = stage.horizon * 0.3
    rectangle(canvas, 0, bar, 400, bar + 1.5, metal)
    sway = stage.moment.rng("straps").normal(0, 3) * stage.moment.speed
    for x in np.arange(rng.uniform(0, 16), 400, 60 - 40 * level):
        polygon(
            canvas, ((x - 1, bar), (x + 1, bar), (x + 1 + sway, bar + 10), (x - 1 + sway, bar + 10)), (0.15, 0.15, 0.16)
        )
        ellipse(canvas, x + sway, bar + 12, 3, 3.5, (0.15, 0.15, 0.16))


def passengers(stage: Stage, level: float) -> None:
    """Seated and standing passengers, as many as the babble tells."""
    rng, canvas = stage.moment.rng("passengers"), stage.background
    for k in range(round((2 + 9 * level) * stage.moment.people)):
        x, size = rng.uniform(0, canvas.shape[1]), rng.uniform(9, 15)
        head = stage.horizon + (rng.uniform(6, 24) if k % 3 else rng.uniform(-12, 4))
        coat, skin = rng.uniform(0.05, _CLOTHES, 3), np.array([0.8, 0.62, 0.5]) * rng.uniform(0.45, 1.1)
        ellipse(canvas, x, head + size * 2.0, size, size * 1.5, coat)
        rectangle(canvas, x - size, head + size * 2, x + size, HEIGHT, coat)
        ellipse(canvas, x, head, size * 0.5, size * 0.62, skin)
        ellipse(canvas, x, head - size * 0.3, size * 0.52, size * 0.4, rng.uniform(0.02, 0.35, 3))
