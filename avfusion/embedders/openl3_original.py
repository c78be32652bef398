"""The original `openl3` package as an embedder: `openl3-original`, for comparison with ours.

It needs Python 3.11 and brings TensorFlow, therefore it is the extra `avfusion[openl3]`.
"""

import importlib
import importlib.metadata
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from avfusion.embedders.base import Array, Entry, Offer, Option
from avfusion.errors import UserError
from avfusion.l3.framing import count_windows
from avfusion.l3.presets import SAMPLE_RATE, openl3_config
from avfusion.l3.resample import resampled_length

_NAME = "openl3-original"
_DEFAULTS: dict[str, Option] = {
    "hop": 0.1,
    "centred": True,
    "input_repr": "mel256",
    "content_type": "env",
    "audio_size": 512,
    "image_size": 512,
    "batch_size": 4,
}


class OriginalOpenL3:
    """An `avfusion.embedders.Embedder` over `get_audio_embedding` and `get_image_embedding`.

    The original takes a clip's frames as one array, so memory does grow with their number, and it
    refuses frames with a side below 224 pixels.
    """

    def __init__(self, openl3: ModuleType, options: Mapping[str, Option]) -> None:
        self.name = _NAME
        self.hop = float(options["hop"])
        self._openl3 = openl3
        self._options = options
        # both are loaded once: the functions would otherwise build their model anew for every clip
        representation, content = options["input_repr"], options["content_type"]
        models = openl3.models
        self.audio_model = models.load_audio_embedding_model(representation, content, options["audio_size"])
        self.image_model = models.load_image_embedding_model(representation, content, options["image_size"])
        self.provenance: dict[str, Any] = {
            **options,
            "name": _NAME,
            "preset": "openl3",
            "weights": f"openl3 {_version()}",
            "trained": True,
            "precision": "float32",
            "device": "tensorflow",
        }

    def embed_audio(self, blocks: Iterable[Array], sample_rate: int) -> Array:
        """Sound in blocks, each [n, channels] -> [T, D]; the original takes it as one array."""
        embedding, _ = self._call(
            self._openl3.get_audio_embedding,
            np.concatenate(list(blocks)),
            sample_rate,
            model=self.audio_model,
            center=self._options["centred"],
            hop_size=self.hop,
        )
        return np.asarray(embedding, dtype=np.float32)

    def embed_video(self, frames: Iterable[npt.NDArray[np.uint8]]) -> Array:
        """The frames of one clip, each [H, W, 3] RGB -> [N, D]."""
        stacked = list(frames)
        if len({frame.shape for frame in stacked}) != 1:
            raise UserError(f"{_NAME}: the clip has no frames, or its frame size changes")
        embedding = self._call(self._openl3.get_image_embedding, np.stack(stacked), model=self.image_model)
        return np.asarray(embedding, dtype=np.float32)

    def n_windows(self, n_samples: int, sample_rate: int) -> int:
        """The T that `embed_audio` will give."""
        resampled = resampled_length(n_samples, sample_rate, SAMPLE_RATE)
        return count_windows(resampled, self.hop, bool(self._options["centred"]))

    def n_frames(self, seconds: float, n_windows: int) -> int:
        """As many pictures as there are windows of sound."""
        return n_windows

    def _call(self, function: Callable[..., Any], *arguments: object, **named: object) -> Any:
        """Calls the original quietly; its complaints about a clip become one line."""
        try:
            return function(*arguments, **named, batch_size=self._options["batch_size"], verbose=False)
        except Exception as error:
            if type(error).__name__ != "OpenL3Error":
                raise
            raise UserError(f"{_NAME}: {' '.join(str(error).split())}") from None


def _version() -> str:
    try:
        return importlib.metadata.version("openl3")
    except importlib.metadata.PackageNotFoundError:
        return "of unknown version"


def _load(*, weights: str | None, precision: str, device: str, **options: Any) -> OriginalOpenL3:
    sizes = {key: options[key] for key in ("input_repr", "content_type", "audio_size", "image_size")}
    openl3_config(**sizes)  # refuses names that the original does not have
    if weights is not None or precision not in ("float32", "auto") or device not in ("auto", "cpu", "cuda"):
        raise UserError(
            f"{_NAME} runs with its own weights, precision and device; got weights={weights}, "
            f"precision={precision}, device={device}; leave them at none, float32, auto"
        )
    try:
        openl3 = importlib.import_module("openl3")
    except ImportError as error:
        raise UserError(
            f"{_NAME} needs the package openl3 ({error}): on Python 3.11, pip install -e '.[openl3]' in avfusion's "
            "clone; or use embedder=openl3, which computes the same"
        ) from None
    return OriginalOpenL3(openl3, options)


EMBEDDERS = {_NAME: Entry(both=Offer(_load, _DEFAULTS, needs=("openl3",)))}
