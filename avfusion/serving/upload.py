"""Clips that come over the network: base64 text, or a path under a root that the server was given."""

import base64
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from avfusion.errors import UserError
from avfusion.media import Limits

ROOT, MEGABYTES, SECONDS, TIMEOUT, WORKERS, QUEUE, ROWS = (
    f"AVFUSION_CLIP_{name}" for name in ("ROOT", "MEGABYTES", "SECONDS", "TIMEOUT", "WORKERS", "QUEUE", "ROWS")
)
"""Environment variables of a server, see `ServerLimits`."""

PATH_PREFIX = "file:"
_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")
_DATA_URL = re.compile(r"data:[^,]{0,200};base64,")
_DEFAULTS = {MEGABYTES: 64.0, SECONDS: 60.0, TIMEOUT: 60.0, WORKERS: 2.0, QUEUE: 16.0, ROWS: 64.0}
_FASTEST = 120
"""Pictures a second of a clip that is as long as it may be."""


@dataclass(frozen=True)
class ServerLimits:
    """What a server accepts.

    Attributes:
        root: the folder whose files may be named by path; None allows no path ($AVFUSION_CLIP_ROOT).
        megabytes: of an uploaded clip ($AVFUSION_CLIP_MEGABYTES, 64).
        seconds: of a clip ($AVFUSION_CLIP_SECONDS, 60).
        timeout: seconds that the clips of a request may be decoded and embedded, and that they may wait for their turn,
            and that a request may take to arrive ($AVFUSION_CLIP_TIMEOUT, 60).
        workers: processes that decode and embed ($AVFUSION_CLIP_WORKERS, 2).
        queue: requests with clips that may wait for a worker ($AVFUSION_CLIP_QUEUE, 16).
        rows: of a request, with clips or with arrays ($AVFUSION_CLIP_ROWS, 64).
    """

    root: Path | None = None
    megabytes: float = _DEFAULTS[MEGABYTES]
    seconds: float = _DEFAULTS[SECONDS]
    timeout: float = _DEFAULTS[TIMEOUT]
    workers: int = round(_DEFAULTS[WORKERS])
    queue: int = round(_DEFAULTS[QUEUE])
    rows: int = round(_DEFAULTS[ROWS])

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "ServerLimits":
        """Raises `UserError` for a value that is no number above 0 and for a root that is no folder."""
        numbers = {name: _number(name, environment.get(name, str(default))) for name, default in _DEFAULTS.items()}
        workers, queue, rows = (max(1, round(numbers[name])) for name in (WORKERS, QUEUE, ROWS))
        root = Path(environment[ROOT]) if environment.get(ROOT) else None
        if root is not None and not root.is_dir():
            raise UserError(f"{ROOT}={root}: no such folder")
        return cls(root, numbers[MEGABYTES], numbers[SECONDS], numbers[TIMEOUT], workers, queue, rows)

    @property
    def request_megabytes(self) -> float:
        """Of the body of a request: the largest clip in base64, and something around it."""
        return self.megabytes * 4 / 3 + 1

    @property
    def media(self) -> Limits:
        """What clips are refused before they are embedded."""
        return Limits(seconds=self.seconds, frames=math.ceil(self.seconds * _FASTEST))


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise UserError(f"{name}={text}: expected a number above 0")
    return value


@dataclass(frozen=True)
class Upload:
    """A media file as it came: base64 text without a doubt."""

    text: str

    def write(self, path: Path) -> Path:
        """Write the media file to `path`, which is returned."""
        path.write_bytes(base64.b64decode(self.text, validate=True))
        return path


def read_clip(text: str, limits: ServerLimits) -> Path | Upload:
    """What a request's `clip` stands for.

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
        return _under_root(text.removeprefix(PATH_PREFIX), limits.root)
    return Upload(squeezed)


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
