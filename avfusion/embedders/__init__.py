"""Embedders: what turns the sound and the pictures of a clip into features.

Each module in this package offers `EMBEDDERS`, a mapping from name to loader, and `OPTIONS`, from name to the
embedder's own options with their defaults, each also a key of its provenance; a new embedder is one new file.
Nothing here opens a media file or writes a store.
"""

import importlib
import pkgutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from avfusion.errors import unknown

JsonValue = str | int | float | bool | None | list["JsonValue"] | dict[str, "JsonValue"]
Option = str | int | float | bool


class Embedder(Protocol):
    """Turns media into features. Shapes: T windows, N frames, D values.

    Attributes:
        name: as in `load_embedder`.
        hop: seconds between audio windows.
        provenance: what fixes the features: name, preset, weights (sha256 or `untrained`), trained,
            precision, device, hop, centred, content type, embedding sizes.
    """

    name: str
    hop: float
    provenance: dict[str, JsonValue]

    def embed_audio(self, samples: npt.NDArray[np.float32], sample_rate: int) -> npt.NDArray[np.float32]:
        """Samples [n, channels] (full scale +-1) at `sample_rate` Hz -> [T, D]."""
        ...

    def embed_video(self, frames: Iterable[npt.NDArray[np.uint8]]) -> npt.NDArray[np.float32]:
        """The frames of one clip, each [H, W, 3] RGB -> [N, D]; memory does not grow with N."""
        ...

    def n_windows(self, n_samples: int, sample_rate: int) -> int:
        """The T that `embed_audio` will give."""
        ...


@runtime_checkable
class StreamingEmbedder(Embedder, Protocol):
    """An embedder that need not see the whole sound at once, so that long clips take no more memory."""

    def embed_audio_blocks(
        self, blocks: Iterable[npt.NDArray[np.float32]], sample_rate: int
    ) -> npt.NDArray[np.float32]:
        """Consecutive samples, each block [n, channels]: what `embed_audio` gives for all of them, to the bit."""
        ...


@runtime_checkable
class SplitEmbedder(Embedder, Protocol):
    """An embedder whose preparation needs no network, so that other machines can do it for the one with the GPU.

    Its two halves together give what `embed_audio` and `embed_video` give, to the bit.
    """

    def prepare_audio(
        self, blocks: Iterable[npt.NDArray[np.float32]], sample_rate: int
    ) -> Iterator[npt.NDArray[np.float32]]:
        """Consecutive samples, each block [n, channels] -> pieces [n_i] of what the network's half takes."""
        ...

    def prepare_video(self, frames: Iterable[npt.NDArray[np.uint8]]) -> Iterator[npt.NDArray[np.float32]]:
        """The frames of one clip, each [H, W, 3] RGB -> as many pictures, all of one shape."""
        ...

    def embed_prepared_audio(self, pieces: Iterable[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
        """What `prepare_audio` gave, however it is cut -> [T, D]."""
        ...

    def embed_prepared_video(self, pictures: Iterable[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
        """What `prepare_video` gave -> [N, D]."""
        ...


@runtime_checkable
class PortableEmbedder(Embedder, Protocol):
    """An embedder whose weights can go along with a model, as one file that `load_embedder(weights=...)` takes."""

    def save_weights(self, path: Path) -> None:
        """Write them."""
        ...


class Loader(Protocol):
    """Builds an embedder; raises UserError for options and choices that it does not know."""

    def __call__(self, *, weights: str | None, precision: str, device: str, options: Mapping[str, Option]) -> Embedder:
        """An embedder with these weights, number format, device and options of its own."""
        ...


def embedder_names() -> list[str]:
    """The names that `load_embedder` knows."""
    return sorted(_loaders())


def load_embedder(
    name: str, *, weights: str | None = None, precision: str = "float32", device: str = "auto", **options: Option
) -> Embedder:
    """The embedder called `name`.

    Args:
        weights: None for the embedder's own, or a path (see the embedder's module).
        precision: `float32`, `bf16` or `auto`.
        device: `auto`, `cpu` or `cuda`.
        options: the embedder's own, for instance hop=0.1; text is converted to the option's type.

    Raises:
        UserError: an unknown name, option or choice; the line lists the known ones.
    """
    loaders = _loaders()
    if name not in loaders:
        raise unknown("embedder", name, list(loaders))
    return loaders[name](weights=weights, precision=precision, device=device, options=options)


def embedder_options(name: str) -> dict[str, Option]:
    """The options of the embedder `name` with their defaults."""
    return dict(_offered("OPTIONS").get(name, {}))


def _loaders() -> dict[str, Loader]:
    return _offered("EMBEDDERS")


def _offered(attribute: str) -> dict[str, Any]:
    """What all modules together have under this name."""
    offered: dict[str, Any] = {}
    for module in pkgutil.iter_modules(__path__):
        offered |= getattr(importlib.import_module(f"{__name__}.{module.name}"), attribute, {})
    return offered
