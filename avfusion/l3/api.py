"""L3 embeddings of arrays and files, for people who want nothing else.

    from avfusion.l3.api import load_l3

    l3 = load_l3("openl3", input_repr="mel256", content_type="env", audio_size=512, image_size=512)
    values, seconds = l3.embed_sound(samples, 44_100)  # [T, 512], [T]
    values, seconds = l3.embed_frames(frames, frame_rate=25.0)  # [N, 512], [N]
    clip = l3.embed_file("clip.mp4")
    clip.sound, clip.pictures  # like the above

Arrays need torch and numpy alone, Keras weights h5py as well; files are decoded by PyAV.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from avfusion.errors import UserError
from avfusion.l3.area_pictures import stream_area_pictures
from avfusion.l3.framing import count_windows, cut_windows, timestamps
from avfusion.l3.frontend import Frontend
from avfusion.l3.loading import LoadedNetworks, load_networks
from avfusion.l3.pictures import stream_pictures
from avfusion.l3.presets import MODALITIES, SAMPLE_RATE, L3Config, Modality, preset_config
from avfusion.l3.resample import resample, resample_blocks, resampled_length
from avfusion.l3.runtime import Runner, batched, check_precision, choose_precision
from avfusion.l3.values import AnyArray
from avfusion.system.device import choose_device

_BLOCK = 2**18  # samples of a long sound that are prepared at a time


class Embeddings(NamedTuple):
    """Embeddings in time."""

    values: npt.NDArray[np.float32]  # [T, D]
    timestamps: npt.NDArray[np.float64]  # [T], seconds


@dataclass(frozen=True)
class ClipEmbeddings:
    """What one file holds; None for a stream that it does not have."""

    sound: Embeddings | None
    pictures: Embeddings | None


class L3:
    """An L3-Net that embeds; made by `load_l3`.

    Attributes:
        config: every size of the network.
        loaded: the subnetworks and the origin of their weights.
        device, precision: where and how it computes, resolved ("float32" or "bf16").
    """

    def __init__(self, config: L3Config, loaded: LoadedNetworks, device: torch.device, precision: str) -> None:
        self.config = config
        self.loaded = loaded
        self.device = device
        self.precision = precision
        exact = config.preset == "openl3" and precision == "float32"
        self._frontend = Frontend(config.frontend, original_rounding=exact).to(device)
        self._runners: dict[Modality, Runner] = {}  # made when first needed: who only prepares has no use for them

    def embed_sound(
        self,
        samples: npt.NDArray[np.generic],
        sample_rate: int,
        hop: float | None = None,
        centred: bool = True,
    ) -> Embeddings:
        """Embeddings [T, D] of one-second windows every `hop` seconds (default: the preset's).

        Args:
            samples: [n] or [n, channels], full scale +-1; channels are averaged.
            sample_rate: Hz, a whole number; other rates than 48,000 are resampled.
            centred: window i is centred on second i * hop instead of beginning there.

        Raises:
            UserError: empty sound, another shape, or a rate or hop that is not positive.
        """
        samples = _checked(samples)
        blocks = (samples[start : start + _BLOCK] for start in range(0, len(samples), _BLOCK))
        return self.embed_sound_blocks(blocks, sample_rate, hop, centred)

    def embed_sound_blocks(
        self,
        blocks: Iterable[npt.NDArray[np.generic]],
        sample_rate: int,
        hop: float | None = None,
        centred: bool = True,
    ) -> Embeddings:
        """`embed_sound` of a sound that comes in blocks, [n_i] or [n_i, channels]: the same bits.

        Memory grows with the sound by its embeddings alone.
        """
        return self.embed_prepared_sound(self.prepare_sound(blocks, sample_rate), hop, centred)

    def prepare_sound(
        self, blocks: Iterable[npt.NDArray[np.generic]], sample_rate: int
    ) -> Iterator[npt.NDArray[np.float32]]:
        """What of `embed_sound_blocks` needs no network: pieces [n_i] of the mono sound at 48 kHz."""
        mono = resample_blocks((_mono(block) for block in blocks), sample_rate, SAMPLE_RATE)
        return (piece.astype(np.float32) for piece in mono)

    def embed_prepared_sound(
        self, pieces: Iterable[npt.NDArray[np.float32]], hop: float | None = None, centred: bool = True
    ) -> Embeddings:
        """The rest: Embeddings [T, D] of what `prepare_sound` gave, however it is cut."""
        hop = self.config.hop if hop is None else hop
        runner = self.runner("audio")
        windows = cut_windows(pieces, hop, centred, runner.batch_size)
        values = _joined(runner.stream(self._spectrograms(batch) for batch in windows))
        return Embeddings(values, timestamps(len(values), hop))

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
        return self.embed_prepared_frames(self.prepare_frames(frames), frame_rate)

    def prepare_frames(self, frames: Iterable[AnyArray]) -> Iterator[npt.NDArray[np.float32]]:
        """What of `embed_frames` needs no network: one clip's pictures [side, side, 3]."""
        if self.config.pictures == "area":
            return stream_area_pictures(frames, self.config.image.input_size[0])
        return stream_pictures(frames)

    def embed_prepared_frames(
        self, pictures: Iterable[npt.NDArray[np.float32]], frame_rate: float | None = None
    ) -> Embeddings:
        """The rest: Embeddings [N, D] of what `prepare_frames` gave."""
        runner = self.runner("image")
        values = _joined(
            runner.stream(
                torch.from_numpy(batch).permute(0, 3, 1, 2) for batch in batched(iter(pictures), runner.batch_size)
            )
        )
        if not len(values):
            raise UserError("the clip has no frames; expected at least one")
        return Embeddings(values, np.arange(len(values)) / (frame_rate or 1.0))

    def embed_file(self, path: str | Path, hop: float | None = None, centred: bool = True) -> ClipEmbeddings:
        """Embeddings of a sound or video file's streams, all frames of it; needs PyAV.

        Raises UserError for a file that cannot be read or has neither sound nor pictures.
        """
        from avfusion.l3.files import pictures_of, sound_of

        results: dict[Modality, Embeddings | str] = {}
        if "audio" in self.loaded.networks:
            results["audio"] = sound_of(Path(path), partial(self.embed_sound, hop=hop, centred=centred))
        if "image" in self.loaded.networks:
            results["image"] = pictures_of(Path(path), self.embed_frames)
        found = {modality: result for modality, result in results.items() if isinstance(result, Embeddings)}
        if not found:
            reasons = "; ".join(str(result) for result in results.values())
            raise UserError(f"{path} cannot be embedded: {reasons}")
        return ClipEmbeddings(found.get("audio"), found.get("image"))

    def n_windows(self, n_samples: int, sample_rate: int, hop: float | None = None, centred: bool = True) -> int:
        """The T that `embed_sound` will give for `n_samples` samples."""
        resampled = resampled_length(n_samples, sample_rate, SAMPLE_RATE)
        return count_windows(resampled, self.config.hop if hop is None else hop, centred)

    def _spectrograms(self, windows: npt.NDArray[np.float32]) -> torch.Tensor:
        with torch.inference_mode():
            pictures: torch.Tensor = self._frontend(torch.from_numpy(windows.copy()).to(self.device))
        return pictures

    def runner(self, modality: Modality) -> Runner:
        """The network of one modality, ready to run; UserError if it was not loaded."""
        if modality not in self.loaded.networks:
            raise UserError(f"this network was loaded without its {modality} part; load_l3(modalities=...)")
        if modality not in self._runners:
            self._runners[modality] = Runner(self.loaded.networks[modality], self.device, self.precision)
        return self._runners[modality]


def mono_48k(samples: npt.NDArray[np.generic], sample_rate: int) -> npt.NDArray[np.float32]:
    """Samples [n] or [n, channels] -> the mean over channels, resampled to 48 kHz, [n'] float32."""
    return resample(_mono(_checked(samples)), sample_rate, SAMPLE_RATE).astype(np.float32)


def _checked(samples: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    samples = np.asarray(samples)
    if samples.ndim not in (1, 2) or samples.size == 0:
        raise UserError(f"sound has shape {list(samples.shape)}; expected [samples, channels], not empty")
    return samples


def _mono(samples: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
    wide = samples.astype(np.float64)
    return wide.mean(axis=1) if wide.ndim == 2 else wide


def _joined(parts: Iterable[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    """Parts [n_i, D] as one array, in memory that grows in place: `np.concatenate` would need it twice."""
    content, width = bytearray(), 0
    for part in parts:
        content += np.ascontiguousarray(part).data
        width = part.shape[1]
    return np.frombuffer(content, np.float32).reshape(-1, max(1, width))


def load_l3(
    preset: str = "openl3",
    *,
    weights: str | Path | None = None,
    modalities: Sequence[Modality] = MODALITIES,
    precision: str = "float32",
    device: str = "auto",
    **options: str | int,
) -> L3:
    """An L3-Net by name: `openl3` or `demo`.

    Args:
        weights: None (the preset's own), `untrained`, or a path; see `avfusion.l3.loading`.
        modalities: `audio`, `image` or both; only their weights are looked for.
        precision: `float32` (parity with the original), `bf16` (for hardware that
            multiplies bf16; relative error about 1e-2), or `auto`.
        device: `auto`, `cpu` or `cuda`.
        options: for `openl3`: input_repr, content_type, audio_size, image_size.

    Raises:
        UserError: unknown names, listing the choices; weights that cannot be had; a precision that the device lacks.
    """
    config = preset_config(preset, **options)
    chosen = choose_device(device)
    numbers = choose_precision(precision, chosen)
    check_precision(numbers, chosen)
    return L3(config, load_networks(config, weights, modalities), chosen, numbers)
