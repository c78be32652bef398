"""Picture elements of open places: sky, houses, ground, greenery, street furniture."""

from itertools import pairwise

import numpy as np

from avfusion.datasets.scenes.canvas import Canvas, ellipse, gradient, polygon, rectangle, texture
from avfusion.datasets.scenes.stage import HEIGHT, Stage

_HOUSES = ((0.72, 0.6, 0.48), (0.62, 0.38, 0.32), (0.7, 0.68, 0.62), (0.55, 0.56, 0.6), (0.8, 0.74, 0.56))


def house_colour(rng: np.random.Generator) -> Canvas:
    """A facade's colour."""
    return np.asarray(_HOUSES[rng.integers(len(_HOUSES))], np.float32) * np.float32(rng.uniform(0.7, 1.15))


def sky(stage: Stage, level: float) -> None:
    """Sky of the hour and weather, with clouds."""
    location, rng = stage.moment.location, stage.moment.rng("clouds")
    grey = min(1.0, 0.25 + 0.7 * (location.rain > 0) + 0.3 * level)
    blue = np.array([0.35, 0.58, 0.92]) * (1 - grey) + np.array([0.72, 0.74, 0.78]) * grey
    light = stage.daylight if location.daylight > 0 else np.array([0.08, 0.09, 0.16])
    pale = np.array([0.9, 0.9, 0.9]) if location.daylight != 0.35 else np.array([1.0, 0.72, 0.5])
    gradient(stage.background, 0, HEIGHT, blue * light, pale * light)
    for _ in range(round(6 * level)):
        x, y = rng.uniform(0, stage.background.shape[1]), rng.uniform(0, stage.horizon * 0.7)
        ellipse(stage.background, x, y, rng.uniform(10, 35), rng.uniform(3, 8), pale * light * 1.05, 0.4)


def windows(canvas: Canvas, rng: np.random.Generator, box: tuple[float, float, float, float], night: bool) -> None:
    """A grid of windows on the facade `box` (left, top, right, bottom); some are lit at night."""
    left, top, right, bottom = box
    columns, rows = max(1, round((right - left) / 9)), max(1, round((bottom - top) / 12))
    for row in range(rows):
        for column in range(columns):
            x = left + (column + 0.25) * (right - left) / columns
            y = top + (row + 0.25) * (bottom - top) / rows
            lit = night and rng.random() < 0.4
            shade = (1.0, 0.85, 0.5) if lit else (0.16, 0.18, 0.24)
            rectangle(canvas, x, y, x + 0.5 * (right - left) / columns, y + 0.55 * (bottom - top) / rows, shade)


def skyline(stage: Stage, level: float) -> None:
    """Houses seen face on beyond the open ground."""
    rng, x = stage.moment.location.rng("skyline"), 0.0
    while x < stage.background.shape[1]:
        width, height = rng.uniform(18, 50), stage.horizon * (0.15 + 0.75 * level) * rng.uniform(0.6, 1.1)
        top, bottom = stage.horizon - height, stage.horizon + 8
        rectangle(stage.background, x, top, x + width, bottom, stage.lit(house_colour(rng)))
        if rng.random() < 0.4:
            roof = ((x, top), (x + width / 2, top - 8), (x + width, top))
            polygon(stage.background, roof, stage.lit((0.45, 0.25, 0.2)))
        windows(stage.background, rng, (x, top, x + width, bottom - 6), stage.moment.location.daylight < 0.5)
        x += width


def pavement(stage: Stage, level: float) -> None:
    """Paved ground whose joints run to the vanishing point."""
    rng = stage.moment.location.rng("pavement")
    stone = np.array([0.6, 0.57, 0.53]) * rng.uniform(0.6, 1.2) * rng.uniform(0.93, 1.07, 3)
    wet = 0.7 if stage.moment.location.rain > 0 else 1.0
    gradient(stage.background, stage.horizon + 6, HEIGHT, stage.lit(stone * 0.85 * wet), stage.lit(stone * wet))
    joint = stage.lit(stone * 0.75 * wet)
    for k in range(-12, 13):
        bottom = stage.vanishing + k * (12 + 22 * level)
        near = ((stage.vanishing + k, stage.horizon + 6), (bottom, HEIGHT), (bottom + 1.6, HEIGHT))
        polygon(stage.background, near, joint, 0.7)
    for k in range(1, 8):
        y = stage.horizon + 6 + (HEIGHT - stage.horizon) * (k / 8) ** 2
        rectangle(stage.background, 0, y, 400, y + 1, joint, 0.7)


