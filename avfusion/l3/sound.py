"""Sound of any number of channels and any rate -> mono sound at the rate that a network listens to."""

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from avfusion.errors import UserError
from avfusion.l3.resample import resample, resample_blocks


def checked_sound(samples: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """The samples, if they are [n] or [n, channels] and not empty; UserError for others."""
    samples = np.asarray(samples)
    if samples.ndim not in (1, 2) or samples.size == 0:
        raise UserError(f"sound has shape {list(samples.shape)}; expected [samples, channels], not empty")
    return samples


def mono(samples: npt.NDArray[np.generic], sample_rate: int, target: int) -> npt.NDArray[np.float32]:
    """Samples [n] or [n, channels] -> the mean over channels, resampled to `target` Hz, [n'] float32."""
    return resample(_mean(checked_sound(samples)), sample_rate, target).astype(np.float32)


def stream_mono(
    blocks: Iterable[npt.NDArray[np.generic]], sample_rate: int, target: int
) -> Iterator[npt.NDArray[np.float32]]:
    """`mono` of a sound that comes in blocks, [n_i] or [n_i, channels]: pieces of the same values."""
    resampled = resample_blocks(map(_mean, blocks), sample_rate, target)
    return (piece.astype(np.float32) for piece in resampled)


def _mean(samples: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
    wide = samples.astype(np.float64)
    return wide.mean(axis=1) if wide.ndim == 2 else wide
