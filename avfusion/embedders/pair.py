"""Two embedders, of pictures and of sound, as one: `PICTURE+SOUND`."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from avfusion.embedders.base import (
    UNTRAINED,
    Array,
    Frame,
    PictureEmbedder,
    PortableEmbedder,
    Prepared,
    SoundEmbedder,
    SplitPictures,
    SplitSound,
)
from avfusion.errors import UserError

HALVES = ("audio", "video")
SIGN = "+"
PACKAGE = Path(__file__).parents[1]


class Pair:
    """An `avfusion.embedders.Embedder` that leaves each modality to an embedder of its own.

    Its provenance has that of each half under `audio` and `video`; `weights_files` have the same two names. It is
    trained if both are.
    """

    def __init__(self, video: PictureEmbedder, audio: SoundEmbedder) -> None:
        self.video, self.audio = video, audio
        self.name = f"{video.name}{SIGN}{audio.name}"
        self.hop = audio.hop

    @property
    def provenance(self) -> dict[str, Any]:
        """See `avfusion.embedders.base`; of the device there is one for both."""
        halves = {"audio": dict(self.audio.provenance), "video": dict(self.video.provenance)}
        files = {place: half.pop("weights_files") for place, half in halves.items() if "weights_files" in half}
        devices = [half.pop("device", "cpu") for half in halves.values()]
        return {
            "name": self.name,
            "trained": all(half["trained"] for half in halves.values()),
            "device": max(devices, key=lambda device: device != "cpu"),
            **halves,
            **({"weights_files": files} if files else {}),
        }

    def n_windows(self, n_samples: int, sample_rate: int) -> int:
        """The T that `embed_audio` will give."""
        return self.audio.n_windows(n_samples, sample_rate)

    def n_frames(self, seconds: float, n_windows: int) -> int:
        """How many pictures are wanted of a clip of `seconds` with `n_windows` windows of sound."""
        return self.video.n_frames(seconds, n_windows)

    def embed_audio(self, blocks: Iterable[Array], sample_rate: int) -> Array:
        """Sound in blocks, each [n, channels] -> [T, D]."""
        return self.audio.embed_audio(blocks, sample_rate)

    def embed_video(self, frames: Iterable[Frame]) -> Array:
        """The frames of one clip, each [H, W, 3] RGB -> [N, D]."""
        return self.video.embed_video(frames)

    def save_weights(self, path: Path) -> None:
        """Write a folder `path` with the weights of each half that the package does not bring anyway."""
        halves: dict[str, object] = {"audio": self.audio, "video": self.video}
        for place, half in halves.items():
            if isinstance(half, PortableEmbedder) and not comes_with_package(half.provenance.get("weights_files")):
                path.mkdir(parents=True, exist_ok=True)
                half.save_weights(path / weights_name(place))


class SplitPair(Pair):
    """A pair whose halves both can be split (see `avfusion.embedders.base`)."""

    video: SplitPictures
    audio: SplitSound

    def prepare_audio(self, blocks: Iterable[Array], sample_rate: int) -> Iterator[Array]:
        """What of `embed_audio` needs no network."""
        return self.audio.prepare_audio(blocks, sample_rate)

    def prepare_video(self, frames: Iterable[Frame]) -> Iterator[Prepared]:
        """What of `embed_video` needs no network."""
        return self.video.prepare_video(frames)

    def embed_prepared_audio(self, pieces: Iterable[Array]) -> Array:
        """The rest: what `prepare_audio` gave -> [T, D]."""
        return self.audio.embed_prepared_audio(pieces)

    def embed_prepared_video(self, pictures: Iterable[Prepared]) -> Array:
        """The rest: what `prepare_video` gave -> [N, D]."""
        return self.video.embed_prepared_video(pictures)


def paired(video: PictureEmbedder, audio: SoundEmbedder) -> Pair:
    """The two as one embedder, which can be split if both can."""
    both_split = isinstance(video, SplitPictures) and isinstance(audio, SplitSound)
    return SplitPair(video, audio) if both_split else Pair(video, audio)


def weights_of_halves(weights: str | Mapping[str, str] | None) -> Mapping[str, str]:
    """The weights of each half that does not take its own: `untrained` for both, or a folder as of `save_weights`.

    Raises UserError for a folder that has none of either.
    """
    if weights is None or isinstance(weights, Mapping):
        return weights or {}
    if weights == UNTRAINED:
        return dict.fromkeys(HALVES, UNTRAINED)
    files = {place: Path(weights) / weights_name(place) for place in HALVES}
    found = {place: str(file) for place, file in files.items() if file.is_file()}
    if not found:
        names = " or ".join(map(weights_name, HALVES))
        raise UserError(f"weights={weights}: for a pair expected `untrained`, or a folder with {names}")
    return found


def weights_name(place: str) -> str:
    """The file with the weights of the half for `audio` or `video`, in a pair's folder of weights."""
    return f"{place}.safetensors"


def found_again(file: Path) -> Path:
    """A file of weights; that of this package where it lay in another copy of the package, which is gone."""
    if not file.exists() and PACKAGE.name in file.parts:
        after = len(file.parts) - file.parts[::-1].index(PACKAGE.name)
        here = PACKAGE.joinpath(*file.parts[after:])
        return here if here.is_file() else file
    return file


def comes_with_package(weights_files: list[str] | None) -> bool:
    """Whether weights were found in the package itself, where whoever loads the embedder again will find them."""
    return bool(weights_files) and all(Path(file).is_relative_to(PACKAGE) for file in weights_files or [])
