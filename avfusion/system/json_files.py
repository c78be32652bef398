"""Reading JSON files, which may be damaged or come from anyone."""

import json
from pathlib import Path
from typing import Any


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in `path`.

    Raises OSError if the file cannot be read, and ValueError, of one line, for whatever is no object in UTF-8.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError(f"it holds a {type(found).__name__} in place of an object")
    return found
