"""The L3-Nets of `avfusion.l3` as embedders: `demo` and `openl3`, each for both modalities or for one of a pair."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from avfusion.embedders.base import Entry, Offer, Option

if TYPE_CHECKING:
    from avfusion.l3.api import L3
    from avfusion.l3.presets import Branch


def _load(
    preset: str,
    branches: "tuple[Branch, ...]",
    *,
    weights: str | None,
    precision: str,
    device: str,
    **options: Any,
) -> "L3":
    """`demo`: weights are safetensors or `untrained`; `openl3`: see `avfusion.l3.openl3_files`."""
    from avfusion.l3.api import load_l3  # here: torch is most of the start of who only asks for names

    return load_l3(preset, weights=weights, branches=branches, precision=precision, device=device, **options)


def _entry(preset: str, sound: Mapping[str, Option], pictures: Mapping[str, Option]) -> Entry:
    """The options of sound are no options of the pictures' half of a pair, and the other way round."""
    return Entry(
        both=Offer(partial(_load, preset, ("audio", "image")), {**sound, **pictures}),
        audio=Offer(partial(_load, preset, ("audio",)), sound),
        video=Offer(partial(_load, preset, ("image",)), pictures),
    )


EMBEDDERS = {
    "demo": _entry("demo", {"hop": 0.2, "centred": True}, {}),
    "openl3": _entry(
        "openl3",
        {"hop": 0.1, "centred": True, "input_repr": "mel256", "content_type": "env", "audio_size": 512},
        {"content_type": "env", "image_size": 512},
    ),
}
