"""Decoding: sound as samples, pictures as sampled frames; files are read through PyAV (FFmpeg)."""

from avfusion.media.container import DEFAULT_LIMITS, Limits, MediaError
from avfusion.media.sound import read_sound
from avfusion.media.video import Frame, VideoReader, frame_indices

__all__ = ["DEFAULT_LIMITS", "Frame", "Limits", "MediaError", "VideoReader", "frame_indices", "read_sound"]
