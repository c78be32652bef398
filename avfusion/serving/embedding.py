"""The embedder with which a model's features were made, found again by name, options and weights."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from avfusion.embedders import Embedder, PortableEmbedder, embedder_names, embedder_options, load_embedder
from avfusion.errors import UserError
from avfusion.serving.content import ContentWatcher

WEIGHTS = "embedder.safetensors"
"""File beside a classifier that holds its embedder's weights."""
PACKAGE = Path(__file__).parents[1]

# What may differ without other features, but for rounding: where and how it computes, and where its weights were found.
_INDIFFERENT = ("device", "convolutions", "weights_files")
_UNTRAINED = "untrained"

_log = logging.getLogger(__name__)


def in_words(embedder: Mapping[str, Any]) -> str:
    """An embedder's name and the beginning of its weights' digest."""
    return f"{embedder['name']} (weights {str(embedder.get('weights', 'unknown'))[:12]})"


def check_named(expected: Mapping[str, Any], chosen: str | None) -> None:
    """Raise `UserError` if the embedder that the user named is not the one of the model's features."""
    if chosen not in (None, expected["name"]):
        raise UserError(
            f"embedder={chosen}: the model's features were made by {in_words(expected)}; "
            f"leave embedder out or give embedder={expected['name']}"
        )


def load_same(expected: Mapping[str, Any], weights: str | None = None, device: str = "auto") -> Embedder:
    """The embedder that describes itself as `expected`, which is the provenance of a model's features.

    `weights` is a file or folder; None takes the embedder's own. Blank sound and blank pictures count as missing.
    Raises `UserError`, naming both, if another embedder is all there is.
    """
    name = str(expected["name"])
    if name not in embedder_names():
        raise UserError(
            f"the model's features were made by {name!r}, which is no embedder of this avfusion "
            f"({', '.join(embedder_names())}); give ready features, the arrays audio and video"
        )
    if unsaid := [what for what in ("weights", "precision") if what not in expected]:
        raise UserError(
            f"the model does not say with which {' and '.join(unsaid)} of {name!r} its features were made; give ready "
            "features, the arrays audio and video"
        )
    options = {option: expected[option] for option in embedder_options(name) if option in expected}
    if weights is None and expected["weights"] == _UNTRAINED:
        weights = _UNTRAINED
    found = load_embedder(name, weights=weights, precision=expected["precision"], device=device, **options)
    if differing := _differing(expected, found.provenance):
        raise UserError(
            f"the model's features were made by {in_words(expected)}, but here is {in_words(found.provenance)} with "
            f"other {', '.join(differing)}; give the weights that the model was trained with, as weights=FILE"
        )
    return ContentWatcher(found)


def _differing(expected: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    names = [name for name in expected if name not in _INDIFFERENT]
    return [name for name in names if expected[name] != found.get(name)]


def save_embedder(features: Mapping[str, Any], folder: Path) -> None:
    """Write the weights of the embedder of `features` (a store's provenance) into `folder`, for a model to carry.

    Nothing is written where the package itself has them. If they cannot be found any more, a warning says so: the
    model then answers ready features, and clips only where the weights are given.
    """
    embedder = features["embedder"]
    files = [Path(file) for file in features.get("weights_files", [])]
    if not embedder["trained"] or embedder["name"] not in embedder_names():
        return
    if files and all(file.is_relative_to(PACKAGE) for file in files):
        return
    try:
        if not files or not all(file.exists() for file in files):
            raise UserError(f"weights not found at {', '.join(map(str, files)) or 'any known place'}")
        loaded = load_same(embedder, ",".join(map(str, files)), "cpu")
    except UserError as error:
        _log.warning("the model does not carry the weights of %s: %s", in_words(embedder), error)
        return
    if isinstance(loaded, ContentWatcher) and isinstance(loaded.watched, PortableEmbedder):
        loaded.watched.save_weights(folder / WEIGHTS)


def carried_weights(folder: Path) -> str | None:
    """The embedder's weights that lie beside the classifier in `folder`; None where there are none."""
    return str(folder / WEIGHTS) if (folder / WEIGHTS).is_file() else None
