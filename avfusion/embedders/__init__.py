"""Embedders: what turns the sound and the pictures of a clip into features, by name.

A name is that of an embedder of both, or `PICTURE+SOUND` for two. `base` is their contract; a new embedder is one new
file beside it, which is found by its name `EMBEDDERS`. Nothing here decodes a file; the network behind `demo` and
`openl3` is in `avfusion.l3`.
"""

import importlib
import pkgutil
from collections.abc import Mapping
from functools import partial
from typing import Any

from avfusion.embedders.base import (
    UNTRAINED,
    Embedder,
    Entry,
    Offer,
    Option,
    PictureEmbedder,
    PortableEmbedder,
    SoundEmbedder,
    SplitEmbedder,
)
from avfusion.embedders.pair import HALVES, SIGN, comes_with_package, found_again, paired, weights_of_halves
from avfusion.errors import UserError, unknown

__all__ = [
    "HALVES",
    "UNTRAINED",
    "Embedder",
    "PictureEmbedder",
    "PortableEmbedder",
    "SoundEmbedder",
    "SplitEmbedder",
    "check_embedder",
    "comes_with_package",
    "embedder_names",
    "embedder_needs",
    "embedder_options",
    "found_again",
    "load_embedder",
    "weights_of_halves",
]

_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_FAMILY = ":"
_NOUNS = {"audio": "sound", "video": "pictures"}


def embedder_names(place: str = "both") -> list[str]:
    """The names that offer `both` modalities, or that may stand in the place of the `audio` or `video` of a pair.

    A family shows as `hf:MODEL`.
    """
    names = [name for name, entry in _entries().items() if getattr(entry, place) is not None]
    return sorted(name + "MODEL" if name.endswith(_FAMILY) else name for name in names)


def check_embedder(name: str, *options: str) -> None:
    """Raise UserError unless `name` is an embedder of both modalities or `PICTURE+SOUND` with all of the `options`.

    Nothing is loaded; the values of options are checked when it is.
    """
    known = embedder_options(name)
    for option in options:
        if option not in known:
            raise unknown("embedder option", option, list(known))


def embedder_options(name: str) -> dict[str, Option]:
    """The options of the embedder `name` with their defaults, those of a pair's halves together.

    Raises UserError as `check_embedder` does.
    """
    return {option: default for offer in _offers(name).values() for option, default in offer.options.items()}


def embedder_needs(name: str) -> list[str]:
    """The packages that the embedder `name` imports and the program itself does not.

    Raises UserError as `check_embedder` does.
    """
    return sorted({package for offer in _offers(name).values() for package in offer.needs})


def load_embedder(
    name: str,
    *,
    weights: str | Mapping[str, str] | None = None,
    precision: str = "float32",
    device: str = "auto",
    **options: Option,
) -> Embedder:
    """The embedder called `name`.

    Args:
        name: one of `embedder_names()`, or `PICTURE+SOUND`.
        weights: None for the embedder's own, `untrained`, or a path (see the embedder's module); for a pair a folder
            with `audio.safetensors` or `video.safetensors`, or, by `audio` and `video`, what each half takes.
        precision: `float32`, `bf16` or `auto`.
        device: `auto`, `cpu` or `cuda`.
        options: the embedder's own, for instance hop=0.1; text is converted to the option's type.

    Raises:
        UserError: an unknown name, option or choice; the line lists the known ones.
    """
    offers, common = _offers(name), {"precision": precision, "device": device}
    check_embedder(name, *options)
    read: dict[str, dict[str, Any]] = {place: _read_options(offer.options, options) for place, offer in offers.items()}
    if "both" in offers:
        if isinstance(weights, Mapping):
            raise UserError(f"{name} takes its weights as one; got them for {' and '.join(weights)}")
        both: Embedder = offers["both"].load(weights=weights, **common, **read["both"])
        return both
    chosen = weights_of_halves(weights)
    video, audio = (
        offers[place].load(weights=chosen.get(place), **common, **read[place]) for place in ("video", "audio")
    )
    return paired(video, audio)


def _entries() -> dict[str, Entry]:
    """What all modules of this folder offer."""
    found: dict[str, Entry] = {}
    for module in pkgutil.iter_modules(__path__):
        found |= getattr(importlib.import_module(f"{__name__}.{module.name}"), "EMBEDDERS", {})
    return found


def _offers(name: str) -> dict[str, Offer[Any]]:
    """What `name` stands for: an offer of `both`, or one of the `video` and one of the `audio`."""
    parts = name.split(SIGN)
    if len(parts) == 2:
        return {place: _offer(part, place, name) for place, part in zip(("video", "audio"), parts, strict=True)}
    if len(parts) > 2:
        raise UserError(f"embedder={name}: expected one name, or PICTURE{SIGN}SOUND")
    return {"both": _offer(name, "both", name)}


def _offer(name: str, place: str, whole: str) -> Offer[Any]:
    """What `name` offers for `place`, `audio`, `video` or `both`, within the name `whole`."""
    entries = _entries()
    family, colon, model = name.partition(_FAMILY)
    entry = entries.get(family + colon if colon and model else name)
    if entry is None or name.endswith(_FAMILY):
        if place == "both":
            raise UserError(f"{unknown('embedder', name, embedder_names())}; or {_pairs()}")
        raise unknown(f"embedder of {_NOUNS[place]}", name, embedder_names(place))
    offer: Offer[Any] | None = getattr(entry, place)
    if offer is None:
        offered = " or ".join(_NOUNS[half] for half in HALVES if getattr(entry, half)) or "sound and pictures at once"
        raise UserError(f"embedder={whole}: {name} is for {offered}; expected {_pairs()}")
    return offer._replace(load=partial(offer.load, model=model)) if colon else offer


def _pairs() -> str:
    pictures, sounds = (", ".join(embedder_names(place)) for place in ("video", "audio"))
    return f"PICTURE{SIGN}SOUND, pictures by: {pictures}; sound by: {sounds}"


def _read_options(defaults: Mapping[str, Option], given: Mapping[str, Option]) -> dict[str, Option]:
    """`defaults` overridden by what of `given` is among them, each value converted to the type of its default."""
    result = dict(defaults)
    for name, value in given.items():
        if name not in defaults:
            continue
        kind = type(defaults[name])
        try:
            result[name] = _TRUTH[str(value).strip().lower()] if kind is bool else kind(value)
        except (KeyError, ValueError, TypeError, OverflowError):
            words = {bool: "true or false", int: "a whole number", float: "a number"}
            raise UserError(f"embedder option {name}={value}; expected {words.get(kind, 'text')}") from None
    return result