def lawn(stage: Stage, level: float) -> None:
    """Grass with a path that winds or runs away."""
    rng = stage.moment.location.rng("lawn")
    green = np.array([0.3, 0.5, 0.2]) * rng.uniform(0.6, 1.1) * rng.uniform(0.85, 1.2, 3)
    gradient(stage.background, stage.horizon, HEIGHT, stage.lit(green * 0.8), stage.lit(green))
    texture(stage.background, stage.horizon, HEIGHT, rng, 0.08, 3)
    end, near, width = stage.vanishing, rng.uniform(20, 160), 12 + 60 * level
    path = ((end - 2, stage.horizon + 3), (end + 2, stage.horizon + 3), (near + width, HEIGHT), (near - width, HEIGHT))
    polygon(stage.background, path, stage.lit((0.66, 0.6, 0.5)))


def trees(stage: Stage, level: float) -> None:
    """Trunks and crowns; the crowns sway with the wind that the microphone hears."""
    rng, location = stage.moment.location.rng("trees"), stage.moment.location
    leaf = np.array([0.22, 0.42, 0.16]) * rng.uniform(0.6, 1.2) * rng.uniform(0.8, 1.25, 3)
    for _ in range(2 + round(9 * level)):
        x, depth = rng.uniform(0, stage.background.shape[1]), rng.uniform(0.1, 0.7)
        foot = stage.horizon + (HEIGHT - stage.horizon) * depth * 0.6
        size = 14 + 34 * depth
        sway = stage.moment.rng("sway").normal(0, 4) * location.wind
        trunk = (x - size / 16, foot - size, x + size / 16, foot)
        rectangle(stage.background, *trunk, stage.lit((0.3, 0.22, 0.15)))
        for _ in range(7):
            dx, dy = rng.normal(0, size / 4.5, 2)
            shade = stage.lit(leaf * rng.uniform(0.7, 1.25))
            blob = size * rng.uniform(0.25, 0.45)
            ellipse(stage.background, x + dx + sway, foot - 1.25 * size + dy, blob, blob * 0.8, shade)


def house_rows(stage: Stage, level: float) -> None:
    """House fronts that recede to the vanishing point at both sides, shops at street level."""
    rng, canvas = stage.moment.location.rng("house_rows"), stage.background
    night = stage.moment.location.daylight < 0.5
    for side in (-1, 1):
        gap, edge = 8 + 30 * (1 - level), 0.0 if side < 0 else canvas.shape[1]
        far = stage.vanishing + side * gap
        share = np.array([0.0, *np.sort(rng.uniform(0.15, 0.9, 2)), 1.0]) ** 1.3
        for first, last in pairwise(share):
            _front(stage, rng, (far + (edge - far) * first, far + (edge - far) * last), (first, last), night)


def _front(
    stage: Stage, rng: np.random.Generator, x: tuple[float, float], near: tuple[float, float], night: bool
) -> None:
    height = rng.uniform(0.8, 1.3)
    tops = [stage.horizon - stage.horizon * height * (0.25 + 0.9 * n) for n in near]
    feet = [stage.horizon + 5 + (HEIGHT - stage.horizon) * 0.55 * n for n in near]
    shop_tops = [stage.horizon - 4 - 18 * n for n in near]
    quad = ((x[0], tops[0]), (x[1], tops[1]), (x[1], feet[1]), (x[0], feet[0]))
    polygon(stage.background, quad, stage.lit(house_colour(rng)))
    shop = ((x[0], shop_tops[0]), (x[1], shop_tops[1]), (x[1], feet[1] - 2), (x[0], feet[0] - 2))
    glow = np.array([1.0, 0.88, 0.6]) if night else stage.lit((0.35, 0.36, 0.4))
    polygon(stage.background, shop, glow * rng.uniform(0.5, 1.0))
    sign = ((x[0], shop_tops[0] - 3), (x[1], shop_tops[1] - 5), (x[1], shop_tops[1]), (x[0], shop_tops[0]))
    polygon(stage.background, sign, stage.lit(rng.uniform(0.2, 0.9, 3)))
    left, right = min(x), max(x)
    if right - left > 8:
        windows(stage.background, rng, (left + 2, max(max(tops) + 3, 0), right - 2, min(shop_tops) - 6), night)


