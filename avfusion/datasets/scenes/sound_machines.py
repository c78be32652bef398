"""Synthetic sources that move or hum: engines, rails, trains, cars, ventilation, doors."""

import numpy as np

from avfusion.datasets.scenes.acoustics import Scape
from avfusion.datasets.scenes.noise import (
    SAMPLE_RATE,
    curve,
    decaying,
    noise,
    phase_of,
    place_event,
    seconds_axis,
    wobble,
)


def engine(scape: Scape, decibels: float) -> None:
    """A diesel's drone: firing-rate harmonics that rise with the speed."""
    rng, location = scape.moment.rng("engine"), scape.moment.location.rng("engine")
    idle, speed = location.uniform(22, 34), scape.moment.speed
    revolutions = idle * (1 + speed * rng.uniform(0.8, 1.4)) * (1 + 0.1 * np.cumsum(rng.normal(0, 0.4, 6)))
    turn = phase_of(curve(np.clip(revolutions, 18, 120), scape.length))
    harmonics = location.uniform(0.2, 1.0, 9) / np.arange(1, 10) ** 0.6
    sound = sum(np.float32(g) * np.sin(np.float32(k + 1) * turn) for k, g in enumerate(harmonics))
    breath = noise(rng, scape.length, [-16, -10, -12, -14, -16, -20, -26, -34, -99, -99])
    scape.add(0.6 * np.asarray(sound) + breath * (1 + 0.5 * np.sin(turn)), decibels + 5 * speed - 2, distance=0.25)


def rumble(scape: Scape, decibels: float) -> None:
    """Rolling noise of wheels under the floor: louder and brighter with the speed."""
    rng, speed = scape.moment.rng("rumble"), scape.moment.speed
    bright = scape.moment.location.rng("rumble").uniform(-6, 3) + 8 * speed
    bands = [-6, -3, -3, -6, -10 + bright / 2, -14 + bright, -20 + bright, -28 + bright, -38 + bright, -99]
    sway = wobble(rng, scape.length, 4, 0.25)
    scape.add(noise(rng, scape.length, bands) * sway, decibels + 14 * speed - 8, distance=0.3)


def rail_clicks(scape: Scape, decibels: float) -> None:
    """Pairs of clacks as the wheels cross rail joints; their rate is the speed, none when stopped."""
    rng, speed = scape.moment.rng("rail_clicks"), scape.moment.speed
    if speed < 0.08:
        return
    ring = scape.moment.location.rng("rail_clicks").uniform(-6, 2)
    clack = decaying(noise(rng, 7200, [-8, -4, 0, 0, -2, -4 + ring, -8 + ring, -14 + ring, -22, -99]), 0.025)
    period = SAMPLE_RATE / (0.8 + 2.6 * speed)
    sound = np.zeros(scape.length, np.float32)
    for k in range(int(scape.length / period) + 2):
        start = int((k - rng.uniform(0.45, 0.55)) * period)
        place_event(sound, clack, start, rng.uniform(0.7, 1.1))
        place_event(sound, clack, start + int(0.22 * period), rng.uniform(0.6, 1.0))
    scape.add(sound, decibels + 10 + 6 * speed, pan=float(rng.uniform(-0.3, 0.3)), distance=0.3)


def motor_whine(scape: Scape, decibels: float) -> None:
    """The rising or falling tones of an electric drive; silent at a stop."""
    rng, location = scape.moment.rng("motor_whine"), scape.moment.location.rng("motor_whine")
    speed = scape.moment.speed
    if speed < 0.05:
        return
    pitch = location.uniform(250, 500) * (0.6 + 1.6 * speed)
    turn = phase_of(curve(pitch * np.linspace(1, 1 + rng.uniform(-0.35, 0.35), 4), scape.length))
    sound = np.sin(turn) + 0.6 * np.sin(2 * turn) + location.uniform(0.1, 0.5) * np.sin(5 * turn + np.sin(turn))
    scape.add(sound * wobble(rng, scape.length, 6, 0.2), decibels, distance=0.3)


