"""A 10-second clip as the benchmarks use it: 48 kHz stereo WAV and 720p25 MP4 (H.264)."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from avfusion.datasets import Clip, Dataset

RATE, FRAME_RATE, HEIGHT, WIDTH = 48_000, 25, 720, 1280


def make_clip(folder: Path, seconds: float = 10.0) -> tuple[Path, Path]:
    """Writes the sound and the pictures, and returns their paths: a noisy tone, a view that pans over grainy hills."""
    folder.mkdir(parents=True, exist_ok=True)
    sound, pictures = folder / "clip.wav", folder / "clip.mp4"
    generator = np.random.default_rng(0)
    n_samples = round(seconds * RATE)
    tone = 0.2 * np.sin(2 * np.pi * 330 * np.arange(n_samples) / RATE) + 0.1 * generator.standard_normal((2, n_samples))
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=RATE, layout="stereo")
        packed = np.ascontiguousarray((tone.clip(-1, 1) * 32767).astype(np.int16).T).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, format="s16", layout="stereo")
        frame.sample_rate = RATE
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    n_frames = round(seconds * FRAME_RATE)
    rows, columns = np.mgrid[:HEIGHT, : WIDTH + 4 * n_frames].astype(np.float32)
    hills = 128 + 60 * np.sin(columns / 57) * np.cos(rows / 83) + 40 * np.sin(columns / 9 + rows / 13)
    view = np.stack([hills, np.roll(hills, 200, 1), 255 - hills], -1) + generator.normal(0, 12, (*hills.shape, 1))
    picture = view.clip(0, 255).astype(np.uint8)
    with av.open(str(pictures), "w") as container:
        video = container.add_stream("libx264", rate=Fraction(FRAME_RATE), options={"crf": "23"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for index in range(n_frames):
            moment = np.ascontiguousarray(picture[:, 4 * index : 4 * index + WIDTH])
            for packet in video.encode(av.VideoFrame.from_ndarray(moment, format="rgb24")):
                container.mux(packet)
        for packet in video.encode(None):
            container.mux(packet)
    return sound, pictures


def many(sound: Path, pictures: Path, count: int) -> Dataset:
    """A dataset of the same clip `count` times."""
    clips = tuple(Clip(f"clip-{n:05d}", "scene", f"place-{n}", "", sound, pictures) for n in range(count))
    return Dataset("benchmark", sound.parent, clips, synthetic=True)
