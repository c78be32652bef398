import numpy as np
import pytest
import scipy.fft
import torch

from avfusion.l3.frontend import Frontend, spectrograms
from avfusion.l3.hann import tensorflow_hann
from avfusion.l3.mel import hz_to_mel, mel_filter_bank, mel_to_hz
from avfusion.l3.original_fft import real_fft_magnitudes
from avfusion.l3.presets import FrontendConfig, demo_config, openl3_config

FRONTENDS = [demo_config().frontend, *(openl3_config(name).frontend for name in ("mel256", "mel128", "linear"))]


def test_mel_scale_at_its_landmarks() -> None:
    np.testing.assert_allclose(hz_to_mel([0, 200 / 3, 1000, 6400]), [0, 1, 15, 42])
    np.testing.assert_allclose(mel_to_hz(hz_to_mel([10.0, 999.0, 1001.0, 24000.0])), [10, 999, 1001, 24000])


def test_mel_filters_are_triangles_of_unit_area() -> None:
    bank = mel_filter_bank(48000, 2048, 64).astype(np.float64)
    frequencies = np.arange(1025) * 48000 / 2048
    edges = mel_to_hz(np.linspace(0, float(hz_to_mel(24000)), 66))
    for band in (0, 10, 40, 63):  # written out differently: piecewise linear between three edges
        left, centre, right = edges[band : band + 3]
        expected = np.interp(frequencies, [left, centre, right], [0, 2 / (right - left), 0], left=0, right=0)
        np.testing.assert_allclose(bank[:, band], expected, atol=1e-9)
    np.testing.assert_allclose(bank[:, 40:].sum(axis=0) * 48000 / 2048, 1.0, atol=0.01)


def test_hann_window_is_within_a_rounding_of_the_closed_form() -> None:
    expected = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(2048) / 2048)
    assert tensorflow_hann(2048).dtype == np.float32
    np.testing.assert_allclose(tensorflow_hann(2048), expected, atol=3e-7)


@pytest.mark.parametrize("n", [4, 8, 512, 2048])
def test_fft_has_the_rounding_of_pocketfft(n: int) -> None:
    signals = np.random.RandomState(0).standard_normal((50, n)).astype(np.float32)
    signals += 1000 * np.cos(2 * np.pi * np.arange(n) / 4).astype(np.float32)  # rounding errors well above zero
    magnitudes = real_fft_magnitudes(signals)
    same_order = np.abs(scipy.fft.rfft(signals))
    exact = np.abs(np.fft.rfft(signals.astype(np.float64)))
    np.testing.assert_allclose(magnitudes, exact, atol=1e-6 * np.abs(exact).max())
    if n >= 512:
        assert np.linalg.norm(magnitudes - same_order) < 0.5 * np.linalg.norm(same_order - exact)


@pytest.mark.parametrize("config", FRONTENDS)
def test_spectrogram_equals_the_definition(config: FrontendConfig) -> None:
    window = np.random.RandomState(1).standard_normal(48000).astype(np.float32) * np.linspace(0.001, 1, 48000)
    columns = []
    for start in range(0, config.shape[1] * config.hop_length, config.hop_length):
        piece = np.zeros(config.n_fft)
        taken = window[start : start + config.n_fft]
        piece[: len(taken)] = taken
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(config.n_fft) / config.n_fft)
        column = np.abs(np.fft.rfft(piece * hann))
        if config.n_mels is not None:
            column = column @ mel_filter_bank(48000, config.n_fft, config.n_mels)
        columns.append(column)
    decibels = 10 * np.log10(np.maximum(np.stack(columns, axis=1), 1e-10))
    expected = np.maximum(decibels - decibels.max(), -80)
    for original_rounding in (False, True):
        windows = torch.from_numpy(window.astype(np.float32))[None]
        result = spectrograms(windows, config, original_rounding)
        assert result.shape == (1, 1, *config.shape)
        np.testing.assert_allclose(result[0, 0].numpy(), expected, atol=0.01)


def test_shapes_of_openl3() -> None:
    assert [openl3_config(name).frontend.shape for name in ("mel256", "mel128", "linear")] == [
        (256, 199),
        (128, 199),
        (257, 197),
    ]


def test_each_window_has_its_own_maximum_and_floor() -> None:
    sine = torch.sin(2 * torch.pi * 3000 * torch.arange(48000) / 48000)
    sine[24000:] = 0
    result = Frontend(demo_config().frontend)(torch.stack([sine, 0.01 * sine, 0 * sine]))
    assert result[:2].amax(dim=(1, 2, 3)).tolist() == [0, 0]
    assert result[:2].amin(dim=(1, 2, 3)).tolist() == [-80, -80]
    torch.testing.assert_close(result[0, :, :, 2:20], result[1, :, :, 2:20], atol=0.2, rtol=0)
    assert (result[2] == 0).all()  # silence: everything is its own maximum
