import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
import torch

from avfusion.errors import UserError
from avfusion.l3.api import L3, load_l3
from avfusion.l3.folding import FoldedSubnetwork
from avfusion.l3.runtime import choose_precision


@pytest.fixture(scope="module")
def l3() -> L3:
    return load_l3("demo", weights="untrained", device="cpu")


def at(hop: float, centred: bool = True) -> L3:
    return load_l3("demo", weights="untrained", device="cpu", hop=hop, centred=centred)


def sound(seconds: float, rate: int = 48000, channels: int = 2) -> np.ndarray:
    values = np.random.RandomState(0).standard_normal((int(seconds * rate), channels))
    return (0.1 * values).astype(np.float32)


def write_wav(path: Path, samples: np.ndarray, rate: int) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((samples * 32768).astype("<i2").tobytes())
    return path


def test_sound_gives_embeddings_in_time(l3: L3) -> None:
    values, seconds = l3.embed_sound(sound(2.5), 48000)
    assert values.shape == (l3.n_windows(120_000, 48000), 512) == (11, 512)
    assert values.dtype == np.float32
    np.testing.assert_allclose(seconds, np.arange(11) * 0.2)
    wide = at(hop=0.5, centred=False)
    values, seconds = wide.embed_sound(sound(2.5), 48000)
    assert len(values) == wide.n_windows(120_000, 48000) == 4
    np.testing.assert_allclose(seconds, [0, 0.5, 1, 1.5])


def test_windows_do_not_depend_on_their_batch() -> None:
    l3, samples = at(hop=0.25, centred=False), sound(4)
    together = l3.embed_sound(samples, 48000).values
    alone = l3.embed_sound(samples[36000:84000], 48000).values
    np.testing.assert_allclose(together[3:4], alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("rate", [48000, 44100])
def test_sound_in_blocks_gives_the_same_bits(rate: int) -> None:
    l3, samples = at(hop=0.5), sound(7.3, rate)
    whole = l3.embed_sound(samples, rate).values
    for size in (977, 50_000):
        blocks = (samples[start : start + size] for start in range(0, len(samples), size))
        assert np.array_equal(l3.embed_audio(blocks, rate), whole)


def test_channels_are_averaged_and_rates_converted(l3: L3) -> None:
    samples = sound(1, 44100)
    mono = l3.embed_sound(samples.mean(axis=1), 44100).values
    np.testing.assert_allclose(l3.embed_sound(samples, 44100).values, mono, rtol=1e-3, atol=1e-3)
    assert len(mono) == l3.n_windows(44100, 44100) == 4


def test_frames_give_embeddings_in_time(l3: L3) -> None:
    frames = np.random.RandomState(1).randint(0, 256, (11, 90, 120, 3)).astype(np.uint8)
    values, seconds = l3.embed_frames(iter(frames), frame_rate=25)
    assert values.shape == (11, 512)
    np.testing.assert_allclose(seconds, np.arange(11) / 25)
    np.testing.assert_allclose(l3.embed_frames(frames[4]).values[0], values[4], rtol=1e-4, atol=1e-4)


def test_precision_bf16_is_close(l3: L3) -> None:
    exact = l3.embed_sound(sound(1), 48000).values
    rough = load_l3("demo", weights="untrained", precision="bf16", device="cpu").embed_sound(sound(1), 48000).values
    cosine = (exact * rough).sum(axis=1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(rough, axis=1)
    assert (cosine > 0.999).all()


@pytest.mark.parametrize(("hardware", "precision"), [(True, "bf16"), (False, "float32")])
def test_precision_auto_follows_the_hardware(monkeypatch: pytest.MonkeyPatch, hardware: bool, precision: str) -> None:
    monkeypatch.setattr("avfusion.system.device.cpu_has_amx", lambda: hardware)
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation: hardware)
    assert choose_precision("auto", torch.device("cpu")) == precision
    assert choose_precision("auto", torch.device("cuda")) == precision


def test_bf16_that_the_machine_lacks_is_told_when_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: FoldedSubnetwork, inputs: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(FoldedSubnetwork, "forward", refuse)
    message = r"precision=bf16: this processor cannot embed clips in bf16 \(no such kernel\); use precision=float32"
    with pytest.raises(UserError, match=message):
        load_l3("demo", weights="untrained", precision="bf16", device="cpu")
    assert load_l3("demo", weights="untrained", device="cpu")


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(UserError, match="unknown precision 'float16'; choose from: auto, bf16, float32"):
        load_l3("demo", precision="float16")


def test_a_sound_file(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "s.wav", sound(1.2, 44100), 44100)
    l3 = at(hop=0.4)
    clip = l3.embed_file(path)
    assert clip.pictures is None
    assert clip.sound is not None
    assert clip.sound.values.shape == (l3.n_windows(52920, 44100), 512)


def test_a_file_without_anything(l3: L3, tmp_path: Path) -> None:
    (tmp_path / "t.mp4").write_text("no video")
    with pytest.raises(UserError, match=r"t\.mp4 cannot be embedded: "):
        l3.embed_file(tmp_path / "t.mp4")


def test_one_branch_alone() -> None:
    l3 = load_l3("demo", weights="untrained", branches=("audio",), device="cpu")
    assert set(l3.loaded.networks) == {"audio"}
    with pytest.raises(UserError, match="loaded without its image part"):
        l3.embed_frames(np.zeros((1, 64, 64, 3), dtype=np.uint8))


def test_what_cannot_be_embedded(l3: L3) -> None:
    for empty in (np.zeros(0), np.zeros((0, 2)), np.zeros((2, 2, 2))):
        with pytest.raises(UserError, match=r"sound has shape \["):
            l3.embed_sound(empty, 48000)
    with pytest.raises(UserError, match="the clip has no frames"):
        l3.embed_frames([])
    with pytest.raises(UserError, match="frame rate is 0; expected frames per second above 0"):
        l3.embed_frames(np.zeros((1, 64, 64, 3), dtype=np.uint8), frame_rate=0)


def test_arrays_need_torch_and_numpy_alone() -> None:
    program = """
import sys
for name in ("h5py", "scipy", "av", "safetensors", "filelock", "tqdm", "mlflow", "pandas", "sklearn", "resampy"):
    sys.modules[name] = None  # importing it now fails
import numpy as np
from avfusion.l3.api import load_l3
l3 = load_l3("demo", weights="untrained")
assert l3.embed_sound(np.ones(44100, dtype=np.float32), 44100).values.shape == (4, 512)
assert l3.embed_frames(np.zeros((2, 300, 300, 3), dtype=np.uint8)).values.shape == (2, 512)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
