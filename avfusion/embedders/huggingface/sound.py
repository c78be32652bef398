"""A model of sound as an embedder.

Windows of w samples begin every h. The last one ends with the sound instead, so that each window is full, and sound
shorter than a window is left to the model's own way of filling it up. What is less than a twentieth of h beyond the
last window is left out: files of ten seconds often have a few milliseconds more.
"""

from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from avfusion.embedders.base import Array
from avfusion.embedders.huggingface.model import load_model
from avfusion.embedders.huggingface.networks import loading
from avfusion.errors import UserError
from avfusion.l3.resample import resampled_length
from avfusion.l3.runtime import Runner, joined
from avfusion.l3.sound import stream_mono

_BATCH = 2  # windows of a call on a processor
_UNSAID = 10  # seconds of a window, of models that take any
_SHORTEST = 0.1  # seconds; some models cannot take less
_LEFT_OUT = 20  # a rest of 1/20 hop gets no window


class ModelSound:
    """An embedder of sound (`avfusion.embedders.base.SplitSound`): D values per window, every `hop` seconds."""

    def __init__(self, *, model: str, weights: str | None, precision: str, device: str, hop: float) -> None:
        """Arguments as of `load_model`; `hop` 0 is as long as a window. UserError for a hop below a sample."""
        self._loaded = load_model("audio", model, weights, precision, device)
        self._rate = int(self._loaded.preparation.sampling_rate)
        self._window = window_of(self._loaded.preparation)
        self._hop = self._window if hop == 0 else round(hop * self._rate) if 0 < hop < float("inf") else 0
        if self._hop < 1:
            raise UserError(f"hop={hop:g}; hf:{model} expects seconds between windows, above 0, for instance 5")
        self.name, self.hop = self._loaded.name, self._hop / self._rate
        with loading(self.name):  # what does not fit together shows here, and not with every clip
            self._dim = self.embed_prepared_audio([np.zeros(1, np.float32)]).shape[1]

    @property
    def provenance(self) -> dict[str, Any]:
        """What fixes the features."""
        return self._loaded.provenance | {"hop": self.hop, "window": self._window / self._rate, "dim": self._dim}

    @cached_property
    def _runner(self) -> Runner:
        """Made when first needed, since who only prepares has no use for it."""
        return self._loaded.runner(_BATCH)

    def n_windows(self, n_samples: int, sample_rate: int) -> int:
        """The T that `embed_audio` will give."""
        return count_windows(resampled_length(n_samples, sample_rate, self._rate), self._window, self._hop)

    def embed_audio(self, blocks: Iterable[Array], sample_rate: int) -> Array:
        """Sound in blocks, each [n, channels] -> [T, D]."""
        return self.embed_prepared_audio(self.prepare_audio(blocks, sample_rate))

    def prepare_audio(self, blocks: Iterable[Array], sample_rate: int) -> Iterator[Array]:
        """What of it needs no network: pieces [n_i] of the mono sound at the model's rate."""
        return stream_mono(blocks, sample_rate, self._rate)

    def embed_prepared_audio(self, pieces: Iterable[Array]) -> Array:
        """The rest -> [T, D]."""
        return joined(self._runner.stream(self._inputs(stream_windows(pieces, self._window, self._hop))))

    def _inputs(self, windows: Iterator[Array]) -> Iterator[Tensor]:
        """Windows as the model's own feature extractor prepares them, in batches."""
        least = int(_SHORTEST * self._rate)
        while batch := list(islice(windows, self._runner.batch_size)):
            filled = [np.pad(window, (0, max(0, least - window.size))) for window in batch]
            prepared = self._loaded.preparation(filled, sampling_rate=self._rate, return_tensors="np")
            yield torch.from_numpy(np.asarray(prepared[self._loaded.preparation.model_input_names[0]], np.float32))

    def save_weights(self, path: Path) -> None:
        """Write weights and settings as one safetensors file."""
        self._loaded.save(path)


def window_of(extractor: Any) -> int:
    """Samples that a model takes at once, after its feature extractor; ten seconds where that does not say it."""
    from transformers import ASTFeatureExtractor

    rate = int(extractor.sampling_rate)
    if isinstance(extractor, ASTFeatureExtractor):  # it counts frames of 25 ms, every 10 ms
        return rate * 25 // 1000 + (int(extractor.max_length) - 1) * (rate // 100)
    told = (getattr(extractor, name, None) for name in ("nb_max_samples", "n_samples"))  # of CLAP, of Whisper
    return int(next(filter(None, told), _UNSAID * rate))


def count_windows(n_samples: int, window: int, hop: int) -> int:
    """How many windows `n_samples` have."""
    return 1 + max(0, -((window + hop // _LEFT_OUT - n_samples) // hop))


def stream_windows(pieces: Iterable[Array], window: int, hop: int) -> Iterator[Array]:
    """Sound in `pieces` [n_i] -> its windows [window], or all of it where it is shorter.

    The bits do not depend on how the sound is cut, and no more than a window waits beside a piece. Raises UserError for
    empty sound.
    """
    waiting, n_waiting, first, n_given = [np.zeros(0, np.float32)], 0, 0, 0  # `first`: the number of the first sample
    for piece in pieces:
        waiting.append(piece)
        n_waiting += piece.size
        if first + n_waiting < n_given * hop + window:
            continue
        heard = np.concatenate(waiting)
        while first + heard.size >= n_given * hop + window:
            start = n_given * hop - first
            yield heard[start : start + window]
            n_given += 1
        kept = heard[max(0, min(n_given * hop - first, heard.size - window)) :].copy()
        first += heard.size - kept.size
        waiting, n_waiting = [kept], kept.size
    if first + n_waiting == 0:
        raise UserError("the sound is empty; expected at least one sample")
    if n_given < count_windows(first + n_waiting, window, hop):
        yield np.concatenate(waiting)[-window:]
