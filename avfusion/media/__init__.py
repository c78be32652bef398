"""Decoding: sound as samples, pictures as sampled frames; files are read through PyAV (FFmpeg).

Nothing here knows what the sound and the pictures are for.
"""

from avfusion.media.container import DEFAULT_LIMITS, Limits, MediaError
from avfusion.media.sound import Samples, read_sound, stream_sound
from avfusion.media.video import Frame, VideoReader, frame_indices

__all__ = [
    "DEFAULT_LIMITS",
    "Frame",
    "Limits",
    "MediaError",
    "Samples",
    "VideoReader",
    "frame_indices",
    "read_sound",
    "stream_sound",
]
