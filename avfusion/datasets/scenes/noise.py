"""Building blocks of synthetic sound: octave-band noise, control curves, placed events."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import scipy.fft
from numpy.typing import NDArray

Signal = NDArray[np.float32]

SAMPLE_RATE = 48_000
OCTAVES = 10  # centred at 31.25 Hz * 2**k, k = 0..9
_BANK_LENGTH = 2**18


@lru_cache(maxsize=1)
def _bank() -> Signal:
    """Stationary noise of unit power per octave, periodic, [OCTAVES, _BANK_LENGTH].

    Drawing white noise for every source of every clip would take most of the rendering time; a
    source takes slices of this bank at a random offset instead.
    """
    rng = np.random.default_rng(20210)
    frequencies = scipy.fft.rfftfreq(_BANK_LENGTH, 1 / SAMPLE_RATE)
    bank = np.empty((OCTAVES, _BANK_LENGTH), np.float32)
    for k in range(OCTAVES):
        octaves_away = np.log2(np.maximum(frequencies, 1.0) / (31.25 * 2.0**k))
        shape = np.exp(-0.5 * (octaves_away / 0.45) ** 2).astype(np.float32)
        phases = rng.uniform(0, 2 * np.pi, len(shape)).astype(np.float32)
        band = scipy.fft.irfft(shape * np.exp(1j * phases), _BANK_LENGTH)
        bank[k] = band / np.sqrt(np.mean(band**2))
    return bank


def _slice(band: Signal, start: int, length: int) -> Signal:
    head = band[start : start + length]
    if len(head) == length:
        return head
    rest = length - len(head)
    return np.concatenate([head, band[:rest] if rest <= len(band) else np.resize(band, rest)])


def noise(rng: np.random.Generator, length: int, decibels: Sequence[float]) -> Signal:
    """Noise [length] whose octave bands (31 Hz to 16 kHz) have the given powers; -99 is none."""
    bank = _bank()
    result = np.zeros(length, np.float32)
    for k, level in enumerate(decibels):
        if level > -60:
            start = int(rng.integers(_BANK_LENGTH))
            result += np.float32(10 ** (level / 20)) * _slice(bank[k], start, length)
    return result


def curve(points: Signal | NDArray[np.float64] | list[float], length: int) -> Signal:
    """Straight lines through equally spaced control points, [length]."""
    values = np.asarray(points, np.float32)
    steps = -(-length // (len(values) - 1))
    ramp = np.arange(steps, dtype=np.float32) / np.float32(steps)
    line = values[:-1, None] + (values[1:] - values[:-1])[:, None] * ramp
    return line.reshape(-1)[:length]


def wobble(rng: np.random.Generator, length: int, rate: float, depth: float) -> Signal:
    """A random gain around 1, [length]: `rate` control points a second, relative deviation `depth`."""
    n_points = max(3, round(length / SAMPLE_RATE * rate) + 2)
    return curve(np.maximum(1 + depth * rng.standard_normal(n_points), 0.0), length)


def seconds_axis(length: int) -> Signal:
    """Time of each sample in seconds, [length]."""
    return np.arange(length, dtype=np.float32) / np.float32(SAMPLE_RATE)


def phase_of(frequency: Signal) -> Signal:
    """Running phase in radians within one turn, of an instantaneous frequency in Hz, [length]."""
    turns = np.cumsum(frequency, dtype=np.float64) / SAMPLE_RATE
    return ((turns % 1.0) * (2 * np.pi)).astype(np.float32)


def place_event(signal: Signal, event: Signal, start: int, gain: float = 1.0) -> None:
    """Add `event` into `signal` at sample `start`; what falls outside is cut off."""
    first, last = max(start, 0), min(start + len(event), len(signal))
    if first < last:
        signal[first:last] += np.float32(gain) * event[first - start : last - start]


def decaying(event: Signal, seconds: float) -> Signal:
    """`event` under an exponential decay that reaches 1/e after `seconds`."""
    decay: Signal = np.exp(-seconds_axis(len(event)) / np.float32(seconds))
    return event * decay
