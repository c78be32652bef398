"""Pictures and sound by two embedders: names, places, options, weights, and the pair as one embedder."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avfusion import embedders
from avfusion.embedders import SplitEmbedder, embedder_names, embedder_options, load_embedder
from avfusion.embedders.base import Entry, Offer
from avfusion.errors import UserError
from tests.test_embedders import BLOCKS, FRAMES, SOUND

UNTRAINED: dict[str, Any] = {"weights": "untrained", "device": "cpu"}


class OfFamily:
    """The sound's half of a pair by a member of the family `toy:`."""

    hop = 0.5

    def __init__(self, model: str, **given: Any) -> None:
        self.name = f"toy:{model}"
        self.provenance = {"name": self.name, "weights": "0", "trained": True, "precision": "float32", **given}

    def n_windows(self, n_samples: int, sample_rate: int) -> int:
        return 1

    def embed_audio(self, blocks: Any, sample_rate: int) -> Any:
        return np.ones((1, 3), np.float32)


@pytest.fixture
def family(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = embedders._entries()
    toys = {"toy:": Entry(audio=Offer(OfFamily, {"depth": 2}))}
    monkeypatch.setattr(embedders, "_entries", lambda: entries | toys)


def test_each_half_is_what_it_is_alone() -> None:
    pair, openl3, demo = (load_embedder(name, **UNTRAINED) for name in ("openl3+demo", "openl3", "demo"))
    assert (pair.name, pair.hop) == ("openl3+demo", demo.hop)
    np.testing.assert_array_equal(pair.embed_audio(BLOCKS, 48_000), demo.embed_audio(BLOCKS, 48_000))
    np.testing.assert_array_equal(pair.embed_video(iter(FRAMES)), openl3.embed_video(iter(FRAMES)))
    n_windows = pair.n_windows(len(SOUND), 48_000)
    assert n_windows == demo.n_windows(len(SOUND), 48_000)
    assert pair.n_frames(1.25, n_windows) == n_windows


def test_the_halves_can_be_split() -> None:
    pair = load_embedder("openl3+demo", **UNTRAINED)
    assert isinstance(pair, SplitEmbedder)
    pieces, pictures = list(pair.prepare_audio(BLOCKS, 48_000)), list(pair.prepare_video(iter(FRAMES)))
    np.testing.assert_array_equal(pair.embed_prepared_audio(pieces), pair.embed_audio(BLOCKS, 48_000))
    np.testing.assert_array_equal(pair.embed_prepared_video(pictures), pair.embed_video(iter(FRAMES)))


def test_provenance_of_both(tmp_path: Path) -> None:
    pair = load_embedder("openl3+demo", **UNTRAINED, hop=0.5, image_size="8192")
    found = pair.provenance
    json.dumps(found)
    assert (found["name"], found["trained"], found["device"]) == ("openl3+demo", False, "cpu")
    assert (found["audio"]["hop"], found["audio"]["weights"], found["audio"]["precision"]) == (
        0.5,
        *["untrained"],
        "float32",
    )
    assert found["video"]["image_size"] == 8192
    assert not {"hop", "centred", "audio_size", "device"} & set(found["video"])
    mixed = load_embedder("openl3+demo", weights={"video": "untrained"}, device="cpu").provenance
    assert (mixed["trained"], mixed["audio"]["trained"], list(mixed["weights_files"])) == (False, True, ["audio"])


def test_a_pair_carries_what_the_package_has_not(tmp_path: Path) -> None:
    ours: Any = load_embedder("openl3+demo", weights={"video": "untrained"}, device="cpu")
    ours.save_weights(tmp_path / "pair")
    assert [path.name for path in (tmp_path / "pair").iterdir()] == ["video.safetensors"]
    again = load_embedder("openl3+demo", weights=str(tmp_path / "pair"), device="cpu")
    np.testing.assert_array_equal(again.embed_video(iter(FRAMES)), ours.embed_video(iter(FRAMES)))
    assert again.provenance["trained"] is True
    assert again.provenance["weights_files"]["video"] == [str(tmp_path / "pair" / "video.safetensors")]


@pytest.mark.usefixtures("family")
def test_families_are_given_the_rest_of_the_name() -> None:
    assert "toy:MODEL" in embedder_names("audio")
    assert "toy:MODEL" not in [*embedder_names(), *embedder_names("video")]
    assert embedder_options("demo+toy:a/b-1") == {"depth": 2}
    pair = load_embedder("demo+toy:a/b-1", weights={"video": "untrained"}, depth="3")
    assert pair.name == "demo+toy:a/b-1"
    assert pair.provenance["audio"]["depth"] == 3
    assert not isinstance(pair, SplitEmbedder)


@pytest.mark.usefixtures("family")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("toy:", r"unknown embedder 'toy:'; choose from: demo, .*; or PICTURE\+SOUND, pictures by: demo, .*openl3"),
        (
            "toy:x",
            r"embedder=toy:x: toy:x is for sound; expected PICTURE\+SOUND, pictures by: .*; sound by: .*toy:MODEL",
        ),
        ("toy:x+demo", r"embedder=toy:x\+demo: toy:x is for sound; expected PICTURE\+SOUND"),
        ("demo+toy:", "unknown embedder of sound 'toy:'; choose from: demo, .*openl3, toy:MODEL"),
        ("demo+demo:x", "unknown embedder of sound 'demo:x'"),
        ("vggish+demo", "unknown embedder of pictures 'vggish'; choose from: demo, .*openl3"),
        ("demo+", "unknown embedder of sound ''"),
        ("demo+demo+demo", r"embedder=demo\+demo\+demo: expected one name, or PICTURE\+SOUND"),
        ("openl3-original+demo", r"openl3-original is for sound and pictures at once; expected PICTURE\+SOUND"),
    ],
)
def test_names_that_are_no_good(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        load_embedder(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        (
            {"hopp": 1},
            "unknown embedder option 'hopp'; choose from: audio_size, centred, content_type, hop, input_repr",
        ),
        ({"hop": "x"}, "embedder option hop=x; expected a number"),
        (
            {"weights": "no/such"},
            "weights=no/such: for a pair expected `untrained`, or a folder with audio.safetensors",
        ),
    ],
)
def test_choices_that_are_no_good(choices: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_embedder("demo+openl3", **choices)


def test_one_embedder_takes_its_weights_as_one() -> None:
    with pytest.raises(UserError, match="demo takes its weights as one; got them for audio"):
        load_embedder("demo", weights={"audio": "untrained"})
