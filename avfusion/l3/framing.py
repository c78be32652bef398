"""Cutting sound into one-second windows, as openl3 0.4.x does.

With h = int(hop * 48000) and L = n + 24000 if centred, else n, there are
T = 1 + max(0, ceil((L - 48000) / h)) windows; zeros at the end cover the last samples.
A ten-second clip gives 96 windows at hop 0.1 s when centred (DCASE recipe), 91 when not.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from avfusion.errors import UserError
from avfusion.l3.presets import SAMPLE_RATE, WINDOW
from avfusion.l3.windows import count, stretches


def hop_samples(hop: float) -> int:
    """Samples at 48 kHz between windows `hop` seconds apart. Raises UserError below one sample."""
    samples = int(hop * SAMPLE_RATE) if 0 < hop < float("inf") else 0
    if samples < 1:
        raise UserError(f"hop={hop}; expected seconds above 0, for instance 0.1")
    return samples


def count_windows(n_samples: int, hop: float, centred: bool) -> int:
    """Windows T that `n_samples` samples at 48 kHz give; 1 for anything up to a second."""
    return count(n_samples + (WINDOW // 2 if centred else 0), WINDOW, hop_samples(hop))


def timestamps(n_windows: int, hop: float) -> npt.NDArray[np.float64]:
    """Seconds [T] at which windows begin, or that they are centred on: i * hop."""
    return np.arange(n_windows, dtype=np.float64) * hop


def cut_windows(
    blocks: Iterable[npt.NDArray[np.float32]], hop: float, centred: bool, size: int
) -> Iterator[npt.NDArray[np.float32]]:
    """Windows of mono sound at 48 kHz that comes in `blocks` [n_i]: `size` at a time, [<= size, 48000] read-only.

    Centred windows begin with half a second of zeros, so that window i is centred on i * hop. Memory
    does not grow with the length of the sound. Raises UserError for empty sound.
    """
    step, n_leading = hop_samples(hop), WINDOW // 2 if centred else 0
    for stretch in stretches(blocks, WINDOW, step, size, n_leading):
        yield np.lib.stride_tricks.sliding_window_view(stretch, WINDOW)[::step]
