import numpy as np
import pytest

from avfusion.errors import UserError
from avfusion.l3.framing import count_windows, cut_windows, timestamps


def test_ten_seconds_give_96_windows_when_centred() -> None:
    assert count_windows(480_000, 0.1, centred=True) == 96
    assert count_windows(480_000, 0.1, centred=False) == 91


@pytest.mark.parametrize(("size", "block"), [(1, 200_000), (3, 200_000), (4, 7_001)])
@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("hop", [0.1, 0.25, 1.0, 1.7])
@pytest.mark.parametrize("n_samples", [1, 23_999, 24_000, 24_001, 48_000, 48_001, 100_000, 144_000])
def test_windows_cover_every_sample(n_samples: int, hop: float, centred: bool, size: int, block: int) -> None:
    samples = np.arange(1, n_samples + 1, dtype=np.float32)
    blocks = [samples[start : start + block] for start in range(0, n_samples, block)]
    batches = list(cut_windows(blocks, hop, centred, size))
    assert all(len(batch) == size for batch in batches[:-1]) and 0 < len(batches[-1]) <= size
    windows = np.concatenate(batches)
    assert windows.shape == (count_windows(n_samples, hop, centred), 48_000)
    step, before = int(hop * 48_000), 24_000 if centred else 0
    for index, window in enumerate(windows):
        padded = np.zeros(48_000, dtype=np.float32)
        for_window = np.arange(48_000) + index * step - before
        inside = (for_window >= 0) & (for_window < n_samples)
        padded[inside] = samples[for_window[inside]]
        assert np.array_equal(window, padded)
    if hop <= 1:
        assert n_samples in windows[-1]


def test_timestamps() -> None:
    assert timestamps(4, 0.1).tolist() == [0.0, 0.1, 0.2, 0.1 * 3]


def test_empty_sound_is_refused() -> None:
    with pytest.raises(UserError, match="the sound is empty"):
        list(cut_windows([np.zeros(0, dtype=np.float32)], 0.1, centred=True, size=4))


@pytest.mark.parametrize("hop", [0.0, -0.1, 1e-6])
def test_hop_must_be_positive(hop: float) -> None:
    with pytest.raises(UserError, match=f"hop={hop}; expected seconds above 0"):
        count_windows(10, hop, centred=False)
