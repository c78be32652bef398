"""Embedders: what turns the sound and the pictures of a clip into features, by name.

`base` is their contract; a new embedder is one new file beside it, which is found by its name `EMBEDDERS`. Nothing here
decodes a file; the network behind `demo` and `openl3` is in `avfusion.l3`.
"""

import importlib
import pkgutil
from collections.abc import Mapping

from avfusion.embedders.base import Embedder, Entry, Option, PortableEmbedder, SplitEmbedder
from avfusion.errors import UserError, unknown

__all__ = [
    "Embedder",
    "PortableEmbedder",
    "SplitEmbedder",
    "embedder_names",
    "embedder_options",
    "load_embedder",
]

_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def embedder_names() -> list[str]:
    """The names that `load_embedder` knows."""
    return sorted(_entries())


def embedder_options(name: str) -> dict[str, Option]:
    """The options of the embedder `name` with their defaults; none for a name that is not known."""
    entries = _entries()
    return dict(entries[name].options) if name in entries else {}


def load_embedder(
    name: str, *, weights: str = "none", precision: str = "float32", device: str = "auto", **options: Option
) -> Embedder:
    """The embedder called `name`.

    Args:
        weights: `none` for the embedder's own, or a path (see the embedder's module).
        precision: `float32`, `bf16` or `auto`.
        device: `auto`, `cpu` or `cuda`.
        options: the embedder's own, for instance hop=0.1; text is converted to the option's type.

    Raises:
        UserError: an unknown name, option or choice; the line lists the known ones.
    """
    entries = _entries()
    if name not in entries:
        raise unknown("embedder", name, list(entries))
    load, defaults = entries[name]
    return load(weights=weights, precision=precision, device=device, **_read_options(defaults, options))


def _entries() -> dict[str, Entry]:
    """What all modules of this folder offer."""
    found: dict[str, Entry] = {}
    for module in pkgutil.iter_modules(__path__):
        found |= getattr(importlib.import_module(f"{__name__}.{module.name}"), "EMBEDDERS", {})
    return found


def _read_options(defaults: Mapping[str, Option], given: Mapping[str, Option]) -> dict[str, Option]:
    """`defaults` overridden by `given`, each value converted to the type of its default."""
    result = dict(defaults)
    for name, value in given.items():
        if name not in defaults:
            raise unknown("embedder option", name, list(defaults))
        kind = type(defaults[name])
        try:
            result[name] = _TRUTH[str(value).strip().lower()] if kind is bool else kind(value)
        except (KeyError, ValueError):
            words = {bool: "true or false", int: "a whole number", float: "a number"}
            raise UserError(f"embedder option {name}={value}; expected {words.get(kind, 'text')}") from None
    return result
