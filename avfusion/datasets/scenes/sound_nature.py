"""Synthetic sources of open places: birds, crickets, wind, rain, water, bells."""

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


def birds(scape: Scape, decibels: float) -> None:
    """Chirps of the location's birds; they sleep at night and fall silent in heavy rain."""
    rng, location = scape.moment.rng("birds"), scape.moment.location
    awake = location.daylight * (1 - 0.7 * location.rain)
    song = location.rng("birds").uniform(2400, 4800)
    sound = np.zeros(scape.length, np.float32)
    for _ in range(rng.poisson(5 * awake * scape.moment.seconds / 2.5)):
        length = int(rng.uniform(0.05, 0.13) * SAMPLE_RATE)
        sweep = song * rng.uniform(0.8, 1.3) * (1 + 0.25 * np.cumsum(rng.uniform(-1, 1, 5)) / 2)
        chirp = np.sin(phase_of(curve(sweep, length))) * curve([0, 1, 0.7, 1, 0], length)
        start, gap = int(rng.integers(scape.length)), int(rng.uniform(1.2, 1.8) * length)
        for k in range(int(rng.integers(2, 6))):
            place_event(sound, chirp, start + k * gap, rng.uniform(0.5, 1))
    scape.add(sound, decibels + 2, pan=float(rng.uniform(-0.8, 0.8)), distance=0.3)


def crickets(scape: Scape, decibels: float) -> None:
    """Crickets, at night only."""
    location = scape.moment.location
    if location.daylight > 0.2:
        return
    axis, tone = seconds_axis(scape.length), location.rng("crickets").uniform(3800, 5200)
    pulses = np.maximum(np.sin(axis * np.float32(2 * np.pi * 28)), 0)
    bursts = np.sin(axis * np.float32(2 * np.pi * 2.2) + np.float32(scape.moment.rng("crickets").uniform(0, 6))) > 0
    scape.add(np.sin(axis * np.float32(2 * np.pi * tone)) * pulses * bursts, decibels, distance=0.3)


def wind(scape: Scape, decibels: float) -> None:
    """Gusts at the microphone and in leaves, as strong as the trees sway in the picture."""
    rng, strength = scape.moment.rng("wind"), scape.moment.location.wind
    gusts = noise(rng, scape.length, [0, -2, -6, -12, -18, -22, -22, -22, -26, -34])
    scape.add(gusts * wobble(rng, scape.length, 3, 0.6), decibels + 16 * strength - 6, distance=0.0)


def rain(scape: Scape, decibels: float) -> None:
    """Rain on the ground or roof, as heavy as in the picture."""
    rng, strength = scape.moment.rng("rain"), scape.moment.location.rain
    drops = noise(rng, scape.length, [-99, -99, -30, -24, -18, -14, -10, -8, -8, -10])
    scape.add(drops * wobble(rng, scape.length, 20, 0.25), decibels + 10 * strength - 6, distance=0.1)


def fountain(scape: Scape, decibels: float) -> None:
    """Falling water: steady bright noise."""
    rng, location = scape.moment.rng("fountain"), scape.moment.location.rng("fountain")
    bands = np.array([-99, -99, -22, -16, -12, -9, -8, -9, -12, -18]) + location.normal(0, 2, 10)
    scape.add(noise(rng, scape.length, bands.tolist()) * wobble(rng, scape.length, 30, 0.2), decibels + 4)


def bells(scape: Scape, decibels: float) -> None:
    """A bell strikes: of a tower, or a tram's gong."""
    rng, location = scape.moment.rng("bells"), scape.moment.location.rng("bells")
    axis = seconds_axis(scape.length) * np.float32(2 * np.pi * location.uniform(350, 900))
    strike = decaying(np.sin(axis) + 0.6 * np.sin(2.02 * axis) + 0.4 * np.sin(2.74 * axis), 0.5)
    sound = np.zeros(scape.length, np.float32)
    start = rng.uniform(-0.4, 0.5) * scape.length
    for k in range(3):
        place_event(sound, strike, int(start + k * location.uniform(0.35, 0.9) * SAMPLE_RATE))
    scape.add(sound, decibels, distance=0.5)
