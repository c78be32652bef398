"""YAMNet: the same numbers as the original's, and what it makes of any sound."""

from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from avfusion.embedders.pretrained.layers import folded
from avfusion.embedders.pretrained.parity import cosine, relative_l2, sound, yamnet_pairs
from avfusion.embedders.pretrained.weights import load_weights
from avfusion.embedders.yamnet.frontend import count_patches, log_mel, mel_weights, padded, stream_patches
from avfusion.embedders.yamnet.network import NAME, SHIPPED, YAMNet, untrained_yamnet
from avfusion.errors import UserError
from avfusion.l3.resample import resample
from avfusion.l3.weights import weights_digest

GOLDEN = Path(__file__).parent / "data" / "yamnet_golden.npz"


@cache
def loaded() -> YAMNet:
    network = YAMNet()
    load_weights(network, NAME, SHIPPED)
    return network


@cache
def network() -> YAMNet:
    return folded(loaded())


def embed(samples: npt.NDArray[np.float32], size: int = 8) -> npt.NDArray[np.float32]:
    with torch.inference_mode():
        return torch.cat([network()(patches) for patches in stream_patches([samples], size)]).numpy()


def patches(*blocks: npt.NDArray[np.float32], size: int = 4, hop_frames: int = 48) -> npt.NDArray[np.float32]:
    return torch.cat(list(stream_patches(blocks, size, hop_frames))).numpy()


@cache
def pairs() -> dict[str, tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]:
    with np.load(GOLDEN) as golden:
        return yamnet_pairs(network(), dict(golden))


@pytest.mark.parametrize("seconds", ["1.7s", "0.5s", "4.03s", "0.975s"])
def test_equals_the_original(seconds: str) -> None:
    assert relative_l2(*pairs()[f"{seconds}|log_mel"]) <= 1e-5
    for kind in ("embeddings", "scores"):  # with the shipped weights, rounded to float16
        ours, theirs = pairs()[f"{seconds}|{kind}"]
        assert ours.shape == theirs.shape
        assert cosine(ours, theirs) >= 0.9999


def test_folding_changes_nothing() -> None:
    inputs = torch.from_numpy(patches(sound(3, 1)))
    with torch.inference_mode():
        assert relative_l2(network()(inputs).numpy(), loaded()(inputs).numpy()) <= 1e-5
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in network().modules())


def test_bf16_is_near() -> None:
    inputs = torch.from_numpy(patches(sound(3, 1)))
    with torch.inference_mode():
        coarse = folded(loaded(), torch.bfloat16)(inputs)
        assert coarse.dtype == torch.bfloat16
        assert cosine(coarse.float().numpy(), network()(inputs).numpy()) >= 0.999


def test_untrained_weights_are_fixed_by_their_seed() -> None:
    network = untrained_yamnet()
    assert (
        weights_digest({NAME: network})
        == weights_digest({NAME: untrained_yamnet()})
        != weights_digest({NAME: untrained_yamnet(1)})
    )
    with torch.inference_mode():
        embeddings = folded(network)(torch.from_numpy(patches(sound(3, 1))))
    assert 0.01 < embeddings.std() < 100
    assert (embeddings > 0).float().mean() > 0.7


def test_scores_are_probabilities_of_each_class() -> None:
    with torch.inference_mode():
        scores = network().scores(torch.from_numpy(embed(sound(2, 1))))
    assert scores.shape == (4, 521)
    assert 0 <= scores.min() <= scores.max() <= 1


def test_one_patch_equals_many_and_again() -> None:
    samples = sound(5, 2)
    together = embed(samples, size=20)
    np.testing.assert_allclose(embed(samples, size=1), together, rtol=1e-4, atol=1e-5)
    assert np.array_equal(embed(samples, size=20), together)


@pytest.mark.parametrize(
    ("n_samples", "expected"),
    [(1, 1), (399, 1), (8_000, 1), (15_600, 1), (15_601, 2), (23_280, 2), (23_281, 3), (160_000, 20)],
)
def test_patches_cover_every_sample(n_samples: int, expected: int) -> None:
    samples = sound(n_samples / 16_000 + 1, 3)[:n_samples]
    assert count_patches(n_samples) == expected
    assert patches(samples).shape == (expected, 96, 64)
    with_zeros = padded(samples)
    assert with_zeros.size == 15_600 + (expected - 1) * 7_680
    assert np.array_equal(with_zeros[:n_samples], samples)
    assert not with_zeros[n_samples:].any()
    assert np.isfinite(embed(samples)).all()


@pytest.mark.parametrize("hop_frames", [10, 48, 96, 150])
def test_bits_do_not_depend_on_how_sound_is_cut(hop_frames: int) -> None:
    samples = sound(6.3, 4)
    whole = patches(samples, hop_frames=hop_frames)
    assert len(whole) == count_patches(samples.size, hop_frames)
    for cuts in ([1, 2, 3], [15_600], [50_000, 50_001, 90_000], list(range(977, samples.size, 977))):
        assert np.array_equal(patches(*np.split(samples, cuts), hop_frames=hop_frames), whole)
    alone = log_mel(torch.from_numpy(padded(samples[2 * hop_frames * 160 :]))).numpy()[:96]
    np.testing.assert_allclose(whole[2], alone, atol=1e-5)


def test_silence() -> None:
    quiet = patches(np.zeros(32_000, np.float32))
    np.testing.assert_allclose(quiet, np.log(0.001), rtol=1e-6)
    embeddings = embed(np.zeros(32_000, np.float32))
    assert np.isfinite(embeddings).all()
    np.testing.assert_allclose(embeddings, embeddings[:1].repeat(len(embeddings), 0), rtol=1e-4, atol=1e-5)


def test_empty_sound_is_refused() -> None:
    with pytest.raises(UserError, match="the sound is empty; expected at least one sample"):
        patches(np.zeros(0, np.float32))


def test_mel_weights() -> None:
    weights = mel_weights()
    assert weights.shape == (257, 64)
    assert not weights[0].any()
    assert 0 <= weights.min() < 0.95 < weights.max() <= 1
    heard = np.flatnonzero(weights.any(axis=1)) * 16_000 / 512
    assert heard[0] > 125
    assert heard[-1] < 7_500
    inner = weights[5:231]  # between the first centre (155 Hz) and the last (7,215 Hz), two triangles add up to 1
    np.testing.assert_allclose(inner.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("rate", [22_050, 44_100, 48_000, 96_000])
def test_other_rates_sound_alike(rate: int) -> None:
    def tones_and_floor(rate: int) -> npt.NDArray[np.float64]:
        t = np.arange(2 * rate) / rate
        noise = resample(np.random.RandomState(1).standard_normal(2 * 14_000), 14_000, rate)[: t.size]
        return 0.05 * np.pad(noise, (0, t.size - noise.size)) + 0.2 * np.sin(2 * np.pi * (300 * t + 500 * t**2))

    native = embed(tones_and_floor(16_000).astype(np.float32))
    resampled = embed(resample(tones_and_floor(rate), rate, 16_000).astype(np.float32))
    assert cosine(resampled, native) >= 0.995
