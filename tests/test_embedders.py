import sys
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from avfusion.embedders import embedder_names, load_embedder
from avfusion.errors import UserError
from tests.embedder_contract import check_pictures, check_sound

SOUND = (0.1 * np.random.RandomState(0).standard_normal((60_000, 2))).astype(np.float32)
BLOCKS = [SOUND[:777], SOUND[777:]]
FRAMES = np.random.RandomState(1).randint(0, 256, (3, 240, 320, 3)).astype(np.uint8)


def half(place: str, name: str, **choices: Any) -> Any:
    """The embedder of one modality, as the half of a pair."""
    given = {"weights": "untrained", **choices}
    pair = f"{name}+demo" if place == "video" else f"demo+{name}"
    given["weights"] = {place: given["weights"]}
    return getattr(load_embedder(pair, device="cpu", hop=0.5, **given), place)


@pytest.mark.parametrize("name", [name for name in embedder_names("audio") if ":" not in name])
def test_contract_of_sound(name: str, tmp_path: Path) -> None:
    check_sound(partial(half, "audio", name), tmp_path)


@pytest.mark.parametrize("name", [name for name in embedder_names("video") if ":" not in name])
def test_contract_of_pictures(name: str, tmp_path: Path) -> None:
    check_pictures(partial(half, "video", name), tmp_path)


@pytest.mark.parametrize("name", ["demo", "openl3"])
def test_both_modalities_at_once_are_the_two_halves(name: str) -> None:
    both = load_embedder(name, weights="untrained", device="cpu", hop=0.5)
    pair = load_embedder(f"{name}+{name}", weights="untrained", device="cpu", hop=0.5)
    np.testing.assert_array_equal(both.embed_audio(BLOCKS, 48_000), pair.embed_audio(BLOCKS, 48_000))
    np.testing.assert_array_equal(both.embed_video(iter(FRAMES)), pair.embed_video(iter(FRAMES)))
    assert both.n_frames(1.25, 7) == pair.n_frames(1.25, 7) == 7
    assert both.provenance["hop"] == both.hop == 0.5


def test_names() -> None:
    assert embedder_names() == ["demo", "openl3", "openl3-original"]
    assert {"demo", "openl3", "yamnet"} <= set(embedder_names("audio"))
    assert {"demo", "openl3", "efficientnet_lite0"} <= set(embedder_names("video"))


def test_demo() -> None:
    embedder = load_embedder("demo", weights="untrained", device="cpu")
    assert embedder.hop == 0.2
    assert embedder.provenance["trained"] is False
    assert embedder.provenance["weights"] == "untrained"
    assert embedder.n_windows(480_000, 48000) == 49


def test_openl3_follows_the_dcase_recipe() -> None:
    embedder = load_embedder("openl3", weights="untrained", device="cpu")
    assert embedder.n_frames(10.0, embedder.n_windows(480_000, 48_000)) == 96
    assert embedder.provenance["content_type"] == "env"
    assert "224" in str(embedder.provenance["small_frames"])


def test_the_pair_for_real_clips() -> None:
    pair = load_embedder("efficientnet_lite0+yamnet", device="cpu")
    assert (pair.n_windows(480_000, 48_000), pair.n_frames(10.0, 20)) == (20, 10)
    assert pair.embed_audio(BLOCKS, 48_000).shape == (2, 1024)
    assert pair.embed_video(iter(FRAMES)).shape == (3, 1280)
    dense = load_embedder("efficientnet_lite0+yamnet", device="cpu", hop=0.1, frames=2.5)
    assert (dense.n_windows(480_000, 48_000), dense.n_frames(10.0, 92)) == (92, 25)
    assert (dense.provenance["audio"]["hop"], dense.provenance["video"]["frames"]) == (0.1, 2.5)
    assert [pair.n_frames(seconds, 1) for seconds in (0.0, 0.9, 1.0, 1.01)] == [1, 1, 1, 2]


def test_options_may_come_as_text() -> None:
    embedder = load_embedder("demo", weights="untrained", device="cpu", hop="0.5", centred="false")
    assert embedder.n_windows(480_000, 48000) == 19
    assert embedder.provenance["centred"] is False


