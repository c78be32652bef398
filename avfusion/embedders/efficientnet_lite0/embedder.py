"""EfficientNet-Lite0 as the embedder of pictures `efficientnet_lite0`."""

import math
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from avfusion.embedders.base import Array, Frame
from avfusion.embedders.efficientnet_lite0.network import (
    EMBEDDING_SIZE,
    NAME,
    SHIPPED,
    EfficientNetLite0,
    untrained_efficientnet_lite0,
)
from avfusion.embedders.efficientnet_lite0.pictures import normalised, stream_crops
from avfusion.embedders.pretrained.loading import Loaded, load_pretrained
from avfusion.errors import UserError
from avfusion.l3.runtime import batched, joined

load_efficientnet_lite0 = partial(
    load_pretrained, NAME, EfficientNetLite0, untrained_efficientnet_lite0, SHIPPED, batch_size=4
)


class EfficientNetLite0Pictures:
    """An embedder of pictures (`avfusion.embedders.base.SplitPictures`): 1280 values each, `frames` a second."""

    def __init__(self, loaded: Loaded[EfficientNetLite0], frames: float) -> None:
        """UserError unless `frames` is above 0."""
        if not 0 < frames < float("inf"):
            raise UserError(f"frames={frames:g}; {NAME} expects pictures per second, above 0, for instance 1")
        self.name = loaded.name
        self._loaded, self._frames = loaded, frames

    @property
    def provenance(self) -> dict[str, Any]:
        """What fixes the features."""
        return self._loaded.provenance | {"frames": self._frames, "dim": EMBEDDING_SIZE}

    def n_frames(self, seconds: float, n_windows: int) -> int:
        """`frames` for each second, one for what is left."""
        return max(1, math.ceil(round(seconds * self._frames, 6)))

    def embed_video(self, frames: Iterable[Frame]) -> Array:
        """The frames of one clip, each [H, W, 3] RGB -> [N, 1280]; UserError if there are none."""
        return self.embed_prepared_video(self.prepare_video(frames))

    def prepare_video(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """What of it needs no network: crops [224, 224, 3]."""
        return stream_crops(frames)

    def embed_prepared_video(self, pictures: Iterable[Frame]) -> Array:
        """The rest -> [N, 1280]."""
        runner = self._loaded.runner
        values = joined(runner.stream(map(normalised, batched(iter(pictures), runner.batch_size))))
        if not len(values):
            raise UserError("the clip has no frames; expected at least one")
        return values

    def save_weights(self, path: Path) -> None:
        """Write them as one safetensors file."""
        self._loaded.save(path)
