"""Fusion variants, one file each. A new file with a `FusionNetwork` that has an `id` is found by everything.

Nothing here trains: a variant is a network, with the defaults and search ranges of its hyperparameters.
"""

import importlib
import pkgutil
from functools import cache

from avfusion.errors import unknown
from avfusion.fusion.base import FusionNetwork, Shape
from avfusion.fusion.hyperparameters import Value

__all__ = ["FusionNetwork", "Shape", "build", "choose_variants", "variants"]


@cache
def variants() -> dict[str, type[FusionNetwork]]:
    """All variants by id, in the order of the tables."""
    found: list[type[FusionNetwork]] = []
    for module_info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{module_info.name}")
        for candidate in vars(module).values():
            if (
                isinstance(candidate, type)
                and issubclass(candidate, FusionNetwork)
                and candidate.__module__ == module.__name__
                and "id" in vars(candidate)
            ):
                found.append(candidate)
    return {variant.id: variant for variant in sorted(found, key=lambda variant: (variant.order, variant.id))}


def choose_variants(names: tuple[str, ...]) -> list[type[FusionNetwork]]:
    """The variants with these ids in the order given; `all` or `quick`, alone, stand for groups.

    Raises `UserError` for an unknown id; it lists the known ones.
    """
    known = variants()
    if names == ("all",):
        return list(known.values())
    if names == ("quick",):
        return [variant for variant in known.values() if variant.quick]
    for name in names:
        if name not in known:
            raise unknown("variant", name, [*known, "all", "quick"])
    return [known[name] for name in names]


def build(variant: type[FusionNetwork], shape: Shape, params: dict[str, Value]) -> FusionNetwork:
    """A network of `variant` for `shape`, from those of `params` that are its own hyperparameters."""
    own = {name: params[name] for name in variant.hyperparameters}
    return variant(shape, **own)
