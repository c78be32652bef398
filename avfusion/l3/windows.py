"""Overlapping windows of sound that comes in blocks, whatever a network makes of a window.

With windows of w samples every h, a sound of n samples has 1 + max(0, ceil((n - w) / h)) of them; zeros at the end let
them cover every sample.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from avfusion.errors import UserError

Samples = npt.NDArray[np.float32]


def count(n_samples: int, window: int, hop: int) -> int:
    """How many windows of `window` samples, one every `hop`, `n_samples` have; 1 for anything up to a window."""
    return 1 + max(0, -((window - n_samples) // hop))


def stretches(blocks: Iterable[Samples], window: int, hop: int, size: int, n_leading: int = 0) -> Iterator[Samples]:
    """Sound in `blocks` [n_i] -> stretches of `size` windows each, [(size - 1) * hop + window].

    The last may have fewer. `n_leading` zeros go before the sound. The bits do not depend on how the sound is cut, and
    memory does not grow with its length. Raises UserError for empty sound.
    """
    needed = (size - 1) * hop + max(window, hop)
    waiting, n_samples, n_cut = [np.zeros(n_leading, np.float32)], 0, 0
    for block in blocks:
        waiting.append(block)
        n_samples += block.size
        if sum(piece.size for piece in waiting) < needed:
            continue
        joined = np.concatenate(waiting)
        while joined.size >= needed:
            yield joined[: (size - 1) * hop + window]
            joined, n_cut = joined[size * hop :], n_cut + size
        waiting = [joined.copy()]
    if n_samples == 0:
        raise UserError("the sound is empty; expected at least one sample")
    n_left = count(n_leading + n_samples, window, hop) - n_cut
    n_zeros = (n_left - 1) * hop + window - sum(piece.size for piece in waiting)
    if n_left:
        rest = np.concatenate([*waiting, np.zeros(n_zeros, np.float32)])
        for first in range(0, n_left, size):
            last = min(first + size, n_left) - 1
            yield rest[first * hop : last * hop + window]
