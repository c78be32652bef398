"""Picture elements that move in front of the background: walkers, cars, rain."""

import numpy as np

from avfusion.datasets.scenes.canvas import Canvas, Sprite, ellipse, rectangle
from avfusion.datasets.scenes.stage import HEIGHT, MARGIN, WIDTH, Frame, Stage


def _walker(stage: Stage, rng: np.random.Generator, height: float) -> tuple[Sprite, Sprite]:
    """One person in two phases of a step, `height` pixels tall."""
    coat, legs = rng.uniform(0.05, 0.75, 3), rng.uniform(0.05, 0.4, 3)
    skin, hair = np.array([0.8, 0.62, 0.5]) * rng.uniform(0.45, 1.1), rng.uniform(0.02, 0.4, 3)
    bag, phases = rng.random() < 0.3, []
    rows, columns = int(height) + 2, int(height * 0.5) + 3
    for stride in (0.05, 0.13):
        canvas: Canvas = np.zeros((rows, columns, 4), np.float32)
        x = columns / 2
        for side in (-1, 1):
            hip = x + side * stride * height
            rectangle(canvas, hip - 0.05 * height, 0.52 * height, hip + 0.05 * height, height, stage.lit(legs))
        ellipse(canvas, x, 0.36 * height, 0.15 * height, 0.22 * height, stage.lit(coat))
        ellipse(canvas, x, 0.09 * height, 0.065 * height, 0.085 * height, stage.lit(skin))
        ellipse(canvas, x, 0.05 * height, 0.07 * height, 0.06 * height, stage.lit(hair))
        if bag:
            left = x + 0.14 * height
            rectangle(canvas, left, 0.68 * height, left + 0.12 * height, 0.97 * height, stage.lit(coat[::-1]))
        phases.append(Sprite(stage.developed(canvas)))
    return phases[0], phases[1]


def people(stage: Stage, level: float) -> None:
    """Walking and standing people, as many as babble and footsteps tell; heads at eye level."""
    rng, crowd = stage.moment.rng("people"), stage.moment.people
    count = round((3 + 13 * level) * crowd)
    for depth in np.sort(rng.uniform(0.05, 1, count) ** 1.7):
        foot = stage.horizon + 9 + (HEIGHT + 15 - stage.horizon) * depth
        height = (foot - stage.horizon) * rng.uniform(0.95, 1.12) + 3
        phases = _walker(stage, rng, height)
        start = rng.uniform(-0.1, 1.1) * WIDTH
        pace = 0.0 if rng.random() < 0.3 else rng.normal(0, 0.55) * height

        def draw(
            frame: Frame,
            time: float,
            phases: tuple[Sprite, Sprite] = phases,
            start: float = float(start),
            pace: float = float(pace),
            top: float = float(foot - height),
        ) -> None:
            step = int(time * 4) % 2 if pace else 0
            phases[step].paste(frame, start + pace * time, top - step)

        stage.actors.append(draw)


def _car(stage: Stage, rng: np.random.Generator, length: float, direction: int) -> Sprite:
    paint, height = rng.uniform(0.1, 0.95, 3), length * 0.36
    tall = rng.random() < 0.25  # a van or lorry
    canvas: Canvas = np.zeros((int(height * 1.3) + 3, int(length) + 2, 4), np.float32)
    bottom = height * 1.2
    roof = (0.03, 0.97) if tall else (0.2, 0.78)
    rectangle(canvas, roof[0] * length, height * 0.1, roof[1] * length, height * 0.7, stage.lit(paint * 0.9))
    rectangle(
        canvas, roof[0] * length + 2, height * 0.2, roof[1] * length - 2, height * 0.55, stage.lit((0.2, 0.24, 0.3))
    )
    rectangle(canvas, 0, height * 0.55, length, bottom - height * 0.12, stage.lit(paint))
    for x in (0.2, 0.8):
        ellipse(canvas, x * length, bottom - height * 0.12, height * 0.2, height * 0.2, stage.lit((0.05, 0.05, 0.05)))
    front = length - 3 if direction > 0 else 0
    rectangle(canvas, front, height * 0.62, front + 3, height * 0.78, (1.0, 0.95, 0.7))
    rear = 0 if direction > 0 else length - 3
    rectangle(canvas, rear, height * 0.62, rear + 3, height * 0.78, (0.9, 0.1, 0.1))
    return Sprite(stage.developed(canvas))


def cars(stage: Stage, level: float) -> None:
    """Vehicles that cross the view exactly when they are heard to pass."""
    rng = stage.moment.rng("car bodies")
    bottom = stage.horizon + 5 + (HEIGHT * 0.88 - stage.horizon) * 0.9
    for time_of_passing, direction in stage.moment.passings:
        near = direction > 0
        length = (46 if near else 34) * rng.uniform(0.85, 1.2) * (0.8 + 0.6 * level)
        sprite = _car(stage, rng, length, direction)
        top = (bottom if near else stage.horizon + 22) - length * 0.43
        pace = rng.uniform(90, 160) * direction

        def draw(
            frame: Frame,
            time: float,
            sprite: Sprite = sprite,
            passing: float = time_of_passing,
            pace: float = float(pace),
            length: float = float(length),
            top: float = float(top),
        ) -> None:
            sprite.paste(frame, WIDTH / 2 - length / 2 + pace * (time - passing), top)

        stage.actors.append(draw)


def rain(stage: Stage) -> None:
    """Falling streaks, as dense as the rain is loud."""
    rng, strength = stage.moment.rng("rain streaks"), stage.moment.location.rain
    streaks = rng.random((round(150 * strength), 2)) * (WIDTH - 2 * MARGIN + 24, HEIGHT)

    def draw(frame: Frame, time: float) -> None:
        rows = (streaks[:, 1] + time * 173).astype(int) % (HEIGHT - 5)
        columns = (streaks[:, 0] + time * 31).astype(int) % WIDTH
        for k in range(5):
            region = frame[rows + k, columns]
            frame[rows + k, columns] = region // 2 + 105

    stage.actors.append(draw)
