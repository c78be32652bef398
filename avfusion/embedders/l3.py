"""The L3-Nets of `avfusion.l3` as embedders: `demo` and `openl3`."""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from avfusion.embedders import Embedder, JsonValue, Loader, Option
from avfusion.embedders.options import read_options
from avfusion.errors import UserError

if TYPE_CHECKING:
    from avfusion.l3.api import L3

OPTIONS: dict[str, dict[str, Option]] = {
    "demo": {"hop": 0.2, "centred": True},
    "openl3": {
        "hop": 0.1,
        "centred": True,
        "input_repr": "mel256",
        "content_type": "env",
        "audio_size": 512,
        "image_size": 512,
    },
}
_SMALL_FRAMES = "a side below 224 pixels: scaled up to a shorter side of 256, values in [0, 1]"


class L3Embedder:
    """An `L3` with a fixed hop; see `avfusion.embedders.Embedder`."""

    def __init__(self, name: str, network: "L3", hop: float, centred: bool) -> None:
        self.name = name
        self.hop = hop
        self._network = network
        self._centred = centred
        self.provenance = self._provenance()

    def embed_audio(self, samples: npt.NDArray[np.float32], sample_rate: int) -> npt.NDArray[np.float32]:
        """Samples [n, channels] at `sample_rate` Hz -> [T, D]."""
        return self._network.embed_sound(samples, sample_rate, self.hop, self._centred).values

    def embed_audio_blocks(
        self, blocks: Iterable[npt.NDArray[np.float32]], sample_rate: int
    ) -> npt.NDArray[np.float32]:
        """Sound in blocks, each [n, channels] -> the same [T, D]; memory does not grow with their number."""
        return self._network.embed_sound_blocks(blocks, sample_rate, self.hop, self._centred).values

    def embed_video(self, frames: Iterable[npt.NDArray[np.uint8]]) -> npt.NDArray[np.float32]:
        """The frames of one clip, each [H, W, 3] RGB -> [N, D]."""
        return self._network.embed_frames(frames).values

    def prepare_audio(
        self, blocks: Iterable[npt.NDArray[np.float32]], sample_rate: int
    ) -> Iterator[npt.NDArray[np.float32]]:
        """Sound in blocks, each [n, channels] -> pieces [n_i] of the mono sound at 48 kHz."""
        return self._network.prepare_sound(blocks, sample_rate)

    def prepare_video(self, frames: Iterable[npt.NDArray[np.uint8]]) -> Iterator[npt.NDArray[np.float32]]:
        """The frames of one clip, each [H, W, 3] RGB -> as many pictures [side, side, 3]."""
        return self._network.prepare_frames(frames)

    def embed_prepared_audio(self, pieces: Iterable[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
        """What `prepare_audio` gave -> [T, D]."""
        return self._network.embed_prepared_sound(pieces, self.hop, self._centred).values

    def embed_prepared_video(self, pictures: Iterable[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
        """What `prepare_video` gave -> [N, D]."""
        return self._network.embed_prepared_frames(pictures).values

    def n_windows(self, n_samples: int, sample_rate: int) -> int:
        """The T that `embed_audio` will give."""
        return self._network.n_windows(n_samples, sample_rate, self.hop, self._centred)

    def save_weights(self, path: Path) -> None:
        """Write the weights of both subnetworks as one safetensors file."""
        from avfusion.l3.weights import save_weights

        save_weights(path, self._network.loaded.networks, {"preset": self._network.config.preset})

    def _provenance(self) -> dict[str, JsonValue]:
        config, loaded = self._network.config, self._network.loaded
        provenance: dict[str, JsonValue] = {
            "name": self.name,
            "preset": config.preset,
            "weights": loaded.digest,
            "trained": loaded.trained,
            "precision": self._network.precision,
            "device": self._network.device.type,
            "hop": self.hop,
            "centred": self._centred,
            "input_repr": config.input_repr,
            "content_type": config.content_type,
            "audio_size": config.audio.embedding_size,
            "image_size": config.image.embedding_size,
        }
        if loaded.trained:
            provenance["weights_files"] = [
                str(Path(file).absolute()) for file in dict.fromkeys(loaded.origins.values())
            ]
        if config.pictures == "openl3":
            provenance["small_frames"] = _SMALL_FRAMES
        return provenance


def _load(name: str, *, weights: str | None, precision: str, device: str, options: Mapping[str, Option]) -> Embedder:
    """`demo`: weights are safetensors or `untrained`; `openl3`: see `avfusion.l3.openl3_files`."""
    from avfusion.l3.api import load_l3  # here: torch is most of the start of who only asks for names

    chosen = read_options(OPTIONS[name], options)
    hop, centred = float(chosen.pop("hop")), bool(chosen.pop("centred"))
    if not 0 < hop < float("inf"):
        raise UserError(f"embedder option hop={hop}; expected seconds above 0, for instance 0.1")
    sizes: dict[str, Any] = chosen  # what is left are the arguments of the preset
    network = load_l3(name, weights=weights, precision=precision, device=device, **sizes)
    return L3Embedder(name, network, hop, centred)


EMBEDDERS: dict[str, Loader] = {name: partial(_load, name) for name in OPTIONS}
