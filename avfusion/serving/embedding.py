"""The embedder with which a model's features were made, found again by name, options and weights."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from avfusion.embedders import (
    HALVES,
    UNTRAINED,
    Embedder,
    PortableEmbedder,
    check_embedder,
    comes_with_package,
    embedder_names,
    embedder_options,
    found_again,
    load_embedder,
    weights_of_halves,
)
from avfusion.errors import UserError
from avfusion.serving.content import ContentWatcher

WEIGHTS = ("embedder.safetensors", "embedder")
"""Beside a classifier, the weights of its embedder: a file, or for a pair a folder."""

# What may differ without other features, but for rounding: where and how it computes, and where its weights were found
# or came from.
_INDIFFERENT = ("device", "convolutions", "weights_files", "origin")

_log = logging.getLogger(__name__)


def in_words(embedder: Mapping[str, Any]) -> str:
    """An embedder's name and the beginning of its weights' digest; a pair's halves one after the other."""
    halves = [embedder[place] for place in ("video", "audio") if place in embedder]
    if halves:
        return " + ".join(map(in_words, halves))
    return f"{embedder['name']} (weights {str(embedder.get('weights', 'unknown'))[:12]})"


def check_named(expected: Mapping[str, Any], chosen: str | None) -> None:
    """Raise `UserError` if the embedder that the user named is not the one of the model's features."""
    if chosen not in (None, expected["name"]):
        raise UserError(
            f"embedder={chosen}: the model's features were made by {in_words(expected)}; "
            f"leave embedder out or give embedder={expected['name']}"
        )


def load_same(
    expected: Mapping[str, Any], weights: str | Mapping[str, str] | None = None, device: str = "auto"
) -> Embedder:
    """The embedder that describes itself as `expected`, which is the provenance of a model's features.

    `weights` are as of `load_embedder`; None takes the embedder's own. Blank sound and blank pictures count as missing.
    Raises `UserError`, naming both, if another embedder is all there is.
    """
    name, halves = str(expected["name"]), _halves(expected)
    try:
        known = embedder_options(name)
    except UserError:
        raise UserError(
            f"the model's features were made by {name!r}, which is no embedder of this avfusion "
            f"({', '.join(embedder_names())}); give ready features, the arrays audio and video"
        ) from None
    if unsaid := [what for what in ("weights", "precision") if any(what not in half for half in halves.values())]:
        raise UserError(
            f"the model does not say with which {' and '.join(unsaid)} of {name!r} its features were made; give ready "
            "features, the arrays audio and video"
        )
    options = {option: half[option] for half in halves.values() for option in known if option in half}
    untrained = {place: UNTRAINED for place, half in halves.items() if half["weights"] == UNTRAINED}
    if "" not in halves:
        weights = {**weights_of_halves(weights), **untrained}
    elif weights is None:
        weights = untrained.get("")
    precision = next(iter(halves.values()))["precision"]
    found = load_embedder(name, weights=weights, precision=precision, device=device, **options)
    if differing := _differing(expected, found.provenance):
        raise UserError(
            f"the model's features were made by {in_words(expected)}, but here is {in_words(found.provenance)} with "
            f"other {', '.join(differing)}; give the weights that the model was trained with, as weights=FILE"
        )
    return ContentWatcher(found)


def _halves(embedder: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The provenance of each half of a pair by `audio` and `video`; of another embedder its own, by ""."""
    return {place: embedder[place] for place in HALVES if place in embedder} or {"": embedder}


def _differing(expected: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    there = _halves(found)
    return [
        f"{place} {name}".strip()
        for place, half in _halves(expected).items()
        for name in half
        if name not in _INDIFFERENT and half[name] != there.get(place, {}).get(name)
    ]


def save_embedder(features: Mapping[str, Any], folder: Path) -> None:
    """Write the weights of the embedder of `features` (a store's provenance) into `folder`, for a model to carry.

    Nothing is written where the package itself has them. If they cannot be found any more, a warning says so: the
    model then answers ready features, and clips only where the weights are given.
    """
    embedder = features["embedder"]
    try:
        check_embedder(embedder["name"])
    except UserError:
        return
    halves, files = _halves(embedder), features.get("weights_files", {})
    by_half = files if isinstance(files, Mapping) else {"": files}
    carried = {
        place: [found_again(Path(file)) for file in by_half.get(place, [])]
        for place, half in halves.items()
        if half["trained"] and not comes_with_package(by_half.get(place))
    }
    if not carried:
        return
    try:
        for found in carried.values():
            if not found or not all(file.exists() for file in found):
                raise UserError(f"weights not found at {', '.join(map(str, found)) or 'any known place'}")
        weights = {place: ",".join(map(str, found)) for place, found in carried.items()}
        loaded = load_same(embedder, weights.get("", weights), "cpu")
    except UserError as error:
        _log.warning("the model does not carry the weights of %s: %s", in_words(embedder), error)
        return
    if "" in halves and comes_with_package(loaded.provenance["weights_files"]):
        return
    if isinstance(loaded, ContentWatcher) and isinstance(loaded.watched, PortableEmbedder):
        loaded.watched.save_weights(folder / WEIGHTS["" not in halves])


def carried_weights(folder: Path) -> str | None:
    """The embedder's weights that lie beside the classifier in `folder`; None where there are none."""
    return next((str(folder / name) for name in WEIGHTS if (folder / name).exists()), None)
