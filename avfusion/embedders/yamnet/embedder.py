"""YAMNet as the embedder of sound `yamnet`."""

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from avfusion.embedders.base import Array
from avfusion.embedders.pretrained.loading import Loaded, load_pretrained
from avfusion.embedders.yamnet.frontend import HOP_SECONDS, SAMPLE_RATE, count_patches, stream_patches
from avfusion.embedders.yamnet.network import EMBEDDING_SIZE, NAME, SHIPPED, YAMNet, untrained_yamnet
from avfusion.errors import UserError
from avfusion.l3.resample import resampled_length
from avfusion.l3.runtime import joined
from avfusion.l3.sound import stream_mono

load_yamnet = partial(load_pretrained, NAME, YAMNet, untrained_yamnet, SHIPPED, batch_size=16)


class YAMNetSound:
    """An embedder of sound (`avfusion.embedders.base.SplitSound`): 1024 values per 0.96 s, every `hop` seconds."""

    def __init__(self, loaded: Loaded[YAMNet], hop: float) -> None:
        """UserError for a hop that is not a multiple of 0.01 s, the step of the spectrogram, above 0."""
        self._hop_frames = round(hop / HOP_SECONDS) if 0 < hop < float("inf") else 0
        if self._hop_frames < 1 or abs(self._hop_frames * HOP_SECONDS - hop) > 1e-9:
            raise UserError(f"hop={hop:g}; {NAME} expects a multiple of {HOP_SECONDS} seconds, for instance 0.48")
        self.name, self.hop = loaded.name, hop
        self._loaded = loaded

    @property
    def provenance(self) -> dict[str, Any]:
        """What fixes the features."""
        return self._loaded.provenance | {"hop": self.hop, "dim": EMBEDDING_SIZE}

    def n_windows(self, n_samples: int, sample_rate: int) -> int:
        """The T that `embed_audio` will give."""
        return count_patches(resampled_length(n_samples, sample_rate, SAMPLE_RATE), self._hop_frames)

    def embed_audio(self, blocks: Iterable[Array], sample_rate: int) -> Array:
        """Sound in blocks, each [n, channels] -> [T, 1024]."""
        return self.embed_prepared_audio(self.prepare_audio(blocks, sample_rate))

    def prepare_audio(self, blocks: Iterable[Array], sample_rate: int) -> Iterator[Array]:
        """What of it needs no network: pieces [n_i] of the mono sound at 16 kHz."""
        return stream_mono(blocks, sample_rate, SAMPLE_RATE)

    def embed_prepared_audio(self, pieces: Iterable[Array]) -> Array:
        """The rest -> [T, 1024]."""
        runner = self._loaded.runner
        return joined(runner.stream(stream_patches(pieces, runner.batch_size, self._hop_frames)))

    def save_weights(self, path: Path) -> None:
        """Write them as one safetensors file."""
        self._loaded.save(path)
