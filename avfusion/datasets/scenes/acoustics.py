"""The room and the microphone: stereo placement, reverberation, colouring, level."""

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from avfusion.datasets.scenes.moment import Location, Moment
from avfusion.datasets.scenes.noise import SAMPLE_RATE, Signal, curve


@dataclass
class Scape:
    """Sound in the making: sources add themselves to a dry stereo bus and to the reverberator."""

    moment: Moment
    length: int
    dry: Signal = field(init=False)  # [2, length]
    wet: Signal = field(init=False)  # [length]

    def __post_init__(self) -> None:
        self.dry = np.zeros((2, self.length), np.float32)
        self.wet = np.zeros(self.length, np.float32)

    def add(
        self, signal: NDArray[np.floating], decibels: float, *, pan: float | Signal = 0.0, distance: float = 0.3
    ) -> None:
        """Mix in `signal` [length] at a level; pan -1 left .. 1 right; distance 0 near .. 1 only echo."""
        gain = np.float32(10 ** (decibels / 20))
        right = np.sqrt(0.5 + 0.5 * np.asarray(pan, np.float32)) * np.float32(1 - distance)
        left = np.sqrt(0.5 - 0.5 * np.asarray(pan, np.float32)) * np.float32(1 - distance)
        scaled = gain * signal.astype(np.float32, copy=False)
        self.dry[0] += left * scaled
        self.dry[1] += right * scaled
        self.wet += np.float32(distance) * scaled


@lru_cache(maxsize=2)  # the segments of a location are rendered one after the other
def _echo(location: Location, length: int) -> Signal:
    """Spectra [2, bins] of two exponentially decaying noise tails (one an ear), of unit energy.

    The convolution is circular: the tail of the clip's end is heard at its start, as in an excerpt
    of a longer recording.
    """
    rng, reverberation = location.rng("echo"), location.conditions["reverberation"]
    tail = min(length, int(SAMPLE_RATE * min(reverberation, 1.2)))
    decay = np.exp(np.arange(tail, dtype=np.float32) * np.float32(-6.9 / (reverberation * SAMPLE_RATE)))
    impulses = np.zeros((2, length), np.float32)
    impulses[:, :tail] = rng.standard_normal((2, tail), dtype=np.float32) * decay
    impulses /= np.sqrt(np.sum(impulses**2, axis=1, keepdims=True))
    spectra: Signal = scipy.fft.rfft(impulses, axis=1)
    return spectra


@lru_cache(maxsize=2)
def _microphone(location: Location, length: int) -> Signal:
    """Gain per frequency bin [length // 2 + 1] of a location's recording equipment and surroundings."""
    rng = location.rng("microphone")
    tilt = rng.normal(0.0, 1.0) * np.linspace(-1, 1, 12)
    octave_gains = rng.normal(0.0, 3.5, 12) + 6.0 * tilt  # decibels at 24 kHz * 2**(k - 11)
    bins = np.geomspace(24_000 / 2**11, 24_000, 12)
    coarse = np.interp(np.linspace(0, 24_000, 1025), bins, octave_gains)
    return 10 ** (curve(coarse, length // 2 + 1) / np.float32(20))


def master(scape: Scape) -> NDArray[np.int16]:
    """The finished recording, 16-bit [length, 2]: never clipped, peak between 0.05 and 0.9 of full scale."""
    location, moment = scape.moment.location, scape.moment
    spectra = scipy.fft.rfft(scape.dry, axis=1)
    spectra += scipy.fft.rfft(scape.wet) * _echo(location, scape.length)
    spectra *= _microphone(location, scape.length)
    spectra[:, 0] = 0.0  # no offset
    sound: Signal = scipy.fft.irfft(spectra, scape.length, axis=1)
    loudness = float(np.sqrt(np.mean(sound**2))) + 1e-9
    target = 10 ** ((location.rng("gain").uniform(-30, -20) + moment.rng("gain").normal(0, 1)) / 20)
    peak = float(np.abs(sound).max()) + 1e-9
    gain = np.clip(target / loudness, 0.05 / peak, 0.9 / peak)
    return np.ascontiguousarray(np.rint(sound.T * np.float32(gain * 32767))).astype(np.int16)
