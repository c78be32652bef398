"""An embedder's own options, which come by name and sometimes as text (`hop=0.2,centred=false`)."""

from collections.abc import Mapping

from avfusion.embedders import Option
from avfusion.errors import UserError, unknown

_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def read_options(defaults: Mapping[str, Option], given: Mapping[str, Option]) -> dict[str, Option]:
    """`defaults` overridden by `given`, each value converted to the type of its default.

    Raises UserError for a name that is not in `defaults`, and for a value of the wrong kind.
    """
    result = dict(defaults)
    for name, value in given.items():
        if name not in defaults:
            raise unknown("embedder option", name, list(defaults))
        result[name] = _converted(name, value, type(defaults[name]))
    return result


def _converted(name: str, value: Option, kind: type) -> Option:
    try:
        converted: Option = _TRUTH[str(value).strip().lower()] if kind is bool else kind(value)
    except (KeyError, ValueError):
        words = {bool: "true or false", int: "a whole number", float: "a number"}
        raise UserError(f"embedder option {name}={value}; expected {words.get(kind, 'text')}") from None
    return converted
