import numpy as np
import pytest
import resampy
from resampy.filters import sinc_window

from avfusion.errors import UserError
from avfusion.l3.resample import resample, resample_blocks, resampled_length


def half_filter() -> tuple[object, int, float]:
    """resampy 0.2's kaiser_best, as resampy 0.4 builds it."""
    result: tuple[object, int, float] = sinc_window(
        num_zeros=64,
        precision=9,
        window=lambda n: np.kaiser(n, 14.769656459379492),
        rolloff=0.9475937167399596,
    )
    return result


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 32000, 44100, 88200, 96000, 192000, 44056])
def test_equals_resampy(rate: int) -> None:
    samples = np.random.RandomState(rate).standard_normal(int(0.21 * rate))
    expected = resampy.resample(samples, rate, 48000, filter=half_filter)
    result = resample(samples, rate, 48000)
    assert result.shape == expected.shape
    # positions that fall on a sample are exact here, and a rounding beside it there
    assert np.linalg.norm(result - expected) < 2e-7 * np.linalg.norm(expected)


def test_a_sine_stays_a_sine() -> None:
    t = np.arange(44100) / 44100
    result = resample(np.sin(2 * np.pi * 1000 * t).astype(np.float32), 44100, 48000)
    expected = np.sin(2 * np.pi * 1000 * np.arange(48000) / 48000)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result[500:-500], expected[500:-500], atol=1e-4)


def test_lengths_are_rounded_down() -> None:
    assert [resampled_length(n, 44100, 48000) for n in (44100, 441000, 111572, 1)] == [48000, 480000, 121438, 1]
    assert resample(np.ones(111572), 44100, 48000).shape == (121438,)


def test_equal_rates_change_nothing() -> None:
    samples = np.random.RandomState(0).standard_normal(10)
    assert np.array_equal(resample(samples, 48000, 48000), samples)


@pytest.mark.parametrize("rate", [0, -8000, 44100.5])
def test_rates_must_be_positive_and_whole(rate: float) -> None:
    with pytest.raises(UserError, match=rf"sample rate is {rate}; expected a positive whole number"):
        resample(np.ones(100), rate, 48000)  # type: ignore[arg-type]


def test_nothing_left() -> None:
    with pytest.raises(UserError, match="1 samples at 96000 Hz are too short"):
        resample(np.ones(1), 96000, 48000)


@pytest.mark.parametrize("rate", [8000, 44100, 44056, 48000, 96000])
@pytest.mark.parametrize("size", [1_001, 90_000])
def test_the_bits_do_not_depend_on_how_the_sound_is_cut(rate: int, size: int) -> None:
    samples = np.random.RandomState(rate).standard_normal(15 * rate + 7)
    blocks = [samples[start : start + size] for start in range(0, samples.size, size)]
    pieces = list(resample_blocks(blocks, rate, 48000))
    assert len(pieces) > 1
    np.testing.assert_array_equal(np.concatenate(pieces), resample(samples, rate, 48000))
