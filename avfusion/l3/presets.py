"""The L3-Net presets: every size of the front-end, the two subnetworks and the picture preparation.

`openl3` follows OpenL3 (Cramer et al., "Look, Listen, and Learn More", ICASSP 2019; openl3 0.4.x).
`demo` has the same shape on a small scale, for machines and minutes where OpenL3 is too heavy.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from avfusion.errors import UserError, unknown

SAMPLE_RATE = 48_000  # Hz; every preset listens at this rate
WINDOW = 48_000  # samples of one audio window: one second

Branch = Literal["audio", "image"]
BRANCHES: tuple[Branch, ...] = ("audio", "image")
"""The two subnetworks of an L3-Net; files of weights name them so."""


@dataclass(frozen=True)
class FrontendConfig:
    """Spectrogram of one window: short-time Fourier magnitudes, optional mel bands, decibels."""

    n_fft: int
    hop_length: int  # samples between spectrogram columns
    pad_end: bool  # zeros at the end, so that every sample starts some column
    n_mels: int | None  # None keeps the linear frequency axis

    @property
    def shape(self) -> tuple[int, int]:
        """(frequency, time) of one window's spectrogram."""
        frequency = self.n_mels or self.n_fft // 2 + 1
        if self.pad_end:
            return frequency, -(-WINDOW // self.hop_length)
        return frequency, 1 + (WINDOW - self.n_fft) // self.hop_length


@dataclass(frozen=True)
class SubnetworkConfig:
    """Blocks of two 3x3 convolutions each, max pooling between blocks and once at the end."""

    in_channels: int
    input_size: tuple[int, int]  # (frequency, time) or (row, column)
    block_channels: tuple[int, ...]
    final_pool: tuple[int, int]  # both the size and the stride of the last max pooling
    relu_first: frozenset[int] = frozenset()  # convolutions (from 0) followed by ReLU, then BatchNorm

    @property
    def convolutions(self) -> tuple[tuple[int, int], ...]:
        """(channels in, channels out) of each convolution, in network order."""
        channels = [self.in_channels, *(n for n in self.block_channels for _ in range(2))]
        return tuple(pairwise(channels))

    @property
    def grid(self) -> tuple[int, int]:
        """Cells left by the last pooling; the embedding is [cells, cells, channels] flattened."""
        height, width = self.input_size
        shrink = 2 ** (len(self.block_channels) - 1)
        return height // shrink // self.final_pool[0], width // shrink // self.final_pool[1]

    @property
    def embedding_size(self) -> int:
        """Values per window or frame."""
        return self.grid[0] * self.grid[1] * self.block_channels[-1]


@dataclass(frozen=True)
class L3Config:
    """One complete L3-Net as used for embedding."""

    preset: str
    frontend: FrontendConfig
    audio: SubnetworkConfig
    image: SubnetworkConfig
    hop: float  # default seconds between audio windows
    pictures: Literal["openl3", "area"]  # how frames become network input
    input_repr: str
    content_type: str | None  # what the official weights were trained on

    def subnetwork(self, branch: Branch) -> SubnetworkConfig:
        """The configuration of one subnetwork."""
        return self.audio if branch == "audio" else self.image


_OPENL3_FRONTENDS = {
    "mel256": FrontendConfig(n_fft=2048, hop_length=242, pad_end=True, n_mels=256),
    "mel128": FrontendConfig(n_fft=2048, hop_length=242, pad_end=True, n_mels=128),
    "linear": FrontendConfig(n_fft=512, hop_length=242, pad_end=False, n_mels=None),
}
_OPENL3_AUDIO_POOLS = {
    512: {"mel256": (32, 24), "mel128": (16, 24), "linear": (32, 24)},
    6144: {"mel256": (8, 8), "mel128": (4, 8), "linear": (8, 8)},
}
_OPENL3_IMAGE_POOLS = {512: (28, 28), 8192: (7, 7)}
_OPENL3_CHANNELS = (64, 128, 256, 512)
_DEMO_CHANNELS = (16, 32, 64, 128)


def _one_of(kind: str, given: object, choices: Mapping[str, object] | Mapping[int, object]) -> None:
    if given not in choices:
        raise unknown(kind, str(given), [str(choice) for choice in choices])


def openl3_config(
    input_repr: str = "mel256", content_type: str = "env", audio_size: int = 512, image_size: int = 512
) -> L3Config:
    """OpenL3: `mel256`, `mel128`, `linear`; `env`, `music`; audio 512, 6144; image 512, 8192 values.

    Raises UserError, listing the choices, for any other value.
    """
    _one_of("input_repr", input_repr, _OPENL3_FRONTENDS)
    _one_of("content_type", content_type, {"env": None, "music": None})
    _one_of("audio_size", audio_size, _OPENL3_AUDIO_POOLS)
    _one_of("image_size", image_size, _OPENL3_IMAGE_POOLS)
    frontend = _OPENL3_FRONTENDS[input_repr]
    return L3Config(
        preset="openl3",
        frontend=frontend,
        audio=SubnetworkConfig(1, frontend.shape, _OPENL3_CHANNELS, _OPENL3_AUDIO_POOLS[audio_size][input_repr]),
        image=SubnetworkConfig(3, (224, 224), _OPENL3_CHANNELS, _OPENL3_IMAGE_POOLS[image_size], frozenset({1})),
        hop=0.1,
        pictures="openl3",
        input_repr=input_repr,
        content_type=content_type,
    )


def demo_config() -> L3Config:
    """The small preset: 64 mel bands, 64x64 pictures, 512 values per window and per frame.

    The last pooling leaves 2 frequencies x 2 times and 2 rows x 2 columns, so that an embedding
    still tells low from high and sky from ground.
    """
    frontend = FrontendConfig(n_fft=2048, hop_length=960, pad_end=True, n_mels=64)
    return L3Config(
        preset="demo",
        frontend=frontend,
        audio=SubnetworkConfig(1, frontend.shape, _DEMO_CHANNELS, (4, 3)),
        image=SubnetworkConfig(3, (64, 64), _DEMO_CHANNELS, (4, 4)),
        hop=0.2,
        pictures="area",
        input_repr="mel64",
        content_type=None,
    )


_PRESETS: dict[str, Callable[..., L3Config]] = {"openl3": openl3_config, "demo": demo_config}


def preset_names() -> list[str]:
    """The names that `preset_config` knows."""
    return sorted(_PRESETS)


def preset_config(name: str, **options: str | int) -> L3Config:
    """The configuration of preset `name`; `options` are the arguments of `openl3_config`.

    Raises UserError for an unknown name or an option that the preset does not have.
    """
    if name not in _PRESETS:
        raise unknown("L3 preset", name, preset_names())
    try:
        return _PRESETS[name](**options)
    except TypeError:
        raise UserError(f"preset {name!r} has no such option: {', '.join(sorted(options))}") from None
