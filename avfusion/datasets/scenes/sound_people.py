"""Synthetic sources that people make: voices, steps, announcements, music."""

import numpy as np

from avfusion.datasets.scenes.acoustics import Scape
from avfusion.datasets.scenes.noise import (
    SAMPLE_RATE,
    Signal,
    curve,
    decaying,
    noise,
    place_event,
    seconds_axis,
)

_VOICE_STEP = 4  # voices are made at 12 kHz and drawn out to 48 kHz


def _voice(rng: np.random.Generator, length: int) -> Signal:
    """One talker at a quarter of the sample rate, [length]: a harmonic tone under vowels and syllables."""
    seconds = length * _VOICE_STEP / SAMPLE_RATE
    pitch = rng.choice([115.0, 205.0]) * rng.uniform(0.85, 1.2)
    syllables = max(4, round(seconds * rng.uniform(7, 10)))
    contour = curve(pitch * (1 + 0.08 * rng.standard_normal(syllables)), length)
    phase = np.cumsum(contour, dtype=np.float64) * (2 * np.pi * _VOICE_STEP / SAMPLE_RATE)
    turn = (phase % (2 * np.pi)).astype(np.float32)
    loud = rng.uniform(0.2, 1.0, syllables)
    loud[1::2] *= 0.1  # closures between vowels
    loud *= np.repeat(rng.random(-(-syllables // 8)) < 0.75, 8)[:syllables] + 0.02  # pauses between phrases
    sound: Signal = np.sin(turn) + np.float32(0.6) * np.sin(2 * turn)
    for formant in (500, 1400, 2600):
        harmonic = max(3, round(formant * rng.uniform(0.8, 1.2) / pitch))
        opening = curve(rng.uniform(0, 1.2, syllables) * 500 / formant, length)
        sound += opening * (np.sin(harmonic * turn) + 0.7 * np.sin((harmonic + 1) * turn))
    return sound * curve(loud, length)


def _talkers(rng: np.random.Generator, length: int, count: int) -> Signal:
    short = -(-length // _VOICE_STEP) + 1
    voices = np.zeros(short, np.float32)
    for _ in range(count):
        voices += _voice(rng, short) * np.float32(rng.uniform(0.3, 1.0))
    mixed: Signal = curve(voices, length) / np.float32(count**0.5)
    return mixed


def babble(scape: Scape, decibels: float) -> None:
    """Talking people, more and louder the more of them there are."""
    rng, people = scape.moment.rng("babble"), scape.moment.people
    count = 1 + round(4 * people)
    near = _talkers(rng, scape.length, count)
    murmur = noise(rng, scape.length, [-99, -99, -22, -14, -10, -11, -15, -22, -30, -99])
    scape.add(near, decibels + 16 * people - 10, pan=float(rng.uniform(-0.6, 0.6)), distance=0.4)
    scape.add(murmur, decibels + 18 * people - 12, distance=0.7)


def footsteps(scape: Scape, decibels: float) -> None:
    """Steps of passers-by: as many walkers as the crowd suggests, each with shoes of its own."""
    rng, people = scape.moment.rng("footsteps"), scape.moment.people
    hardness = scape.moment.location.rng("floor").uniform(-10, 4)
    walkers = np.zeros(scape.length, np.float32)
    for _ in range(1 + round(4 * people)):
        heel = noise(rng, 3600, [-99, -14, -8, -6, -4, -4, hardness - 4, hardness - 8, hardness - 12, -99])
        heel = decaying(heel, rng.uniform(0.008, 0.02))
        period = SAMPLE_RATE / rng.uniform(1.6, 2.3)
        start = rng.uniform(0, period)
        loud = rng.uniform(0.4, 1.5)
        for k in range(int(scape.length / period) + 1):
            place_event(walkers, heel, int(start + k * period + rng.normal(0, 300)), loud * rng.uniform(0.7, 1))
    scape.add(walkers, decibels + 14 + 6 * people, pan=float(rng.uniform(-0.5, 0.5)), distance=0.35)


def announcement(scape: Scape, decibels: float) -> None:
    """A chime and a voice from loudspeakers far down the hall; silent in some clips."""
    rng = scape.moment.rng("announcement")
    if rng.random() < 0.12:
        return
    sound = 0.8 * _talkers(rng, scape.length, 1)
    base = scape.moment.location.rng("chime").uniform(420, 700)
    start = int(rng.uniform(-0.3, 0.6) * scape.length)
    for k, ratio in enumerate((1.5, 1.2, 1.0)):
        tone = np.sin(seconds_axis(40_000) * np.float32(2 * np.pi * base * ratio))
        place_event(sound, decaying(tone, 0.3), start + k * 15_000, 1.2)
    sound[: max(start, 0)] *= np.float32(0.1)
    scape.add(sound, decibels, distance=0.8)


def music(scape: Scape, decibels: float) -> None:
    """Background music: a chord progression, a bass and a beat."""
    location, rng = scape.moment.location.rng("music"), scape.moment.rng("music")
    beat = SAMPLE_RATE * 60 / location.uniform(90, 130)
    root = location.uniform(180, 300)
    sound = np.zeros(scape.length, np.float32)
    hat = decaying(noise(rng, 2400, [-99] * 7 + [-6, -3, -3]), 0.01)
    offset = rng.uniform(0, beat)
    for k in range(int(scape.length / beat) + 2):
        degree = 2 ** (rng.choice([0, 3, 5, 7, 8]) / 12)
        start = int(k * beat - offset)
        length = int(1.1 * beat)
        axis = seconds_axis(length) * np.float32(2 * np.pi * root * degree)
        chord = np.sin(axis) + np.sin(axis * 1.26) + np.sin(axis * 1.5) + 0.5 * np.sin(axis * 3) + np.sin(axis / 4)
        place_event(sound, decaying(chord, 0.35), start, 0.5)
        place_event(sound, hat, start + int(beat / 2), 0.7)
    scape.add(sound, decibels, distance=0.55)


def clatter(scape: Scape, decibels: float) -> None:
    """Crockery and cutlery of a cafe."""
    rng = scape.moment.rng("clatter")
    sound = np.zeros(scape.length, np.float32)
    for _ in range(rng.poisson(3 * scape.moment.seconds)):
        axis = seconds_axis(4800) * np.float32(2 * np.pi * rng.uniform(2500, 6500))
        ring = np.sin(axis) + 0.6 * np.sin(axis * 1.63)
        place_event(
            sound, decaying(ring, rng.uniform(0.01, 0.04)), int(rng.integers(scape.length)), rng.uniform(0.3, 1)
        )
    scape.add(sound, decibels + 6, pan=float(rng.uniform(-0.8, 0.8)), distance=0.4)


def trolley(scape: Scape, decibels: float) -> None:
    """A suitcase or trolley rolls past over the joints of the floor."""
    rng = scape.moment.rng("trolley")
    if rng.random() < 0.25:
        return
    roll = noise(rng, scape.length, [-99, -20, -16, -12, -10, -8, -7, -9, -14, -20])
    rate = scape.moment.location.rng("joints").uniform(9, 20)
    joints = 0.3 + np.abs(np.sin(seconds_axis(scape.length) * np.float32(np.pi * rate))) ** 8
    middle, width = rng.uniform(0, scape.moment.seconds), rng.uniform(0.4, 1.0)
    pass_by = np.exp(-(((seconds_axis(scape.length) - np.float32(middle)) / np.float32(width)) ** 2))
    pan = np.tanh((seconds_axis(scape.length) - np.float32(middle)) * np.float32(rng.choice([-1, 1])))
    scape.add(roll * joints * pass_by, decibels + 6, pan=pan, distance=0.3)
