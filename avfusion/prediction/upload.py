"""Clips that come over the network: base64 text, or a path under a root that the server was given."""

import base64
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from avfusion.errors import UserError

ROOT, MEGABYTES, TIMEOUT, WORKERS = (
    f"AVFUSION_{name}" for name in ("CLIP_ROOT", "CLIP_MEGABYTES", "CLIP_TIMEOUT", "CLIP_WORKERS")
)
"""Environment variables of a server, see `ServerLimits`."""

PATH_PREFIX = "file:"
_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")
_DATA_URL = re.compile(r"data:[^,]{0,200};base64,")
_DEFAULTS = {MEGABYTES: 64.0, TIMEOUT: 30.0, WORKERS: 2.0}


@dataclass(frozen=True)
class ServerLimits:
    """What a server accepts.

    Attributes:
        root: the folder whose files may be named by path; None allows no path ($AVFUSION_CLIP_ROOT).
        megabytes: of an uploaded clip ($AVFUSION_CLIP_MEGABYTES, 64).
        timeout: seconds that decoding one clip may take ($AVFUSION_CLIP_TIMEOUT, 30).
        workers: processes that decode and embed ($AVFUSION_CLIP_WORKERS, 2).
    """

    root: Path | None
    megabytes: float
    timeout: float
    workers: int

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "ServerLimits":
        """Raises `UserError` for a value that is no number above 0 and for a root that is no folder."""
        numbers = {name: _number(name, environment.get(name, str(default))) for name, default in _DEFAULTS.items()}
        root = Path(environment[ROOT]) if environment.get(ROOT) else None
        if root is not None and not root.is_dir():
            raise UserError(f"{ROOT}={root}: no such folder")
        return cls(root, numbers[MEGABYTES], numbers[TIMEOUT], max(1, round(numbers[WORKERS])))


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise UserError(f"{name}={text}: expected a number above 0")
    return value


@contextmanager
def clip_file(text: str, limits: ServerLimits) -> Iterator[Path]:
    """The file that a request's `clip` stands for; an upload is removed afterwards.

    `text` is the base64 of a media file (a data URL will do), or the path of one, relative to the server's root. What
    cannot be base64 (a file's suffix has a dot) is a path; `file:` before it says so in any case.
    Raises `UserError` for an upload that is too large, before it is decoded, and for a path that is not allowed.
    """
    content = _DATA_URL.sub("", text, count=1) if text.startswith("data:") else text
    if len(content) * 0.75 > limits.megabytes * 1e6 + 2:
        raise UserError(
            f"`clip` is too large: {len(content) * 0.75 / 1e6:.1f} MB; this server accepts {limits.megabytes:g} MB"
        )
    squeezed = "".join(content.split())
    if not squeezed:
        raise UserError("`clip` is empty; send the bytes of a media file in base64")
    if text.startswith(PATH_PREFIX) or len(squeezed) % 4 or not _BASE64.fullmatch(squeezed):
        yield _under_root(text.removeprefix(PATH_PREFIX), limits.root)
        return
    media = base64.b64decode(squeezed, validate=True)
    with tempfile.TemporaryDirectory(prefix="avfusion-") as folder:
        path = Path(folder) / "clip"
        path.write_bytes(media)
        yield path


def _under_root(name: str, root: Path | None) -> Path:
    """The file `name` in `root`. What lies outside is refused in the same words as what does not exist."""
    if root is None:
        raise UserError(f"`clip` is no base64, and this server reads no paths: it was started without {ROOT}")
    try:
        path = (root / name).resolve()
        allowed = path.is_relative_to(root.resolve()) and path.is_file()
    except (ValueError, OSError, RuntimeError):  # a NUL character, a name too long, a loop of links
        allowed = False
    if not allowed:
        raise UserError(f"`clip` is neither base64 nor the path of a file under the server's root: {name[:100]!r}")
    return path
