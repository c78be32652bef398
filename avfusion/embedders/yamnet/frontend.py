"""From sound to the log-mel patches that YAMNet looks at.

Sound is mono at 16 kHz, in [-1, 1]. Frames of 25 ms every 10 ms (periodic Hann, FFT of 512, magnitudes), 64 mel bands
from 125 to 7,500 Hz, log(x + 0.001); a patch is 96 frames. Zeros at the end make the sound long enough that patches
cover every sample, with one patch for anything up to 0.975 s.

Source: the published YAMNet (TensorFlow Hub google/yamnet/1), with its patches every 0.48 s.
"""

from collections.abc import Iterable, Iterator
from functools import cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from avfusion.l3.hann import tensorflow_hann
from avfusion.l3.windows import count, stretches

SAMPLE_RATE = 16_000
N_MELS = 64
PATCH_FRAMES = 96
HOP_FRAMES = 48
HOP_SECONDS = 0.01  # of one frame
_FRAME, _STEP, _N_FFT = 400, 160, 512
_LOWEST_HZ, _HIGHEST_HZ = 125.0, 7500.0
_OFFSET = 0.001
_PATCH = (PATCH_FRAMES - 1) * _STEP + _FRAME  # samples


def count_patches(n_samples: int, hop_frames: int = HOP_FRAMES) -> int:
    """Patches P that `n_samples` samples at 16 kHz give, `hop_frames` (of 10 ms) apart."""
    return count(n_samples, _PATCH, hop_frames * _STEP)


def padded(samples: npt.NDArray[np.float32], hop_frames: int = HOP_FRAMES) -> npt.NDArray[np.float32]:
    """Samples [n] and zeros behind them, so that the patches cover every sample to the end."""
    length = _PATCH + (count_patches(samples.size, hop_frames) - 1) * hop_frames * _STEP
    return np.concatenate([samples, np.zeros(max(0, length - samples.size), np.float32)])


def mel_weights() -> npt.NDArray[np.float32]:
    """[257, 64]: triangles of height 1, straight in mel = 1127 ln(1 + Hz / 700); the constant (0 Hz) counts nowhere."""
    bins = _mel(np.linspace(0.0, SAMPLE_RATE / 2, _N_FFT // 2 + 1))[:, None]
    edges = np.linspace(_mel(_LOWEST_HZ), _mel(_HIGHEST_HZ), N_MELS + 2)
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    triangles = np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)).clip(min=0.0)
    triangles[0] = 0.0
    return triangles.astype(np.float32)


def _mel(hz: npt.ArrayLike) -> npt.NDArray[np.float64]:
    return 1127.0 * np.log1p(np.asarray(hz, dtype=np.float64) / 700.0)


def log_mel(samples: Tensor) -> Tensor:
    """Samples [n], n >= 400 -> [1 + (n - 400) // 160, 64]."""
    window, weights = _constants()
    frames = samples.unfold(-1, _FRAME, _STEP) * window
    return torch.log(torch.fft.rfft(frames, _N_FFT).abs() @ weights + _OFFSET)


@cache
def _constants() -> tuple[Tensor, Tensor]:
    """The window [400], and the mel weights [257, 64]."""
    return torch.from_numpy(tensorflow_hann(_FRAME)), torch.from_numpy(mel_weights())


def stream_patches(
    blocks: Iterable[npt.NDArray[np.float32]], size: int, hop_frames: int = HOP_FRAMES
) -> Iterator[Tensor]:
    """Patches of sound that comes in `blocks` [n_i]: `size` at a time, [<= size, 96, 64].

    `hop_frames`, at least 1, of 10 ms lie between two patches. The bits do not depend on how the sound is cut, and
    memory does not grow with its length. Raises UserError for empty sound.
    """
    for stretch in stretches(blocks, _PATCH, hop_frames * _STEP, size):
        yield log_mel(torch.from_numpy(stretch.copy())).unfold(0, PATCH_FRAMES, hop_frames).transpose(1, 2)