def road(stage: Stage, level: float) -> None:
    """Asphalt across the view with kerb, lane marks and a pavement in front."""
    rng = stage.moment.location.rng("road")
    grey = np.array([0.3, 0.3, 0.32]) * rng.uniform(0.7, 1.3)
    canvas, top, bottom = stage.background, stage.horizon + 5, HEIGHT * (0.82 + 0.14 * level)
    gradient(canvas, stage.horizon, HEIGHT, stage.lit((0.55, 0.53, 0.5)), stage.lit((0.6, 0.58, 0.55)))
    gradient(canvas, top, bottom, stage.lit(grey * 0.9), stage.lit(grey))
    rectangle(canvas, 0, bottom, 400, bottom + 2, stage.lit((0.75, 0.74, 0.7)))
    middle = (top + bottom) / 2
    for x in range(-10, canvas.shape[1], 26):
        rectangle(canvas, x, middle - 1, x + 13, middle + 1, stage.lit((0.9, 0.9, 0.88)))


def monument(stage: Stage, level: float) -> None:
    """A column or a fountain in the middle of a square."""
    rng, canvas = stage.moment.location.rng("monument"), stage.background
    x, foot = stage.vanishing + rng.uniform(-40, 40), stage.horizon + 14 + 10 * level
    stone = stage.lit(np.array([0.68, 0.66, 0.6]) * rng.uniform(0.6, 1.2))
    if rng.random() < 0.5:
        height = 30 + 40 * level
        rectangle(canvas, x - 12, foot - 8, x + 12, foot, stone)
        rectangle(canvas, x - 3, foot - height, x + 3, foot - 8, stone * 0.9)
        ellipse(canvas, x, foot - height - 4, 4, 7, stage.lit((0.25, 0.4, 0.33)))
    else:
        ellipse(canvas, x, foot, 14 + 18 * level, 5 + 3 * level, stone)
        ellipse(canvas, x, foot - 2, 12 + 15 * level, 3 + 2 * level, stage.lit((0.5, 0.65, 0.75)))
        for k in range(-3, 4):
            ellipse(canvas, x + 2 * k, foot - 12 + abs(k) * 2, 1.5, 12 - 2 * abs(k), stage.lit((0.85, 0.9, 0.95)), 0.7)


def stalls(stage: Stage, level: float) -> None:
    """Market stalls or cafe awnings with striped roofs."""
    rng, canvas = stage.moment.location.rng("stalls"), stage.background
    for _ in range(1 + round(4 * level)):
        x, foot = rng.uniform(0, canvas.shape[1]), stage.horizon + rng.uniform(12, 28)
        width = rng.uniform(18, 34)
        height, roof = foot - stage.horizon + 12, rng.uniform(0.2, 0.95, 3)
        rectangle(canvas, x, foot - height, x + width, foot, stage.lit((0.35, 0.3, 0.26)))
        for k in range(6):
            stripe = stage.lit(roof if k % 2 else (0.92, 0.92, 0.9))
            rectangle(
                canvas,
                x - 2 + k * (width + 4) / 6,
                foot - height - 5,
                x - 2 + (k + 1) * (width + 4) / 6,
                foot - height + 3,
                stripe,
            )


def lamps(stage: Stage, level: float) -> None:
    """Street lamps; they shine when it is dark."""
    rng, canvas = stage.moment.location.rng("lamps"), stage.background
    dark = stage.moment.location.daylight < 0.5
    for _ in range(1 + round(4 * level)):
        x, depth = rng.uniform(0, canvas.shape[1]), rng.uniform(0.2, 0.9)
        foot, height = stage.horizon + 6 + 30 * depth, 24 + 55 * depth
        rectangle(canvas, x - 0.6 - depth, foot - height, x + 0.6 + depth, foot, stage.lit((0.2, 0.2, 0.22)))
        if dark:
            ellipse(canvas, x, foot - height, 12 + 8 * depth, 12 + 8 * depth, (1.0, 0.85, 0.55), 0.25)
        ellipse(canvas, x, foot - height, 3 + 2 * depth, 3, (1.0, 0.92, 0.7) if dark else stage.lit((0.8, 0.8, 0.8)))