def squeal(scape: Scape, decibels: float) -> None:
    """Flanges or brakes cry for a moment, in every other clip."""
    rng = scape.moment.rng("squeal")
    if rng.random() < 0.5:
        return
    length = int(rng.uniform(0.5, 1.5) * SAMPLE_RATE)
    turn = phase_of(curve(rng.uniform(2200, 4500) * (1 + 0.02 * rng.standard_normal(8)), length))
    cry = (np.sin(turn) + 0.4 * np.sin(2.01 * turn)) * curve([0, 1, 0.8, 1, 0], length)
    sound = np.zeros(scape.length, np.float32)
    place_event(sound, cry, int(rng.uniform(-0.2, 0.9) * scape.length))
    scape.add(sound, decibels + 4, distance=0.4)


def train_arrival(scape: Scape, decibels: float) -> None:
    """A train at the platform: rolling in, standing or rolling out, as the picture shows it."""
    rng = scape.moment.rng("train_arrival")
    start, end = scape.moment.platform
    motion = curve([start, (start + end) / 2, end], scape.length)
    rolling = noise(rng, scape.length, [-6, -3, -2, -4, -7, -10, -13, -18, -26, -99])
    scape.add(rolling * motion, decibels + 4, distance=0.5)
    turn = phase_of(300 + 900 * motion)
    scape.add(np.sin(turn) * motion, decibels - 10, distance=0.5)


def cars(scape: Scape, decibels: float) -> None:
    """Each passing vehicle: tyre noise that swells, brightens and crosses from side to side."""
    rng, axis = scape.moment.rng("cars"), seconds_axis(scape.length)
    for time, direction in scape.moment.passings:
        width = np.float32(rng.uniform(0.25, 0.5))
        offset = (axis - np.float32(time)) / width
        near = 1 / (1 + offset**2)
        tyres = noise(rng, scape.length, [-12, -8, -8, -8, -6, -5, -8, -14, -22, -99])
        motor = np.sin(phase_of(np.float32(rng.uniform(60, 110)) * (1 - 0.06 * np.tanh(offset))))
        level = decibels + rng.uniform(-4, 2)
        scape.add((tyres + 0.5 * motor) * near, level, pan=direction * np.tanh(offset) * 0.9, distance=0.2)


def traffic_hum(scape: Scape, decibels: float) -> None:
    """The far city: a low steady hum."""
    rng = scape.moment.rng("traffic_hum")
    hum = noise(rng, scape.length, [-6, -4, -6, -10, -14, -18, -26, -36, -99, -99])
    scape.add(hum * wobble(rng, scape.length, 1, 0.2), decibels + 4, distance=0.5)


def ventilation(scape: Scape, decibels: float) -> None:
    """Air ducts: steady noise and a mains hum, both of the location."""
    location, rng = scape.moment.location.rng("ventilation"), scape.moment.rng("ventilation")
    bands = np.array([-12, -10, -10, -12, -14, -16, -20, -26, -34, -44]) + location.normal(0, 3, 10)
    hum = np.sin(seconds_axis(scape.length) * np.float32(2 * np.pi * location.choice([100, 150, 200])))
    scape.add(noise(rng, scape.length, bands.tolist()) + 0.15 * hum, decibels + 4, distance=0.5)


def rattle(scape: Scape, decibels: float) -> None:
    """Loose panels rattle with the engine."""
    rng, speed = scape.moment.rng("rattle"), scape.moment.speed
    rate = scape.moment.location.rng("rattle").uniform(11, 25)
    buzz = noise(rng, scape.length, [-99, -99, -24, -16, -10, -8, -8, -10, -18, -99])
    gate = np.maximum(np.sin(seconds_axis(scape.length) * np.float32(2 * np.pi * rate)), 0) ** 4
    scape.add(buzz * gate * wobble(rng, scape.length, 5, 0.6), decibels + 6 * speed, distance=0.2)


def door_beeps(scape: Scape, decibels: float) -> None:
    """Doors warn before closing: only when the vehicle stands or crawls."""
    rng, location = scape.moment.rng("door_beeps"), scape.moment.location.rng("door_beeps")
    if scape.moment.speed > 0.35:
        return
    beep = np.sin(seconds_axis(5000) * np.float32(2 * np.pi * location.uniform(900, 2400)))
    period = int(location.uniform(0.18, 0.35) * SAMPLE_RATE)
    sound = np.zeros(scape.length, np.float32)
    start = int(rng.uniform(-0.3, 0.5) * scape.length)
    for k in range(8):
        place_event(sound, beep, start + k * period)
    scape.add(sound, decibels, distance=0.3)
