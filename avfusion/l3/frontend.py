"""From one-second windows of sound to spectrograms in decibels.

Shapes: B windows, F frequencies, T spectrogram columns.
Source: kapre's STFT, Magnitude, ApplyFilterbank and MagnitudeToDecibel layers as set up by openl3 0.4.x.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from avfusion.l3.hann import tensorflow_hann
from avfusion.l3.mel import mel_filter_bank
from avfusion.l3.original_fft import real_fft_magnitudes
from avfusion.l3.presets import SAMPLE_RATE, WINDOW, FrontendConfig

_SMALLEST = 1e-10  # magnitudes below this count as this much
_DYNAMIC_RANGE = 80.0  # decibels kept below a window's maximum


class Frontend(nn.Module):
    """Windows [B, 48000] at 48 kHz -> spectrograms [B, 1, F, T] in dB, maximum 0, floor -80.

    Periodic Hann window, magnitudes (not powers), mel filters if configured, then
    10 log10(max(x, 1e-10)) minus the window's own maximum.

    Args:
        config: sizes.
        original_rounding: on a CPU, transform with the rounding errors of the original (see
            `avfusion.l3.original_fft`), which takes a few milliseconds per window more.
    """

    hann: Tensor
    filters: Tensor | None

    def __init__(self, config: FrontendConfig, original_rounding: bool = False) -> None:
        super().__init__()
        self.config = config
        self.original_rounding = original_rounding
        self.register_buffer("hann", torch.from_numpy(tensorflow_hann(config.n_fft)), persistent=False)
        filters = None
        if config.n_mels is not None:
            filters = torch.from_numpy(mel_filter_bank(SAMPLE_RATE, config.n_fft, config.n_mels))
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, windows: Tensor) -> Tensor:
        """Spectrograms of `windows`; see the class."""
        config = self.config
        if config.pad_end:
            last_start = (config.shape[1] - 1) * config.hop_length
            windows = functional.pad(windows, (0, last_start + config.n_fft - WINDOW))
        pieces = windows.unfold(-1, config.n_fft, config.hop_length)  # [B, T, n_fft]
        magnitudes = self._magnitudes(pieces * self.hann)  # [B, T, n_fft // 2 + 1]
        if self.filters is not None:
            magnitudes = magnitudes @ self.filters
        return to_decibels(magnitudes).transpose(1, 2).unsqueeze(1)

    def _magnitudes(self, pieces: Tensor) -> Tensor:
        if self.original_rounding and pieces.device.type == "cpu":
            flat = pieces.flatten(0, 1).numpy()
            return torch.from_numpy(real_fft_magnitudes(flat)).view(*pieces.shape[:2], -1)
        magnitudes: Tensor = torch.fft.rfft(pieces).abs()
        return magnitudes


def to_decibels(magnitudes: Tensor) -> Tensor:
    """10 log10 of `magnitudes` [B, T, F], relative to each window's maximum, at least -80."""
    decibels = 10.0 * torch.log10(magnitudes.clamp_min(_SMALLEST))
    decibels = decibels - decibels.amax(dim=(1, 2), keepdim=True)
    return decibels.clamp_min(-_DYNAMIC_RANGE)


def spectrograms(windows: Tensor, config: FrontendConfig, original_rounding: bool = False) -> Tensor:
    """`Frontend` applied once to `windows` [B, 48000]: [B, 1, F, T]."""
    frontend: Tensor = Frontend(config, original_rounding).to(windows.device)(windows)
    return frontend
