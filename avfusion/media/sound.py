"""Sound as float samples.

n   samples of the whole sound
"""

from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame
from numpy.typing import NDArray

from avfusion.media.container import DEFAULT_LIMITS, Limits, MediaError, decode, log_damage, media_errors, open_stream

Samples = NDArray[np.float32]
_BLOCK = 2**16  # samples in a block, at least, but for the last one
_HELD = 2**24  # samples of a sound that is decoded as a whole: 64 MB
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


def stream_sound(
    path: Path,
    limits: Limits = DEFAULT_LIMITS,
    on_damage: Callable[[str], None] = log_damage,
) -> tuple[Iterator[Samples], int]:
    """The sound of a media file in blocks, downmixed by the mean over its channels.

    Where the sound that `limits` allows is short enough to be held, all of it is decoded here, so that what is longer
    is refused before anyone works on its beginning.

    Args:
        path: any container and codec that FFmpeg reads.
        limits: what to refuse.
        on_damage: called with one line when part of the sound could not be decoded.

    Returns:
        Blocks of samples, float32 [n, 1], full scale +-1 (float formats may exceed it), which raise
        like this function; and the sample rate in Hz.

    Raises:
        MediaError: no sound, nothing decodes, limits exceeded, the rate changes midway, or samples
            that are not finite.
    """
    walk = _walk(path, limits, on_damage)
    first = next(walk, None)
    if first is None:
        raise MediaError("no sound: nothing could be decoded")
    block, rate = first
    blocks = chain([block], (block for block, _ in walk))
    return (iter(list(blocks)) if limits.seconds * rate <= _HELD else blocks), rate


def read_sound(
    path: Path,
    limits: Limits = DEFAULT_LIMITS,
    on_damage: Callable[[str], None] = log_damage,
) -> tuple[Samples, int]:
    """All blocks of `stream_sound` as one array, float32 [n, 1]; 4 bytes per sample, however many channels."""
    blocks, rate = stream_sound(path, limits, on_damage)
    content = bytearray()  # grows in place, where a list of blocks would need the memory twice
    for block in blocks:
        content += block.data
    return np.frombuffer(content, np.float32)[:, np.newaxis], rate


def _walk(path: Path, limits: Limits, on_damage: Callable[[str], None]) -> Iterator[tuple[Samples, int]]:
    """Blocks of about a second or more, and the sample rate."""
    waiting: list[NDArray[np.float32]] = []
    rate, n_waiting, n_all = 0, 0, 0
    with media_errors(), open_stream(path, "audio", limits) as opened:
        for frame in decode(opened, on_damage):
            if not isinstance(frame, AudioFrame) or not frame.samples:
                continue
            rate = rate or _checked_rate(frame, limits)
            if frame.sample_rate != rate:
                raise MediaError(f"the sample rate changes from {rate} to {frame.sample_rate} Hz")
            waiting.append(_mono(frame, limits))
            n_waiting, n_all = n_waiting + frame.samples, n_all + frame.samples
            if n_all > limits.seconds * rate:
                raise MediaError(f"more than {limits.seconds:g} s of sound")
            if n_waiting >= _BLOCK:
                yield np.concatenate(waiting)[:, np.newaxis], rate
                waiting, n_waiting = [], 0
    if waiting:
        yield np.concatenate(waiting)[:, np.newaxis], rate


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
