"""A model of pictures as an embedder."""

from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from avfusion.embedders.base import Array, Frame
from avfusion.embedders.huggingface.model import load_model
from avfusion.embedders.huggingface.networks import loading
from avfusion.embedders.per_second import PicturesPerSecond
from avfusion.l3.runtime import Runner

_BATCH = 4  # pictures of a call on a processor


class ModelPictures(PicturesPerSecond):
    """D values a picture, `frames` pictures a second."""

    def __init__(self, *, model: str, weights: str | None, precision: str, device: str, frames: float) -> None:
        """Arguments as of `load_model`; UserError also for `frames` that are not above 0."""
        super().__init__(f"hf:{model}", frames)
        self._loaded = load_model("video", model, weights, precision, device)
        with loading(self.name):  # what does not fit together shows here, and not with every clip
            self._dim = self.embed_video([np.zeros((48, 64, 3), np.uint8)]).shape[1]

    @property
    def provenance(self) -> dict[str, Any]:
        """What fixes the features."""
        return self._loaded.provenance | {"frames": self._frames, "dim": self._dim}

    @cached_property
    def _runner(self) -> Runner:
        """Made when first needed, since who only prepares has no use for it."""
        return self._loaded.runner(_BATCH)

    def prepare_video(self, frames: Iterable[Frame]) -> Iterator[Array]:
        """By the model's own processor: float32 [3, height, width]."""
        for frame in frames:
            prepared = self._loaded.preparation(frame, return_tensors="np", input_data_format="channels_last")
            yield np.asarray(prepared["pixel_values"][0], np.float32)

    def _inputs(self, pictures: Array) -> Tensor:
        return torch.from_numpy(pictures)

    def save_weights(self, path: Path) -> None:
        """Write weights and settings as one safetensors file."""
        self._loaded.save(path)
