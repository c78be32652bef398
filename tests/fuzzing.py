"""Damaged media files: healthy ones of several containers, cut short or with flipped bits, by seed."""

from pathlib import Path

import numpy as np

from avfusion.seeds import derive_seed
from tests.media_files import greys, tone, write_sound, write_video

_HEADER = 512  # bytes in which half of the damage falls: containers are described there


def write_healthy(folder: Path) -> list[Path]:
    """Small files in the containers and codecs that people have."""
    sounds = [("pcm_s16le", "s16", "wav"), ("flac", "s16", "flac"), ("aac", "fltp", "m4a"), ("libopus", "s16", "ogg")]
    pictures = [("libx264", "yuv420p", "mp4"), ("libx264", "yuv420p", "mkv"), ("libvpx-vp9", "yuv420p", "webm"),
                ("mjpeg", "yuvj420p", "avi"), ("mpeg2video", "yuv420p", "ts")]  # fmt: skip
    for codec, sample_format, suffix in sounds:
        write_sound(folder / f"sound.{suffix}", 0.5 * tone(2, 12_000), codec, sample_format, "stereo")
    for codec, pixels, suffix in pictures:
        write_video(folder / f"pictures.{suffix}", greys(8), codec=codec, pixels=pixels)
    return sorted(folder.iterdir())


def damaged(content: bytes, number: int) -> bytes:
    """`content` cut short, with flipped bits, with a run of other bytes, or with two of these."""
    random = np.random.default_rng(derive_seed("damage", number))
    data = np.frombuffer(content, np.uint8).copy()
    kinds = random.choice(["cut", "flip", "overwrite"], size=random.integers(1, 3), replace=False)
    for kind in kinds:
        reach = min(len(data), _HEADER) if random.random() < 0.5 else len(data)
        if kind == "cut":
            data = data[: random.integers(0, max(1, reach))]
        elif kind == "flip" and len(data):
            places = random.integers(0, reach, size=random.integers(1, 30))
            data[places] ^= np.uint8(1) << random.integers(0, 8, size=len(places)).astype(np.uint8)
        elif len(data):
            start = int(random.integers(0, reach))
            piece = data[start : start + int(random.integers(1, 65))]
            piece[:] = random.integers(0, 256, size=len(piece), dtype=np.uint8) if random.random() < 0.5 else 255
    return data.tobytes()


def write_damaged(folder: Path, count: int) -> Path:
    """`count` damaged files and a list of them, with each file as sound and pictures; returns the list."""
    (folder / "healthy").mkdir()
    healthy = write_healthy(folder / "healthy")
    lines = ["clip,label,location"]
    for number in range(count):
        source = healthy[number % len(healthy)]
        name = f"{number:03d}{source.suffix}"
        (folder / name).write_bytes(damaged(source.read_bytes(), number))
        lines.append(f"{name},{'ab'[number % 2]},{number}")
    (folder / "damaged.csv").write_text("\n".join(lines) + "\n")
    return folder / "damaged.csv"
