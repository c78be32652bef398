"""Sound as float samples.

n   samples of the whole sound
"""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame
from numpy.typing import NDArray

from avfusion.media.container import DEFAULT_LIMITS, Limits, MediaError, decode, log_damage, media_errors, open_stream

# Full scale of the integer sample formats: value = (sample - offset) / scale.
_INTEGER_FORMATS: dict[str, tuple[float, float]] = {
    "u8": (128.0, 2.0**7),
    "s16": (0.0, 2.0**15),
    "s32": (0.0, 2.0**31),
    "s64": (0.0, 2.0**63),
}
# PyAV 18.1 looks for the end of the list of planes behind its eighth entry, where other memory
# lies: to_ndarray() on a planar frame of 8 channels (7.1) ends the process.
_OVERREAD_PLANES = 8


def read_sound(
    path: Path,
    limits: Limits = DEFAULT_LIMITS,
    on_damage: Callable[[str], None] = log_damage,
) -> tuple[NDArray[np.float32], int]:
    """The sound of a media file, downmixed by the mean over its channels.

    Args:
        path: any container and codec that FFmpeg reads.
        limits: what to refuse.
        on_damage: called with one line when part of the sound could not be decoded.

    Returns:
        Samples float32 [n, 1], full scale +-1 (float formats may exceed it), and the sample rate in
        Hz. Memory: 4 bytes per sample, however many channels there are.

    Raises:
        MediaError: no sound, nothing decodes, limits exceeded, the rate changes midway, or samples
            that are not finite.
    """
    content = bytearray()  # grows in place, where a list of blocks would need the memory twice
    rate = 0
    with media_errors(), open_stream(path, "audio", limits) as opened:
        for frame in decode(opened, on_damage):
            if not isinstance(frame, AudioFrame) or not frame.samples:
                continue
            rate = rate or _checked_rate(frame, limits)
            if frame.sample_rate != rate:
                raise MediaError(f"the sample rate changes from {rate} to {frame.sample_rate} Hz")
            content += _mono(frame, limits).data
            if len(content) // 4 > limits.seconds * rate:
                raise MediaError(f"more than {limits.seconds:g} s of sound")
    if not content:
        raise MediaError("no sound: nothing could be decoded")
    return np.frombuffer(content, np.float32)[:, np.newaxis], rate


def _checked_rate(frame: AudioFrame, limits: Limits) -> int:
    lowest, highest = limits.sample_rates
    if not lowest <= frame.sample_rate <= highest:
        raise MediaError(f"a sample rate of {frame.sample_rate} Hz; {lowest} to {highest} are accepted")
    return frame.sample_rate


def _mono(frame: AudioFrame, limits: Limits) -> NDArray[np.float32]:
    """One block of samples: float32 [samples]."""
    n_channels = frame.layout.nb_channels
    if not 1 <= n_channels <= limits.channels:
        raise MediaError(f"{n_channels} channels of sound; 1 to {limits.channels} are accepted")
    if frame.format.is_planar and n_channels >= _OVERREAD_PLANES:
        frame = _packed(frame)
    block = frame.to_ndarray()  # planar: [channels, samples]; packed: [1, samples * channels]
    block = block if frame.format.is_planar else block.reshape(-1, n_channels).T
    values = block.astype(np.float32)
    name = frame.format.name.removesuffix("p")
    if name in _INTEGER_FORMATS:
        offset, scale = _INTEGER_FORMATS[name]
        values = (values - np.float32(offset)) * np.float32(1 / scale)
    mono: NDArray[np.float32] = values.mean(axis=0)
    if not np.isfinite(mono).all():
        raise MediaError("the sound holds values that are not finite")
    return mono


def _packed(frame: AudioFrame) -> AudioFrame:
    """The same samples in float and packed format."""
    frame.pts = None  # stamps that jump would make the converter wait or drop
    (packed,) = av.AudioResampler(format="flt").resample(frame)
    return packed
