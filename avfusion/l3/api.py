"""L3 embeddings of arrays and files, for people who want nothing else: see `load_l3`.

Arrays need torch and numpy alone, Keras weights h5py as well; files are decoded by PyAV. Shapes: T windows of sound, N
frames, D values of an embedding (512 unless a size was chosen).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from avfusion.errors import UserError
from avfusion.l3.framing import count_windows, cut_windows, hop_samples, timestamps
from avfusion.l3.frontend import Frontend
from avfusion.l3.loading import LoadedNetworks, load_networks
from avfusion.l3.pictures import network_pictures
from avfusion.l3.presets import BRANCHES, SAMPLE_RATE, Branch, L3Config, preset_config
from avfusion.l3.resample import resampled_length
from avfusion.l3.runtime import Runner, batched, check_precision, choose_precision, joined, subnetwork_runner
from avfusion.l3.sound import checked_sound, stream_mono
from avfusion.l3.values import AnyArray
from avfusion.l3.winograd import VERSION, uses_winograd
from avfusion.system.device import choose_device

Values = npt.NDArray[np.float32]

_BLOCK = 2**18  # samples of a long sound that are prepared at a time


class Embeddings(NamedTuple):
    """Embeddings in time."""

    values: Values  # [T, D]
    timestamps: npt.NDArray[np.float64]  # [T], seconds


@dataclass(frozen=True)
class ClipEmbeddings:
    """What one file holds; None for a stream that it does not have."""

    sound: Embeddings | None
    pictures: Embeddings | None


class L3:
    """An L3-Net that embeds sound and pictures; made by `load_l3`.

    It is an embedder (`avfusion.embedders.base`), of the kind whose preparation other machines can do.

    Attributes:
        config: every size of the network.
        loaded: the subnetworks and the origin of their weights.
        device, precision: where and how it computes, resolved ("float32" or "bf16").
        hop: seconds between the beginnings of two windows of sound.
        centred: window i is centred on second i * hop instead of beginning there.
    """

    def __init__(
        self,
        config: L3Config,
        loaded: LoadedNetworks,
        device: torch.device,
        precision: str,
        hop: float | None = None,
        centred: bool = True,
    ) -> None:
        """Without `hop`, the preset's; UserError for one that is not above 0."""
        self.config = config
        self.loaded = loaded
        self.device = device
        self.precision = precision
        self.hop = config.hop if hop is None else hop
        self.centred = centred
        hop_samples(self.hop)
        exact = config.preset == "openl3" and precision == "float32"
        self._frontend = Frontend(config.frontend, original_rounding=exact).to(device)
        self._runners: dict[Branch, Runner] = {}  # made when first needed: who only prepares has no use for them

    @property
    def name(self) -> str:
        """The preset."""
        return self.config.preset

    @property
    def provenance(self) -> dict[str, Any]:
        """What fixes the embeddings; see `avfusion.embedders.base.Embedder`."""
        computed: dict[str, Any] = {"precision": self.precision, "device": self.device.type}
        if "audio" in self.loaded.networks:
            computed |= {"hop": self.hop, "centred": self.centred}
        if any(uses_winograd(network.config, self.device, self.precision) for network in self.loaded.networks.values()):
            computed["convolutions"] = VERSION
        return self.loaded.provenance(self.config) | computed

    def embed_sound(self, samples: npt.NDArray[np.generic], sample_rate: int) -> Embeddings:
        """Embeddings [T, D] of one-second windows every `hop` seconds.

        Args:
            samples: [n] or [n, channels], full scale +-1; channels are averaged.
            sample_rate: Hz, a whole number; other rates than 48,000 are resampled.

        Raises:
            UserError: empty sound, another shape, or a rate that is not positive.
        """
        samples = checked_sound(samples)
        values = self.embed_audio((samples[at : at + _BLOCK] for at in range(0, len(samples), _BLOCK)), sample_rate)
        return Embeddings(values, timestamps(len(values), self.hop))

    def embed_frames(self, frames: Iterable[AnyArray], frame_rate: float | None = None) -> Embeddings:
        """Embeddings [N, D] of one clip's frames, each [H, W, 3] RGB; few are in memory at a time.

        Timestamps are i / `frame_rate`, or i where the rate is not given. OpenL3's value range depends
        on the whole clip (see `avfusion.l3.pictures`), so pass whole clips. Raises UserError for frames
        of another shape, no frames, or a rate that is not positive.
        """
        if frame_rate is not None and frame_rate <= 0:
            raise UserError(f"frame rate is {frame_rate}; expected frames per second above 0")
        if isinstance(frames, np.ndarray) and frames.ndim == 3:
            frames = frames[None]
        values = self.embed_video(frames)
        return Embeddings(values, np.arange(len(values)) / (frame_rate or 1.0))

    def embed_file(self, path: str | Path) -> ClipEmbeddings:
        """Embeddings of a sound or video file's streams, all frames of it; needs PyAV.

        Raises UserError for a file that cannot be read or has neither sound nor pictures.
        """
        from avfusion.l3.files import pictures_of, sound_of

        results: dict[Branch, Embeddings | str] = {}
        if "audio" in self.loaded.networks:
            results["audio"] = sound_of(Path(path), self.embed_sound)
        if "image" in self.loaded.networks:
            results["image"] = pictures_of(Path(path), self.embed_frames)
        found = {branch: result for branch, result in results.items() if isinstance(result, Embeddings)}
        if not found:
            reasons = "; ".join(str(result) for result in results.values())
            raise UserError(f"{path} cannot be embedded: {reasons}")
        return ClipEmbeddings(found.get("audio"), found.get("image"))

    def embed_audio(self, blocks: Iterable[npt.NDArray[np.generic]], sample_rate: int) -> Values:
        """Sound that comes in blocks, [n_i] or [n_i, channels] -> [T, D], the same bits however it is cut.

        Memory grows with the sound by its embeddings alone.
        """
        return self.embed_prepared_audio(self.prepare_audio(blocks, sample_rate))

    def embed_video(self, frames: Iterable[AnyArray]) -> Values:
        """The frames of one clip, each [H, W, 3] RGB -> [N, D]; UserError if there are none."""
        return self.embed_prepared_video(self.prepare_video(frames))

    def prepare_audio(self, blocks: Iterable[npt.NDArray[np.generic]], sample_rate: int) -> Iterator[Values]:
        """What of `embed_audio` needs no network: pieces [n_i] of the mono sound at 48 kHz."""
        return stream_mono(blocks, sample_rate, SAMPLE_RATE)

    def prepare_video(self, frames: Iterable[AnyArray]) -> Iterator[Values]:
        """What of `embed_video` needs no network: one clip's pictures [side, side, 3]."""
        return network_pictures(frames, self.config)

    def embed_prepared_audio(self, pieces: Iterable[Values]) -> Values:
        """The rest: what `prepare_audio` gave, however it is cut -> [T, D]."""
        runner = self.runner("audio")
        windows = cut_windows(pieces, self.hop, self.centred, runner.batch_size)
        return joined(runner.stream(self._spectrograms(batch) for batch in windows))

    def embed_prepared_video(self, pictures: Iterable[Values]) -> Values:
        """The rest: what `prepare_video` gave -> [N, D]."""
        runner = self.runner("image")
        batches = batched(iter(pictures), runner.batch_size)
        values = joined(runner.stream(torch.from_numpy(batch).permute(0, 3, 1, 2) for batch in batches))
        if not len(values):
            raise UserError("the clip has no frames; expected at least one")
        return values

    def n_windows(self, n_samples: int, sample_rate: int) -> int:
        """The T that `n_samples` samples will give."""
        return count_windows(resampled_length(n_samples, sample_rate, SAMPLE_RATE), self.hop, self.centred)

    def n_frames(self, seconds: float, n_windows: int) -> int:
        """How many pictures to take of a clip: as many as there are windows of sound (DCASE recipe)."""
        return n_windows

    def save_weights(self, path: Path) -> None:
        """Write the weights of the subnetworks as one safetensors file."""
        from avfusion.l3.weights import save_weights

        save_weights(path, self.loaded.networks, {"preset": self.config.preset})

    def runner(self, branch: Branch) -> Runner:
        """The network of one branch, ready to run; UserError if it was not loaded."""
        if branch not in self.loaded.networks:
            raise UserError(f"this network was loaded without its {branch} part; load_l3(branches=...)")
        if branch not in self._runners:
            self._runners[branch] = subnetwork_runner(self.loaded.networks[branch], self.device, self.precision)
        return self._runners[branch]

    def _spectrograms(self, windows: Values) -> torch.Tensor:
        with torch.inference_mode():
            pictures: torch.Tensor = self._frontend(torch.from_numpy(windows.copy()).to(self.device))
        return pictures


