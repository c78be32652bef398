"""The contract of embedders: what one must offer so that extraction and serving can use it.

A new embedder is one file in this folder with a name `EMBEDDERS`, a mapping from the embedder's name to its `Entry`;
nothing else registers it.

n samples of sound, H x W pixels of a picture, T windows of sound, N frames, D values of a window or frame.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

Option = str | int | float | bool
Array = npt.NDArray[np.float32]


class Embedder(Protocol):
    """Turns the sound and the pictures of a clip into features."""

    @property
    def name(self) -> str:
        """As in `load_embedder`."""
        ...

    @property
    def hop(self) -> float:
        """Seconds between two windows of sound."""
        ...

    @property
    def provenance(self) -> dict[str, Any]:
        """What fixes the features, for JSON: name, preset, weights (sha256 or `untrained`), trained, precision, device.

        The embedder's own options are among it, by their names, so that it can be loaded again from it.
        """
        ...

    def embed_audio(self, blocks: Iterable[Array], sample_rate: int) -> Array:
        """Sound in consecutive blocks, each [n, channels], full scale +-1, at `sample_rate` Hz -> [T, D].

        The values do not depend on how the sound is cut; an embedder that can keeps no more than a block in memory.
        """
        ...

    def embed_video(self, frames: Iterable[npt.NDArray[np.uint8]]) -> Array:
        """The frames of one clip, each [H, W, 3] RGB -> [N, D]; memory does not grow with N where that is possible."""
        ...

    def n_windows(self, n_samples: int, sample_rate: int) -> int:
        """The T that `embed_audio` will give for `n_samples`."""
        ...


@runtime_checkable
class SplitEmbedder(Embedder, Protocol):
    """An embedder whose preparation needs no network, so that other machines can do it for the one with the GPU.

    Its two halves together give what `embed_audio` and `embed_video` give, to the bit.
    """

    def prepare_audio(self, blocks: Iterable[Array], sample_rate: int) -> Iterator[Array]:
        """Sound as of `embed_audio` -> pieces [n_i] of what the network's half takes."""
        ...

    def prepare_video(self, frames: Iterable[npt.NDArray[np.uint8]]) -> Iterator[Array]:
        """The frames of one clip, each [H, W, 3] RGB -> as many pictures, all of one shape."""
        ...

    def embed_prepared_audio(self, pieces: Iterable[Array]) -> Array:
        """What `prepare_audio` gave, however it is cut -> [T, D]."""
        ...

    def embed_prepared_video(self, pictures: Iterable[Array]) -> Array:
        """What `prepare_video` gave -> [N, D]."""
        ...


@runtime_checkable
class PortableEmbedder(Embedder, Protocol):
    """An embedder whose weights can go along with a model, as one file that `load_embedder(weights=...)` takes."""

    def save_weights(self, path: Path) -> None:
        """Write them to `path`, whole or not at all."""
        ...


class Loader(Protocol):
    """Builds an embedder; raises UserError for choices that it does not know."""

    def __call__(self, *, weights: str, precision: str, device: str, **options: Any) -> Embedder:
        """An embedder with these weights, number format and device; the options are those of its `Entry`, all given."""
        ...


class Entry(NamedTuple):
    """One embedder: how it is loaded, and its own options with their defaults, which also say their types."""

    load: Loader
    options: Mapping[str, Option]
