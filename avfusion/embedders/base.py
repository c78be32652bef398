"""The contract of embedders: what one must offer so that extraction and serving can use it.

Sound and pictures are embedded apart, by two embedders of a single modality or by one that has both. A new embedder is
one file in this folder with a name `EMBEDDERS`, a mapping from the embedder's name to its `Entry`; nothing else
registers it. A name that ends with a colon stands for a family: `hf:` for every `hf:MODEL`, whose loaders are given the
rest of the name as `model`.

n samples of sound, H x W pixels of a picture, T windows of sound, N frames, D values of a window or frame (of each
modality its own).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt

UNTRAINED = "untrained"
"""In place of weights: seeded random ones."""

Option = str | int | float | bool
Array = npt.NDArray[np.float32]
Frame = npt.NDArray[np.uint8]
Prepared = npt.NDArray[Any]


class _Named(Protocol):
    @property
    def name(self) -> str:
        """As in `load_embedder`."""
        ...

    @property
    def provenance(self) -> dict[str, Any]:
        """What fixes the features, for JSON: name, weights (sha256 or `untrained`), trained, precision, device.

        The embedder's own options are among it, by their names, so that it can be loaded again from it. `weights_files`
        are the paths of its weights, where it has any: it is loaded again with `weights` set to them, with commas.
        `origin` is where they came from, for people: the same weights are the same wherever they were found.
        """
        ...


class SoundEmbedder(_Named, Protocol):
    """Turns the sound of a clip into features."""

    @property
    def hop(self) -> float:
        """Seconds between two windows of sound."""
        ...

    def n_windows(self, n_samples: int, sample_rate: int) -> int:
        """The T that `embed_audio` will give for `n_samples`, at least 1."""
        ...

    def embed_audio(self, blocks: Iterable[Array], sample_rate: int) -> Array:
        """Sound in consecutive blocks, each [n, channels], full scale +-1, at `sample_rate` Hz -> [T, D].

        The values do not depend on how the sound is cut; an embedder that can keeps no more than a block in memory.
        """
        ...


class PictureEmbedder(_Named, Protocol):
    """Turns the pictures of a clip into features."""

    def n_frames(self, seconds: float, n_windows: int) -> int:
        """How many pictures, at least 1, it wants of a clip of `seconds` whose sound gives `n_windows` windows."""
        ...

    def embed_video(self, frames: Iterable[Frame]) -> Array:
        """The frames of one clip, each [H, W, 3] RGB -> [N, D]; memory does not grow with N where that is possible."""
        ...


class Embedder(SoundEmbedder, PictureEmbedder, Protocol):
    """Turns the sound and the pictures of a clip into features: one network for both, or a pair of two."""


@runtime_checkable
class SplitSound(SoundEmbedder, Protocol):
    """An embedder whose preparation of sound needs no network, so that other machines can do it for the one with a GPU.

    The two halves together give what `embed_audio` gives, to the bit.
    """

    def prepare_audio(self, blocks: Iterable[Array], sample_rate: int) -> Iterator[Array]:
        """Sound as of `embed_audio` -> pieces [n_i] of what the network's half takes."""
        ...

    def embed_prepared_audio(self, pieces: Iterable[Array]) -> Array:
        """What `prepare_audio` gave, however it is cut -> [T, D]."""
        ...


@runtime_checkable
class SplitPictures(PictureEmbedder, Protocol):
    """The same for pictures."""

    def prepare_video(self, frames: Iterable[Frame]) -> Iterator[Prepared]:
        """The frames of one clip, each [H, W, 3] RGB -> as many pictures, all of one shape and type."""
        ...

    def embed_prepared_video(self, pictures: Iterable[Prepared]) -> Array:
        """What `prepare_video` gave -> [N, D]."""
        ...


@runtime_checkable
class SplitEmbedder(SplitSound, SplitPictures, Protocol):
    """An embedder that can be split for both modalities."""


@runtime_checkable
class PortableEmbedder(_Named, Protocol):
    """An embedder, of one modality or both, whose weights can go along with a model."""

    def save_weights(self, path: Path) -> None:
        """Write them to `path` as one safetensors file that `load` takes as `weights`, whole or not at all.

        A pair's halves write a file each, into the folder `path`.
        """
        ...


Made = TypeVar("Made", covariant=True)


class Offer(NamedTuple, Generic[Made]):
    """How an embedder is loaded, and its own options with their defaults, which also say their types.

    `load(weights=..., precision=..., device=..., **options)` builds it, with all of its options given, and raises
    UserError for choices that it does not know. Weights are None for its own, `untrained` for seeded random ones, or
    paths with commas. A family's `load` is given `model` too, the part of the name behind the colon. `needs` are the
    packages that it imports and the program itself does not.
    """

    load: Callable[..., Made]
    options: Mapping[str, Option]
    needs: tuple[str, ...] = ()


class Entry(NamedTuple):
    """What a name stands for: an embedder of both modalities, or the sound's or the pictures' half of a pair.

    A name may offer any of the three; None is what it does not offer.
    """

    both: Offer[Embedder] | None = None
    audio: Offer[SoundEmbedder] | None = None
    video: Offer[PictureEmbedder] | None = None
