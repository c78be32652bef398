"""Small media files for tests, written with PyAV."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.stream import Disposition
from numpy.typing import NDArray

from avfusion.media import Frame

Samples = NDArray[np.float64]


def tone(n_channels: int, n_samples: int) -> Samples:
    """[n_channels, n_samples] within +-0.9, another sine in each channel."""
    times = np.arange(n_samples) / 48_000
    return np.stack([0.9 * np.sin(2 * np.pi * 110 * (channel + 1) * times) for channel in range(n_channels)])


def write_sound(path: Path, samples: Samples, codec: str, sample_format: str, layout: str, rate: int = 48_000) -> None:
    """One file of sound in blocks of 1024 samples; integer formats are scaled to full scale."""
    base = sample_format.removesuffix("p")
    scaled = {
        "u8": lambda x: np.round(x * 127 + 128).astype(np.uint8),
        "s16": lambda x: np.round(x * 32767).astype(np.int16),
        "s32": lambda x: np.round(x * (2**31 - 1)).astype(np.int32),
        "flt": lambda x: x.astype(np.float32),
        "dbl": lambda x: x,
    }[base](samples)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout=layout, format=sample_format)
        assert isinstance(stream, av.AudioStream)
        for start in range(0, scaled.shape[1], 1024):
            block = scaled[:, start : start + 1024]
            block = block if sample_format.endswith("p") else block.T.reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), sample_format, layout)
            frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def write_video(
    path: Path, pictures: list[Frame], *, codec: str = "libx264", pixels: str = "yuv444p", first_pts: int = 0
) -> None:
    """One file of pictures at 10 frames per second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width, _ = pictures[0].shape
        stream.pix_fmt = pixels
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts = first_pts + number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def write_covered(path: Path, codec: str, sample_format: str, cover: str, frames: int = 0) -> None:
    """Sound with cover art (`cover`: png or mjpeg) and, if `frames`, as many pictures of a video beside it."""
    block = np.zeros((1, 1024), np.int16 if sample_format == "s16" else np.float32)
    with av.open(str(path), "w", format="mp4" if path.suffix == ".m4a" else None) as container:
        streams = [container.add_stream(cover, rate=1)]
        streams[0].disposition = Disposition.attached_pic
        streams += [container.add_stream("libx264", rate=10)] if frames else []
        sound = container.add_stream(codec, rate=48_000, layout="mono", format=sample_format)
        assert isinstance(sound, av.AudioStream)
        packets = []
        for number in range(20):
            frame = av.AudioFrame.from_ndarray(block, sample_format, "mono")
            frame.sample_rate, frame.pts = 48_000, 1024 * number
            packets += sound.encode(frame)
        packets += sound.encode(None)
        for stream, count in zip(streams, (1, frames), strict=False):
            assert isinstance(stream, av.VideoStream)
            stream.width = stream.height = 64
            stream.pix_fmt = {"png": "rgb24", "mjpeg": "yuvj444p"}.get(stream.codec_context.name, "yuv444p")
            for number, picture in enumerate(greys(count, 64, 64)):
                still = av.VideoFrame.from_ndarray(picture, "rgb24")
                still.pts = number
                packets += stream.encode(still)
            packets += stream.encode(None)
        container.mux(packets)


def greys(count: int, height: int = 64, width: int = 80) -> list[Frame]:
    """Plain pictures, each brighter than the last."""
    return [np.full((height, width, 3), 8 + 240 * i // count, np.uint8) for i in range(count)]


def make_clip(folder: Path, name: str, *, seconds: float = 0.5, loudness: float = 0.5, frames: int = 6) -> str:
    """Writes a pair of files; returns its line for a list."""
    if seconds:
        samples = loudness * tone(1, int(48_000 * seconds))
        write_sound(folder / f"{name}.wav", samples, "pcm_s16le", "s16", "mono")
    if frames:
        write_video(folder / f"{name}.avi", greys(frames, 16, 16), codec="rawvideo", pixels="bgr24")
    return f"{name}.wav,{name}.avi,{'ab'[len(name) % 2]},{name}"
