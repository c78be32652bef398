"""Cutting sound into one-second windows, as openl3 0.4.x does.

With h = int(hop * 48000) and L = n + 24000 if centred, else n, there are
T = 1 + max(0, ceil((L - 48000) / h)) windows; zeros at the end cover the last samples.
A ten-second clip gives 96 windows at hop 0.1 s when centred (DCASE recipe), 91 when not.
"""

import numpy as np
import numpy.typing as npt

from avfusion.errors import UserError
from avfusion.l3.presets import SAMPLE_RATE, WINDOW


def hop_samples(hop: float) -> int:
    """Samples at 48 kHz between windows `hop` seconds apart. Raises UserError below one sample."""
    samples = int(hop * SAMPLE_RATE)
    if samples < 1:
        raise UserError(f"hop is {hop} s; expected seconds above 0, for instance 0.1")
    return samples


def count_windows(n_samples: int, hop: float, centred: bool) -> int:
    """Windows T that `n_samples` samples at 48 kHz give; 1 for anything up to a second."""
    length = n_samples + (WINDOW // 2 if centred else 0)
    return 1 + max(0, -((WINDOW - length) // hop_samples(hop)))


def timestamps(n_windows: int, hop: float) -> npt.NDArray[np.float64]:
    """Seconds [T] at which windows begin, or that they are centred on: i * hop."""
    return np.arange(n_windows, dtype=np.float64) * hop


def cut_windows(samples: npt.NDArray[np.float32], hop: float, centred: bool) -> npt.NDArray[np.float32]:
    """Windows [T, 48000] of mono `samples` [n] at 48 kHz, as a read-only view of one padded copy.

    Centred windows begin with half a second of zeros, so that window i is centred on i * hop.
    Raises UserError for empty sound.
    """
    if samples.size == 0:
        raise UserError("the sound is empty; expected at least one sample")
    step = hop_samples(hop)
    n_windows = count_windows(samples.size, hop, centred)
    before = WINDOW // 2 if centred else 0
    padded = np.zeros((n_windows - 1) * step + WINDOW, dtype=np.float32)
    padded[before : before + samples.size] = samples
    return np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::step]