@pytest.mark.parametrize(
    ("name", "choices", "message"),
    [
        ("vggish", {}, "unknown embedder 'vggish'; choose from: demo, openl3, openl3-original"),
        ("demo", {"hopp": 1}, "unknown embedder option 'hopp'; choose from: centred, hop"),
        ("demo", {"hop": "fast"}, "embedder option hop=fast; expected a number"),
        ("demo", {"hop": [1]}, r"embedder option hop=\[1\]; expected a number"),
        ("demo", {"hop": 0.0}, r"hop=0.0; expected seconds above 0"),
        ("demo", {"hop": "nan"}, "hop=nan; expected seconds above 0"),
        ("demo", {"centred": "maybe"}, "embedder option centred=maybe; expected true or false"),
        ("openl3", {"audio_size": "many"}, "embedder option audio_size=many; expected a whole number"),
        ("openl3", {"audio_size": 100}, "unknown audio_size '100'; choose from: 512, 6144"),
        ("demo", {"device": "tpu"}, "unknown device 'tpu'; choose from: auto, cpu, cuda"),
        ("demo", {"precision": "int8"}, "unknown precision 'int8'; choose from: auto, bf16, float32"),
        ("openl3-original", {"precision": "bf16"}, "openl3-original runs with its own weights"),
        ("efficientnet_lite0+yamnet", {"hop": 0.005}, "hop=0.005; yamnet expects a multiple of 0.01 seconds"),
        ("efficientnet_lite0+yamnet", {"hop": "inf"}, "hop=inf; yamnet expects a multiple of 0.01 seconds"),
        (
            "efficientnet_lite0+yamnet",
            {"frames": 0},
            "frames=0; efficientnet_lite0 expects pictures per second, above 0",
        ),
        ("efficientnet_lite0+yamnet", {"centred": 1}, "unknown embedder option 'centred'; choose from: frames, hop"),
        ("efficientnet_lite0+yamnet", {"precision": "int8"}, "unknown precision 'int8'"),
        ("demo", {"frames": 1}, "unknown embedder option 'frames'; choose from: centred, hop"),
        ("yamnet+efficientnet_lite0", {}, r"yamnet is for sound; expected PICTURE\+SOUND, pictures by: demo, effi"),
        ("yamnet", {}, r"embedder=yamnet: yamnet is for sound; expected PICTURE\+SOUND"),
        ("openl3-original", {"content_type": "x"}, "unknown content_type 'x'; choose from: env, music"),
    ],
)
def test_mistakes_get_one_line(name: str, choices: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        load_embedder(name, **choices)
    assert "\n" not in str(caught.value)


class OpenL3Error(Exception):
    """Named like the original's."""


def stand_in(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Installs a module `openl3` that checks how it is called, with the original's signatures."""
    calls: list[str] = []

    def load_audio(input_repr: str, content_type: str, embedding_size: int) -> SimpleNamespace:
        calls.append("load audio")
        assert (input_repr, content_type) == ("mel256", "music")
        return SimpleNamespace(kind="audio", size=embedding_size)

    def load_image(input_repr: str, content_type: str, embedding_size: int) -> SimpleNamespace:
        calls.append("load image")
        assert (input_repr, content_type) == ("mel256", "music")
        return SimpleNamespace(kind="image", size=embedding_size)

    def get_audio_embedding(
        audio: Any, sr: int, *, model: Any, center: bool, hop_size: float, batch_size: int, verbose: bool
    ) -> tuple[Any, Any]:
        assert isinstance(audio, np.ndarray) and audio.ndim == 2 and audio.dtype == np.float32
        assert isinstance(sr, int) and isinstance(hop_size, float) and isinstance(batch_size, int)
        assert model.kind == "audio" and center is True and verbose is False
        length = int(len(audio) * 48000 / sr) + 24000
        n_windows = 1 + max(0, int(np.ceil((length - 48000) / int(hop_size * 48000))))
        return np.ones((n_windows, model.size), np.float32), np.arange(n_windows) * hop_size

    def get_image_embedding(image: Any, *, model: Any, batch_size: int, verbose: bool) -> Any:
        assert isinstance(image, np.ndarray) and image.dtype == np.uint8
        assert image.ndim == 4 and image.shape[-1] == 3
        assert model.kind == "image" and isinstance(batch_size, int) and verbose is False
        if min(image.shape[1:3]) < 224:
            raise OpenL3Error("Image(s) must be at\nleast as large as 224x224 px.")
        return np.ones((len(image), model.size))

    module: Any = ModuleType("openl3")
    module.get_audio_embedding, module.get_image_embedding = get_audio_embedding, get_image_embedding
    module.models = SimpleNamespace(load_audio_embedding_model=load_audio, load_image_embedding_model=load_image)
    monkeypatch.setitem(sys.modules, "openl3", module)
    return calls


def test_the_original_is_called_as_it_wants(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = stand_in(monkeypatch)
    embedder = load_embedder("openl3-original", content_type="music", hop="0.1")
    for _ in range(2):
        assert embedder.embed_audio(BLOCKS, 48_000).shape == (embedder.n_windows(len(SOUND), 48_000), 512)
        assert embedder.embed_video(iter(FRAMES)).shape == (3, 512)
    assert (embedder.provenance["name"], embedder.provenance["hop"]) == ("openl3-original", 0.1)
    assert embedder.n_frames(1.25, 8) == 8
    assert calls == ["load audio", "load image"]  # once, not for every clip
    with pytest.raises(UserError, match=r"openl3-original: Image\(s\) must be at least as large as 224x224 px\."):
        embedder.embed_video(iter(FRAMES[:, :100]))
    with pytest.raises(UserError, match="no frames, or its frame size changes"):
        embedder.embed_video([FRAMES[0], FRAMES[0][:230]])
    with pytest.raises(UserError, match="no frames, or its frame size changes"):
        embedder.embed_video([])


def test_without_the_original_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openl3", None)
    with pytest.raises(UserError, match=r"pip install -e '\.\[openl3\]' in avfusion's clone"):
        load_embedder("openl3-original")