def load_l3(
    preset: str = "openl3",
    *,
    weights: str | Path | None = None,
    branches: Sequence[Branch] = BRANCHES,
    precision: str = "float32",
    device: str = "auto",
    hop: float | None = None,
    centred: bool = True,
    **options: str | int,
) -> L3:
    """An L3-Net by name: `openl3`, or `demo`, which is small and needs no download.

    Args:
        weights: None (the preset's own), `untrained`, or a path; see `avfusion.l3.loading`.
        branches: `audio`, `image` or both; only their weights are looked for.
        precision: `float32` (parity with the original), `bf16` (for hardware that
            multiplies bf16; relative error about 1e-2), or `auto`.
        device: `auto`, `cpu` or `cuda`.
        hop: seconds between windows of sound, above 0; by default the preset's, 0.1 of `openl3` and 0.2 of `demo`.
        centred: windows are centred on the multiples of `hop`, instead of beginning there.
        options: for `openl3`: input_repr, content_type, audio_size, image_size.

    Raises:
        UserError: unknown names, listing the choices; weights that cannot be had; a precision that the device lacks.

    >>> import numpy as np
    >>> l3 = load_l3("demo", device="cpu", hop=0.5)
    >>> tone = np.sin(2 * np.pi * 440 * np.arange(44_100) / 44_100)  # one second at 44.1 kHz
    >>> values, seconds = l3.embed_sound(tone, 44_100)
    >>> values.shape, seconds
    ((2, 512), array([0. , 0.5]))
    >>> values, seconds = l3.embed_frames(np.zeros((3, 72, 128, 3), np.uint8), frame_rate=25)
    >>> values.shape, seconds
    ((3, 512), array([0.  , 0.04, 0.08]))

    A file gives both: `clip = l3.embed_file("clip.mp4")` has `clip.sound` and `clip.pictures`, each like the above or
    None. OpenL3 is `load_l3("openl3", input_repr="mel256", content_type="env", audio_size=512, image_size=512)`.
    """
    config = preset_config(preset, **options)
    chosen = choose_device(device)
    numbers = choose_precision(precision, chosen)
    check_precision(numbers, chosen)
    return L3(config, load_networks(config, weights, branches), chosen, numbers, hop, centred)
