"""What all networks of pictures have in common as embedders: so many pictures a second, batch by batch."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from avfusion.embedders.base import Array, Frame, Prepared
from avfusion.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from avfusion.l3.runtime import Runner


class PicturesPerSecond(ABC):
    """An embedder of pictures (`avfusion.embedders.base.SplitPictures`) by a network: `frames` pictures a second."""

    def __init__(self, name: str, frames: float) -> None:
        """UserError unless `frames` is above 0."""
        if not 0 < frames < float("inf"):
            raise UserError(f"frames={frames:g}; {name} expects pictures per second, above 0, for instance 1")
        self.name, self._frames = name, frames

    @property
    @abstractmethod
    def _runner(self) -> "Runner":
        """The network, ready to run."""

    @abstractmethod
    def prepare_video(self, frames: Iterable[Frame]) -> Iterator[Prepared]:
        """The frames of one clip, each [H, W, 3] RGB -> as many pictures, by what needs no network."""

    @abstractmethod
    def _inputs(self, pictures: Prepared) -> "Tensor":
        """What the network takes of `pictures` [B, ...], a batch of what `prepare_video` gives."""

    def n_frames(self, seconds: float, n_windows: int) -> int:
        """`frames` for each second, one for what is left."""
        return max(1, math.ceil(round(seconds * self._frames, 6)))

    def embed_video(self, frames: Iterable[Frame]) -> Array:
        """The frames of one clip, each [H, W, 3] RGB -> [N, D]; UserError if there are none."""
        return self.embed_prepared_video(self.prepare_video(frames))

    def embed_prepared_video(self, pictures: Iterable[Prepared]) -> Array:
        """What `prepare_video` gave -> [N, D]."""
        from avfusion.l3.runtime import batched, joined  # here: torch takes long to import

        values = joined(self._runner.stream(map(self._inputs, batched(iter(pictures), self._runner.batch_size))))
        if not len(values):
            raise UserError("the clip has no frames; expected at least one")
        return values
