"""The L3-Nets of `avfusion.l3` as embedders: `demo` and `openl3`."""

from functools import partial
from typing import Any

from avfusion.embedders.base import Embedder, Entry


def _load(preset: str, *, weights: str, precision: str, device: str, **options: Any) -> Embedder:
    """`demo`: weights are safetensors or `untrained`; `openl3`: see `avfusion.l3.openl3_files`."""
    from avfusion.l3.api import load_l3  # here: torch is most of the start of who only asks for names

    return load_l3(preset, weights=weights, precision=precision, device=device, **options)


EMBEDDERS = {
    "demo": Entry(partial(_load, "demo"), {"hop": 0.2, "centred": True}),
    "openl3": Entry(
        partial(_load, "openl3"),
        {
            "hop": 0.1,
            "centred": True,
            "input_repr": "mel256",
            "content_type": "env",
            "audio_size": 512,
            "image_size": 512,
        },
    ),
}
