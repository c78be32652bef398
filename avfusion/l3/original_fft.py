"""A real Fourier transform with the rounding errors of the original's.

Where a spectrogram is nearly silent, what float32 leaves of a strong neighbour decides its decibels, and
with them up to 1e-3 of an embedding. TensorFlow transforms by ducc0, which keeps the order of operations
of FFTPACK (P. N. Swarztrauber, 1982); so does this, and its errors are the same.

Shapes: B signals, n samples, m length of the sub-transforms that exist, K = n / m how many they are.
Signals come last, so that every operation runs over consecutive memory.
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]

_SIGNALS_AT_ONCE = 32  # so that a stage stays within a processor's second-level cache


def real_fft_magnitudes(signals: FloatArray) -> FloatArray:
    """|rfft| of `signals` [B, n], n a power of two from 4 on: [B, n / 2 + 1]."""
    n_signals, n = signals.shape
    result = np.empty((n_signals, n // 2 + 1), dtype=np.float32)
    for start in range(0, n_signals, _SIGNALS_AT_ONCE):
        real, imaginary = _transform(signals[start : start + _SIGNALS_AT_ONCE])
        np.multiply(real, real, out=real)
        np.multiply(imaginary, imaginary, out=imaginary)
        np.add(real, imaginary, out=real)
        np.sqrt(real, out=real)
        result[start : start + _SIGNALS_AT_ONCE] = real[:, 0].T
    return result


def _transform(signals: FloatArray) -> FloatArray:
    """Real and imaginary parts of rfft: [2, n / 2 + 1, 1, B]."""
    n_signals, n = signals.shape
    parts = np.zeros((2, 1, n, n_signals), dtype=np.float32)  # every sample is its own transform, m = 1
    parts[0, 0] = signals.T
    m = 1
    while m < n:
        radix = 4 if n // m >= 4 else 2
        split = parts.reshape(2, m // 2 + 1, radix, n // m // radix, n_signals)
        parts = _combine_four(split, m) if radix == 4 else _combine_two(split, m)
        m *= radix
    return parts


@lru_cache(maxsize=32)
def _twiddles(m: int, radix: int) -> FloatArray:
    """cos and sin of 2 pi i j / (radix m), j = 1 ... radix - 1: [2, m / 2 + 1, radix - 1, 1, 1]."""
    angles = 2 * np.pi * np.outer(np.arange(m // 2 + 1), np.arange(1, radix)) / (radix * m)
    return np.stack([np.cos(angles), np.sin(angles)])[..., None, None].astype(np.float32)


def _turned(split: FloatArray, m: int) -> FloatArray:
    """All but the first of the transforms [2, m / 2 + 1, radix, K, B], turned back by their twiddles."""
    if m == 1:  # every twiddle is 1
        return split[:, :, 1:]
    cosine, sine = _twiddles(m, split.shape[2])
    real, imaginary = split[:, :, 1:]
    turned: FloatArray = split[:, :, 1:] * cosine
    turned[0] += imaginary * sine
    turned[1] -= real * sine
    return turned


def _combine_four(split: FloatArray, m: int) -> FloatArray:
    """Four transforms of length m -> one of length 4 m: [2, 2 m + 1, K, B]."""
    first, turned = split[:, :, 0], _turned(split, m)
    second, third, fourth = turned[:, :, 0], turned[:, :, 1], turned[:, :, 2]
    even, even_difference = first + third, first - third
    odd, odd_difference = fourth + second, fourth - second
    out = np.empty((2, 2 * m + 1, *first.shape[2:]), dtype=np.float32)
    half = m // 2 + 1
    np.subtract(even, odd, out=out[:, : 2 * m - half : -1])
    np.negative(out[1, 2 * m - half + 1 :], out=out[1, 2 * m - half + 1 :])
    np.add(even, odd, out=out[:, :half])
    down, up = out[:, m - half + 1 : m + 1][:, ::-1], out[:, m : m + half]
    np.add(even_difference[0], odd_difference[1], out=down[0])
    np.subtract(odd_difference[0], even_difference[1], out=down[1])
    np.subtract(even_difference[0], odd_difference[1], out=up[0])
    np.add(odd_difference[0], even_difference[1], out=up[1])
    if m % 2 == 0:  # the middle frequency of a real transform is real: fewer operations, other rounding
        x1, x2, x3, x4 = split[0, m // 2]
        root = np.float32(0.5**0.5)
        along, across = root * (x2 - x4), -root * (x2 + x4)
        out[0, m // 2], out[0, 3 * m // 2] = x1 + along, x1 - along
        out[1, m // 2], out[1, 3 * m // 2] = across - x3, across + x3
    return out


def _combine_two(split: FloatArray, m: int) -> FloatArray:
    """Two transforms of length m -> one of length 2 m: [2, m + 1, K, B]."""
    first, turned = split[:, :, 0], _turned(split, m)[:, :, 0]
    out = np.empty((2, m + 1, *first.shape[2:]), dtype=np.float32)
    half = m // 2 + 1
    high = out[:, m - half + 1 :][:, ::-1]
    np.subtract(first, turned, out=high)
    np.negative(high[1], out=high[1])
    np.add(first, turned, out=out[:, :half])
    if m % 2 == 0:
        out[0, m // 2], out[1, m // 2] = split[0, m // 2, 0], -split[0, m // 2, 1]
    return out
