"""Bodies of requests for `benchmarks.serving`: clips, what must be refused, and what shall keep a server busy."""

import base64
import io
import json

import av
import numpy as np
from numpy.typing import NDArray

LEFT = "left after 0.2 s"
"""Name of a request whose answer is not waited for."""


def with_clip(media: bytes) -> bytes:
    """A request with one clip."""
    return json.dumps({"dataframe_records": [{"clip": base64.b64encode(media).decode()}]}).encode()


def bad_bodies(healthy: bytes) -> dict[str, bytes]:
    """Requests that must be refused."""
    records = {
        "a path": {"clip": "/etc/passwd"},
        "nothing": {"other": 1},
        "empty text": {"clip": ""},
        "neither base64 nor a path": {"clip": "???"},
        "half an array": {"audio": [[1.0, 2.0]]},
        "two things": {"clip": "AAAA", "audio": [[1.0]]},
    }
    bodies = {name: json.dumps({"dataframe_records": [record]}).encode() for name, record in records.items()}
    bodies["text, not media"] = with_clip(b"this is not a clip " * 100)
    bodies["the head of a clip"] = with_clip(healthy[:500])
    bodies["zeros"] = with_clip(bytes(5000))
    bodies["a playlist"] = with_clip(b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n")
    return bodies


def hostile_bodies() -> dict[str, bytes]:
    """Requests that want much of a server."""
    minute = np.random.default_rng(0).normal(0, 0.1, 50 * 8_000).astype(np.float32)
    return {
        "two hours of FLAC": with_clip(_flac(np.zeros(7200 * 8_000, np.float32))),
        "ten minutes of zeros": with_clip(_flac(np.zeros(600 * 48_000, np.float32), 48_000)),
        "two hours of a tone": with_clip(_flac(np.tile(np.array([0.3, -0.3], np.float32), 3600 * 8_000))),
        "300 MB": b" " * 300_000_000,
        "a million lists": b'{"dataframe_records": [' + b"[]," * 1_000_000 + b"[]]}",
        LEFT: with_clip(_flac(minute)),
    }


def _flac(samples: NDArray[np.float32], rate: int = 8_000) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="flac") as container:
        stream = container.add_stream("flac", rate=rate, layout="mono", format="s16")
        for block in np.array_split(np.round(samples * 32767).astype(np.int16), -(-len(samples) // 4096)):
            frame = av.AudioFrame.from_ndarray(block[np.newaxis], "s16", "mono")
            frame.sample_rate = rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()
