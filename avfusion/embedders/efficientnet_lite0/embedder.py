"""EfficientNet-Lite0 as the embedder of pictures `efficientnet_lite0`."""

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from avfusion.embedders.base import Frame
from avfusion.embedders.efficientnet_lite0.network import (
    EMBEDDING_SIZE,
    NAME,
    SHIPPED,
    EfficientNetLite0,
    untrained_efficientnet_lite0,
)
from avfusion.embedders.efficientnet_lite0.pictures import normalised, stream_crops
from avfusion.embedders.per_second import PicturesPerSecond
from avfusion.embedders.pretrained.loading import Loaded, load_pretrained
from avfusion.l3.runtime import Runner

load_efficientnet_lite0 = partial(
    load_pretrained, NAME, EfficientNetLite0, untrained_efficientnet_lite0, SHIPPED, batch_size=4
)


class EfficientNetLite0Pictures(PicturesPerSecond):
    """1280 values a picture, `frames` pictures a second."""

    def __init__(self, loaded: Loaded[EfficientNetLite0], frames: float) -> None:
        super().__init__(loaded.name, frames)
        self._loaded = loaded

    @property
    def provenance(self) -> dict[str, Any]:
        """What fixes the features."""
        return self._loaded.provenance | {"frames": self._frames, "dim": EMBEDDING_SIZE}

    @property
    def _runner(self) -> Runner:
        return self._loaded.runner

    def prepare_video(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """Crops [224, 224, 3]."""
        return stream_crops(frames)

    def _inputs(self, pictures: Frame) -> Tensor:
        return normalised(pictures)

    def save_weights(self, path: Path) -> None:
        """Write them as one safetensors file."""
        self._loaded.save(path)
