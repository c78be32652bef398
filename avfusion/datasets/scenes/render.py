"""One synthetic clip as media: a WAV and an H.264 MP4 without sound."""

import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from avfusion.datasets.scenes.moment import draw_location, draw_moment
from avfusion.datasets.scenes.noise import SAMPLE_RATE
from avfusion.datasets.scenes.picture import render_picture
from avfusion.datasets.scenes.sound import render_sound
from avfusion.datasets.scenes.stage import FRAME_RATE, HEIGHT, WIDTH, Frame


def write_wav(path: Path, samples: NDArray[np.int16]) -> None:
    """Write samples [n, channels] as 48 kHz PCM."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(samples.tobytes())


def write_mp4(path: Path, frames: list[Frame]) -> None:
    """Encode frames as H.264, yuv420p; one thread, so that equal frames give equal bytes."""
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FRAME_RATE)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.thread_count = 1
        stream.options = {"preset": "ultrafast", "crf": "23"}
        converter = VideoReformatter()
        for number, frame in enumerate(frames):
            coloured = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture = converter.reformat(coloured, format="yuv420p", threads=1)
            picture.pts, picture.time_base = number, Fraction(1, FRAME_RATE)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


def render_clip(audio: Path, video: Path, seed: int, scene: str, location: int, segment: int, seconds: float) -> None:
    """Render one synthetic clip to the two files, each written to a temporary name and renamed.

    The clip depends on the seed and its own class, location index and segment index only.
    """
    moment = draw_moment(draw_location(seed, scene, location), segment, seconds)
    partial_audio, partial_video = audio.with_name(f".{audio.name}"), video.with_name(f".{video.name}")
    write_wav(partial_audio, render_sound(moment))
    write_mp4(partial_video, render_picture(moment))
    partial_audio.replace(audio)
    partial_video.replace(video)
