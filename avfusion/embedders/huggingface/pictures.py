"""A model of pictures as an embedder."""

import math
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avfusion.embedders.base import Array, Frame
from avfusion.embedders.huggingface.model import load_model
from avfusion.embedders.huggingface.networks import loading
from avfusion.errors import UserError
from avfusion.l3.runtime import Runner, batched, joined

_BATCH = 4  # pictures of a call on a processor


class ModelPictures:
    """An embedder of pictures (`avfusion.embedders.base.SplitPictures`): D values each, `frames` a second."""

    def __init__(self, *, model: str, weights: str | None, precision: str, device: str, frames: float) -> None:
        """Arguments as of `load_model`; UserError also for `frames` that are not above 0."""
        if not 0 < frames < float("inf"):
            raise UserError(f"frames={frames:g}; hf:{model} expects pictures per second, above 0, for instance 1")
        self._loaded = load_model("video", model, weights, precision, device)
        self.name, self._frames = self._loaded.name, frames
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

    def n_frames(self, seconds: float, n_windows: int) -> int:
        """`frames` for each second, one for what is left."""
        return max(1, math.ceil(round(seconds * self._frames, 6)))

    def embed_video(self, frames: Iterable[Frame]) -> Array:
        """The frames of one clip, each [H, W, 3] RGB -> [N, D]; UserError if there are none."""
        return self.embed_prepared_video(self.prepare_video(frames))

    def prepare_video(self, frames: Iterable[Frame]) -> Iterator[Array]:
        """What of it needs no network, by the model's own processor: float32 [3, height, width]."""
        for frame in frames:
            prepared = self._loaded.preparation(frame, return_tensors="np", input_data_format="channels_last")
            yield np.asarray(prepared["pixel_values"][0], np.float32)

    def embed_prepared_video(self, pictures: Iterable[Array]) -> Array:
        """The rest -> [N, D]."""
        batches = batched(iter(pictures), self._runner.batch_size)
        values = joined(self._runner.stream(map(torch.from_numpy, batches)))
        if not len(values):
            raise UserError("the clip has no frames; expected at least one")
        return values

    def save_weights(self, path: Path) -> None:
        """Write weights and settings as one safetensors file."""
        self._loaded.save(path)
