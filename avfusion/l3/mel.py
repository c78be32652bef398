"""Mel filter bank on Slaney's scale, each triangle of unit area.

Source: M. Slaney, Auditory Toolbox (Interval Research, 1998): linear up to 1 kHz (200/3 Hz per mel),
then logarithmic (27 mel per factor 6.4). OpenL3 takes its filters in this form (librosa, htk=False,
norm="slaney").
"""

import numpy as np
import numpy.typing as npt

_HZ_PER_MEL = 200.0 / 3.0
_BREAK_HZ = 1000.0
_BREAK_MEL = _BREAK_HZ / _HZ_PER_MEL
_LOG_STEP = np.log(6.4) / 27.0


def hz_to_mel(hz: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Slaney mel of frequencies in Hz (not negative)."""
    frequencies = np.asarray(hz, dtype=np.float64)
    logarithmic = _BREAK_MEL + np.log(np.maximum(frequencies, _BREAK_HZ) / _BREAK_HZ) / _LOG_STEP
    return np.where(frequencies < _BREAK_HZ, frequencies / _HZ_PER_MEL, logarithmic)


def mel_to_hz(mel: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Inverse of `hz_to_mel`."""
    mels = np.asarray(mel, dtype=np.float64)
    logarithmic = _BREAK_HZ * np.exp(_LOG_STEP * (np.maximum(mels, _BREAK_MEL) - _BREAK_MEL))
    return np.where(mels < _BREAK_MEL, mels * _HZ_PER_MEL, logarithmic)


def mel_filter_bank(sample_rate: int, n_fft: int, n_mels: int) -> npt.NDArray[np.float32]:
    """Triangular filters [n_fft // 2 + 1, n_mels] from 0 Hz to half of `sample_rate` (Hz).

    Triangle m rises from edge m to edge m + 1 and falls to edge m + 2, edges equidistant in mel;
    its height is 2 / (width in Hz). Multiply magnitudes [..., n_fft // 2 + 1] by it from the left.
    """
    bins = np.linspace(0.0, sample_rate / 2, n_fft // 2 + 1)
    edges = mel_to_hz(np.linspace(0.0, hz_to_mel(sample_rate / 2), n_mels + 2))
    widths = np.diff(edges)
    rising = (bins[:, None] - edges[None, :-2]) / widths[None, :-1]
    falling = (edges[None, 2:] - bins[:, None]) / widths[None, 1:]
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    return (triangles * (2.0 / (edges[2:] - edges[:-2]))).astype(np.float32)
