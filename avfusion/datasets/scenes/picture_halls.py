"""Picture elements of halls: the hall itself, glass wall, shops, boards, columns, seats, track."""

import numpy as np

from avfusion.datasets.scenes.canvas import Canvas, ellipse, gradient, polygon, rectangle
from avfusion.datasets.scenes.stage import HEIGHT, Stage


def _size(stage: Stage) -> float:
    """Size of the hall, 0..1, as its reverberation tells."""
    return float(np.clip((stage.moment.reverberation - 0.5) / 1.7, 0, 1))


def _back(stage: Stage) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of the back wall: far and small in a large hall."""
    half = 75 - 50 * _size(stage)
    top = stage.horizon * (0.45 - 0.35 * _size(stage)) + 4
    return stage.vanishing - half, top, stage.vanishing + half, stage.horizon + 24 - 16 * _size(stage)


def hall(stage: Stage, level: float) -> None:
    """Back wall, side walls, ceiling with rows of lamps, shining floor; `level` is the brightness."""
    rng, canvas = stage.moment.location.rng("hall"), stage.background
    width = canvas.shape[1]
    bright = 0.45 + 0.5 * level * rng.uniform(0.7, 1.1)
    hue = rng.uniform(0.85, 1.1, 3)
    wall, ceiling = np.array([0.8, 0.78, 0.74]) * bright * hue, np.array([0.7, 0.72, 0.75]) * bright
    floor = np.array([0.72, 0.69, 0.64]) * bright * rng.uniform(0.6, 1.1) * rng.uniform(0.9, 1.1, 3)
    left, top, right, bottom = _back(stage)
    gradient(canvas, 0, HEIGHT, ceiling, ceiling)
    polygon(canvas, ((0, HEIGHT), (left, bottom), (right, bottom), (width, HEIGHT)), floor)
    gradient_rows = np.linspace(0.8, 1.15, HEIGHT, dtype=np.float32)[:, None, None]
    polygon(canvas, ((left, top), (left, bottom), (-60, HEIGHT + 40), (-60, -50)), wall * 0.8)
    polygon(canvas, ((right, top), (right, bottom), (width + 60, HEIGHT + 40), (width + 60, -50)), wall * 0.72)
    rectangle(canvas, left, top, right, bottom, wall)
    canvas[..., :3] *= gradient_rows
    lamp = np.clip(np.array([1.0, 0.97, 0.9]) * hue * 1.1, 0, 1.2)
    columns = int(rng.integers(2, 5))
    for column in range(columns):
        across = (column + 0.5) / columns
        for row in range(1, 6):
            near = (row / 6) ** 2
            x = (left + (right - left) * across) * (1 - near) + (width * across * 1.6 - width * 0.3) * near
            y = (top - 1) * (1 - near) - 8 * near
            ellipse(canvas, x, y, 2 + 9 * near, 1 + 2 * near, lamp)
            ellipse(canvas, x, bottom + (HEIGHT - bottom) * near, 3 + 10 * near, 1 + 3 * near, lamp, 0.12)


def glass_wall(stage: Stage, level: float) -> None:
    """A glass front on the apron: sky, tarmac and a slowly taxiing plane outside."""
    rng, canvas = stage.moment.location.rng("glass_wall"), stage.background
    left, top, right, bottom = _back(stage)
    reach = (right - left) * (0.2 + 1.2 * level)
    edges = np.clip((left - reach * rng.uniform(0, 0.6), right + reach * rng.uniform(0, 0.6)), 0, canvas.shape[1])
    glass_bottom = bottom - 3
    rectangle(canvas, edges[0], top - 4, edges[1], glass_bottom, (0.7, 0.75, 0.8, 0.12))
    for x in np.arange(edges[0], edges[1] + 1, rng.uniform(10, 22)):
        rectangle(canvas, x, top - 4, x + 1.5, glass_bottom, (0.3, 0.32, 0.35))
    rectangle(canvas, edges[0], (top + bottom) / 2 - 6, edges[1], (top + bottom) / 2 - 5, (0.3, 0.32, 0.35))
    stage.outside = _apron(stage)
    drift = stage.moment.rng("taxi").uniform(-6, 6)
    stage.outside_shift = lambda time: drift * time


def _apron(stage: Stage) -> Canvas:
    rng, light = stage.moment.location.rng("apron"), stage.daylight
    view = np.ones((HEIGHT, 360, 4), np.float32)
    gradient(view, 0, stage.horizon, np.array([0.5, 0.68, 0.92]) * light, np.array([0.88, 0.9, 0.92]) * light)
    gradient(view, stage.horizon, HEIGHT, np.array([0.5, 0.5, 0.5]) * light, np.array([0.4, 0.4, 0.42]) * light)
    for x in (rng.uniform(30, 120), rng.uniform(200, 300)):
        y, body = stage.horizon - 4, np.array([0.93, 0.94, 0.96]) * light
        ellipse(view, x, y, 34, 5, body)
        polygon(
            view,
            ((x - 33, y - 1), (x - 24, y - 2), (x - 30, y - 16), (x - 36, y - 16)),
            rng.uniform(0.2, 0.9, 3) * light,
        )
        polygon(view, ((x - 8, y + 1), (x + 6, y + 1), (x - 16, y + 10)), body * 0.7)
        rectangle(view, x - 22, y - 2, x + 26, y - 1, np.array([0.2, 0.25, 0.35]) * light)
    return view[..., :3]


def shop_fronts(stage: Stage, level: float) -> None:
    """Lit shop windows with coloured signs along both sides."""
    rng, canvas = stage.moment.location.rng("shop_fronts"), stage.background
    left, _, right, bottom = _back(stage)
    for side, near_edge in ((left, -30.0), (right, canvas.shape[1] + 30.0)):
        for k in range(4):
            first, last = (k / 4) ** 1.4, ((k + 0.85) / 4) ** 1.4
            if rng.random() > 0.35 + 0.65 * level:
                continue
            x = [side + (near_edge - side) * n for n in (first, last)]
            foot = [bottom + (HEIGHT + 30 - bottom) * n for n in (first, last)]
            head = [stage.horizon - 7 - 34 * n for n in (first, last)]
            window = ((x[0], head[0]), (x[1], head[1]), (x[1], foot[1] - 2), (x[0], foot[0] - 2))
            polygon(canvas, window, np.array([1.0, 0.93, 0.8]) * rng.uniform(0.7, 1.0) * rng.uniform(0.85, 1.0, 3))
            sign = ((x[0], head[0] - 4 - 4 * first), (x[1], head[1] - 5 - 4 * last), (x[1], head[1]), (x[0], head[0]))
            polygon(canvas, sign, rng.uniform(0.1, 1.0, 3))
            for _ in range(3):
                share = rng.uniform(0.15, 0.85)
                goods_x, goods_y = x[0] + (x[1] - x[0]) * share, stage.horizon + rng.uniform(-6, 8)
                size = 1 + 5 * (first + (last - first) * share)
                rectangle(
                    canvas, goods_x - size, goods_y - size, goods_x + size, goods_y + 2 * size, rng.uniform(0.1, 0.8, 3)
                )


def columns(stage: Stage, level: float) -> None:
    """Pillars from floor to ceiling."""
    rng, canvas = stage.moment.location.rng("columns"), stage.background
    stone = np.array([0.6, 0.6, 0.6]) * rng.uniform(0.5, 1.3) * rng.uniform(0.9, 1.1, 3)
    for _ in range(1 + round(4 * level)):
        x, near = rng.uniform(0, canvas.shape[1]), rng.uniform(0.1, 0.8)
        half, foot = 2 + 6 * near, stage.horizon + 10 + 45 * near
        rectangle(canvas, x - half, 0, x + half, foot, stone * (0.8 + 0.2 * near))
        rectangle(canvas, x + half * 0.3, 0, x + half, foot, stone * 0.65)


def boards(stage: Stage, level: float) -> None:
    """Hanging display boards: dark, with lines of yellow or white characters."""
    rng, canvas = stage.moment.location.rng("boards"), stage.background
    letters = np.asarray(((1.0, 0.85, 0.2), (0.95, 0.95, 0.95), (0.4, 0.9, 1.0))[rng.integers(3)])
    for _ in range(1 + round(2 * level)):
        width, height = rng.uniform(20, 34 + 24 * level), rng.uniform(8, 12 + 12 * level)
        x, y = rng.uniform(5, canvas.shape[1] - 40), rng.uniform(4, max(5, stage.horizon - height - 8))
        rectangle(canvas, x, y, x + width, y + height, (0.06, 0.07, 0.1))
        for row in range(int(height / 4)):
            for column in range(3):
                start = x + 2 + column * width / 3
                length = rng.uniform(0.3, 0.9) * (width / 3 - 2)
                rectangle(canvas, start, y + 1.6 + row * 4, start + length, y + 3.4 + row * 4, letters)


def seat_rows(stage: Stage, level: float) -> None:
    """Rows of seats of a waiting area."""
    rng, canvas = stage.moment.location.rng("seat_rows"), stage.background
    cover = np.array(((0.15, 0.2, 0.4), (0.15, 0.15, 0.17), (0.4, 0.15, 0.15))[rng.integers(3)])
    for row in range(1 + round(2 * level)):
        y, x = stage.horizon + 18 + 13 * row, rng.uniform(-10, 90)
        size = 5 + 2.5 * row
        for k in range(4 + round(6 * level)):
            left = x + k * (size + 2)
            rectangle(canvas, left, y - size, left + size, y, cover)
            rectangle(canvas, left, y, left + size, y + size * 0.4, cover * 0.7)
        rectangle(canvas, x, y + size * 0.4, x + 2, y + size, (0.5, 0.5, 0.5))


def escalator(stage: Stage, level: float) -> None:
    """Moving stairs: a rising band with handrail and steps."""
    rng, canvas = stage.moment.location.rng("escalator"), stage.background
    x, rise = rng.uniform(10, 120), 30 + 30 * level
    run, foot = rise * rng.choice([-1.3, 1.3]), stage.horizon + rng.uniform(22, 40)
    quad = ((x, foot), (x + 14, foot), (x + 14 + run, foot - rise), (x + run, foot - rise))
    polygon(canvas, quad, (0.3, 0.31, 0.33))
    for k in range(12):
        y, left = foot - rise * k / 12, x + run * k / 12
        rectangle(canvas, left + 1, y - 1, left + 13, y, (0.62, 0.62, 0.64))
    for offset in (-2, 13):
        rail = (
            (x + offset, foot - 8),
            (x + offset + 3, foot - 8),
            (x + offset + 3 + run, foot - rise - 8),
            (x + offset + run, foot - rise - 8),
        )
        polygon(canvas, rail, (0.1, 0.1, 0.11))


def track(stage: Stage, level: float) -> None:
    """A platform edge and the track behind it, where a train may stand, come or go."""
    rng, canvas = stage.moment.location.rng("track"), stage.background
    edge, top = stage.horizon + 12 + 14 * level, stage.horizon * 0.45
    rectangle(canvas, 0, top, 400, edge - 2, (0, 0, 0, 0))
    rectangle(canvas, 0, edge - 2, 400, edge + 1, np.array((1.0, 0.85, 0.2)) * rng.uniform(0.7, 1))
    rectangle(canvas, 0, edge + 1, 400, edge + 4, (0.75, 0.75, 0.75))
    start, end = stage.moment.platform
    present = max(start, end) > 0 or stage.moment.rng("train").random() < 0.5
    stage.outside = _train(stage, edge) if present else _wall(stage, edge)
    travel = 110 * rng.choice([-1, 1])
    slope = (end - start) / stage.moment.seconds
    stage.outside_shift = lambda time: travel * (start * time + slope * time**2 / 2)


def _wall(stage: Stage, edge: float) -> Canvas:
    rng = stage.moment.location.rng("track wall")
    view = np.ones((HEIGHT, 320, 4), np.float32)
    tile = np.array([0.5, 0.5, 0.48]) * rng.uniform(0.4, 1.1) * rng.uniform(0.85, 1.15, 3)
    gradient(view, 0, HEIGHT, tile * 0.6, tile)
    for x in range(0, 320, 8):
        rectangle(view, x, 0, x + 1, HEIGHT, tile * 0.6)
    for x in rng.uniform(0, 280, 2):
        rectangle(view, x, stage.horizon - 16, x + 34, stage.horizon + 2, rng.uniform(0.2, 0.95, 3))
    rectangle(view, 0, edge - 12, 320, HEIGHT, (0.08, 0.08, 0.08))
    return view[..., :3]


def _train(stage: Stage, edge: float) -> Canvas:
    rng = stage.moment.location.rng("train")
    view, body = np.ones((HEIGHT, 320, 4), np.float32), rng.uniform(0.3, 0.95, 3)
    top = stage.horizon * 0.5
    gradient(view, 0, HEIGHT, (0.1, 0.1, 0.1), (0.05, 0.05, 0.05))
    rectangle(view, 0, top, 320, edge - 3, body)
    rectangle(view, 0, edge - 10, 320, edge - 7, rng.uniform(0.2, 0.9, 3))
    for x in range(0, 320, 80):
        for k in range(3):
            rectangle(view, x + 5 + 17 * k, top + 7, x + 19 + 17 * k, stage.horizon + 4, (0.95, 0.95, 0.82))
        rectangle(view, x + 58, top + 5, x + 74, edge - 4, body * 0.6)
        rectangle(view, x + 60, top + 8, x + 72, stage.horizon + 4, (0.9, 0.9, 0.8))
    return view[..., :3]
