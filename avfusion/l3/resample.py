"""Windowed-sinc resampling, equal to `kaiser_best` of resampy 0.2, the version that openl3 0.4.x requires.

The filter is a sinc with 64 zero crossings a side under a Kaiser window, tabulated 512 times per
crossing and interpolated linearly (J. O. Smith, "Digital Audio Resampling", CCRMA; resampy by
B. McFee; from resampy 0.3 on, `kaiser_best` is another filter, 1 % away). Because the ratio of two
integer rates is rational, the weights repeat after `up` outputs, so a block of outputs is one product
of input pieces with a fixed matrix.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from math import gcd

import numpy as np
import numpy.typing as npt

from avfusion.errors import UserError

_ZERO_CROSSINGS = 64
_TABLE_STEP = 512  # table entries per zero crossing
_KAISER_BETA = 14.769656459379492
_ROLLOFF = 0.9475937167399596  # of the Nyquist frequency
_GROUP = 128  # outputs computed by one matrix
# Blocks per matrix product, at most, and outputs in them: they bound the memory.
_ROWS, _OUTPUTS = 2048, 2**19

FloatArray = npt.NDArray[np.float64]


def resampled_length(n_samples: int, rate: int, target: int) -> int:
    """Samples that `resample` returns for `n_samples`: int(n * target / rate)."""
    return int(n_samples * float(target) / float(rate))


def resample(samples: npt.NDArray[np.floating], rate: int, target: int) -> npt.NDArray[np.floating]:
    """Mono `samples` [n] at `rate` Hz -> [int(n * target / rate)] at `target` Hz, same dtype.

    Computed in float64. Beyond the ends the signal counts as zero. Equal rates return the input.
    Raises UserError for a rate that is not a positive whole number, or when nothing is left.
    """
    if rate == target:
        return samples
    pieces = list(resample_blocks([np.asarray(samples)], rate, target))
    return np.concatenate(pieces).astype(samples.dtype, copy=False)


def resample_blocks(blocks: Iterable[npt.NDArray[np.floating]], rate: int, target: int) -> Iterator[FloatArray]:
    """Like `resample`, for a signal that comes in `blocks` [n_i]: float64 pieces of the same values.

    The bits do not depend on how the signal is cut. Memory does not grow with its length.
    """
    if rate != int(rate) or rate < 1:
        raise UserError(f"sample rate is {rate}; expected a positive whole number of Hz")
    rate = int(rate)
    if rate == target:
        yield from (block.astype(np.float64, copy=False) for block in blocks)
        return
    common = gcd(rate, target)
    # few outputs per repetition would make thin matrices: take several repetitions as one
    repeats = -(-_GROUP // (target // common))
    up, down = target // common * repeats, rate // common * repeats
    reach = _reach(min(1.0, target / rate))
    rows = max(1, min(_ROWS, _OUTPUTS // up))
    needed = rows * down + 2 * reach + 1  # inputs that one product touches
    waiting, n_in, n_out = [np.zeros(reach)], 0, 0
    for block in blocks:
        waiting.append(block.astype(np.float64, copy=False))
        n_in += block.size
        if sum(piece.size for piece in waiting) < needed:
            continue
        joined = np.concatenate(waiting)
        while joined.size >= needed:
            yield _product(joined, up, down, rows)
            joined, n_out = joined[rows * down :], n_out + rows * up
        waiting = [joined.copy()]
    n_all = resampled_length(n_in, rate, target)
    if n_all < 1:
        raise UserError(f"{n_in} samples at {rate} Hz are too short to resample to {target} Hz")
    n_blocks = -(-(n_all - n_out) // up)
    joined = np.concatenate([*waiting, np.zeros(n_blocks * down + 2 * reach + 1)])
    for first in range(0, n_blocks, rows):
        piece = _product(joined[first * down :], up, down, min(rows, n_blocks - first))
        yield piece[: n_all - n_out]
        n_out += piece.size


def _product(padded: FloatArray, up: int, down: int, rows: int) -> FloatArray:
    """`rows` * `up` outputs, where `padded` begins `reach` inputs before the first of them."""
    output = np.empty((rows, up))
    for first in range(0, up, _GROUP):
        start, matrix = _weights(up, down, first, min(first + _GROUP, up))
        pieces = np.lib.stride_tricks.sliding_window_view(padded[start:], len(matrix))[::down]
        output[:, first : first + matrix.shape[1]] = np.ascontiguousarray(pieces[:rows]) @ matrix
    return output.reshape(-1)


def _reach(scale: float) -> int:
    """Input samples that the filter can touch on either side of an output."""
    return (_ZERO_CROSSINGS * _TABLE_STEP + 1) // int(scale * _TABLE_STEP) + 1


@lru_cache(maxsize=1)
def _half_filter() -> FloatArray:
    """The filter's right half [64 * 512 + 1], from its centre outwards."""
    position = np.linspace(0.0, 1.0, _ZERO_CROSSINGS * _TABLE_STEP + 1)
    kaiser = np.i0(_KAISER_BETA * np.sqrt(1.0 - position**2)) / np.i0(_KAISER_BETA)
    return np.asarray(kaiser * _ROLLOFF * np.sinc(_ROLLOFF * _ZERO_CROSSINGS * position))


@lru_cache(maxsize=64)
def _weights(up: int, down: int, first: int, last: int) -> tuple[int, FloatArray]:
    """Start in the padded input, and matrix [inputs, outputs], for outputs `first` to `last` of a block."""
    scale = min(1.0, up / down)
    reach = _reach(scale)
    whole, remainder = np.divmod(np.arange(first, last) * down, up)
    fraction = scale * (remainder / up)
    left = _wing(fraction, scale)  # weights of x[whole], x[whole - 1], ...
    right = _wing(scale - fraction, scale)  # weights of x[whole + 1], x[whole + 2], ...
    taps = np.concatenate([left[:, ::-1], right], axis=1)  # from x[whole - reach + 1]
    offset = whole - whole[0]
    matrix = np.zeros((int(offset[-1]) + 2 * reach, last - first))
    rows = offset[:, None] + np.arange(2 * reach)[None, :]
    matrix[rows, np.arange(last - first)[:, None]] = taps
    return int(whole[0]) + 1, matrix


def _wing(fraction: FloatArray, scale: float) -> FloatArray:
    """Weights [outputs, reach] at `fraction` + k * scale zero crossings from the centre, k = 0, 1, ...

    The published resampler rounds the step through the table down to whole entries; so does this.
    """
    half = _half_filter() * scale
    slope = np.append(np.diff(half), 0.0)
    step = int(scale * _TABLE_STEP)
    entry = fraction * _TABLE_STEP
    offset = entry.astype(np.int64)
    k = np.arange(_reach(scale))[None, :]
    index = offset[:, None] + k * step
    inside = k < (len(half) - offset[:, None]) // step
    index = np.where(inside, index, 0)
    values = half[index] + (entry - offset)[:, None] * slope[index]
    return np.where(inside, values, 0.0)
