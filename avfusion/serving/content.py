"""Sound that is silent and pictures that are black count as missing when a scene is asked for."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from avfusion.embedders import Embedder
from avfusion.media import MediaError

SILENT = 1e-4
"""Peak below which sound is silence: -80 dB of full scale, three steps of 16-bit samples."""
BLACK = 16
"""Value, of 255, that no pixel of a black picture exceeds: noise and the black of video levels stay below it."""


Number = TypeVar("Number", np.float32, np.uint8)


class ContentWatcher:
    """An embedder that refuses blank input with a `MediaError`; otherwise it is the embedder `watched`."""

    def __init__(self, watched: Embedder) -> None:
        self.watched = watched
        self.name, self.hop, self.provenance = watched.name, watched.hop, watched.provenance

    def embed_audio(self, blocks: Iterable[NDArray[np.float32]], sample_rate: int) -> NDArray[np.float32]:
        """Sound in blocks, each [n, channels] -> [T, D]."""
        highest = [0.0]
        features = self.watched.embed_audio(_watch(blocks, highest), sample_rate)
        if highest[0] < SILENT:
            raise MediaError("no sound: it is silent throughout")
        return features

    def embed_video(self, frames: Iterable[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Frames [H, W, 3] RGB -> [N, D]."""
        highest = [0.0]
        features = self.watched.embed_video(_watch(frames, highest))
        if highest[0] <= BLACK:
            raise MediaError("no pictures: they are black throughout")
        return features

    def n_windows(self, n_samples: int, sample_rate: int) -> int:
        """The T that `embed_audio` will give."""
        return self.watched.n_windows(n_samples, sample_rate)

    def n_frames(self, seconds: float, n_windows: int) -> int:
        """How many pictures are wanted."""
        return self.watched.n_frames(seconds, n_windows)


def _watch(pieces: Iterable[NDArray[Number]], highest: list[float]) -> Iterator[NDArray[Number]]:
    """The same pieces; `highest` keeps the largest absolute value that was seen."""
    for piece in pieces:
        if piece.size:
            highest[0] = max(highest[0], float(piece.max()), -float(piece.min()))
        yield piece
