"""Downloading OpenL3's official weight files: resumed, one at a time, bounded, verified before use."""

import hashlib
import http.client
import logging
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from avfusion.errors import UserError

OFFICIAL_URL = "https://github.com/marl/openl3/raw/models/"

# git blob ids of the files in the branch `models` of github.com/marl/openl3
BLOB_IDS = {
    "openl3_audio_linear_env-v0_4_0.h5.gz": "7837407f033f3564c7e8d53fc4a4241fe160478b",
    "openl3_audio_linear_music-v0_4_0.h5.gz": "4e2e61beb17865481c8b8791c72eac8307e2753a",
    "openl3_audio_mel128_env-v0_4_0.h5.gz": "8c3dfee140f7776373841e5938a3e76c54f28942",
    "openl3_audio_mel128_music-v0_4_0.h5.gz": "73ff29de441865318c4b3a3f98c40763c4773e7c",
    "openl3_audio_mel256_env-v0_4_0.h5.gz": "34dbd7a91cdd2de6a3d6d036ac0a24d27d78e3cc",
    "openl3_audio_mel256_music-v0_4_0.h5.gz": "15e483646fa3d4091a463f0affbb706e6bbbb098",
    "openl3_image_linear_env-v0_4_0.h5.gz": "a1e527ad5367efb19b18cd051523bf3fadd02feb",
    "openl3_image_linear_music-v0_4_0.h5.gz": "7ccfc16536bff5f46902df6d7f89075f1bfce8bb",
    "openl3_image_mel128_env-v0_4_0.h5.gz": "680c5d4adffc2b0d7b789913a2e9ebccd469be55",
    "openl3_image_mel128_music-v0_4_0.h5.gz": "c287c5f9bc949595ff4fda83177bcc98142601e9",
    "openl3_image_mel256_env-v0_4_0.h5.gz": "dbdf24a7e837267487adb3eed1586fcd2e37d775",
    "openl3_image_mel256_music-v0_4_0.h5.gz": "67bf0b891eb4fb797defafa5b3edc3c75f3cd6ee",
}

# SHA-256 of the same files, as far as somebody published it; git's ids stand for content and length of all of them.
# The one here is from github.com/whepper/musicpack (research/sonic/analyzers/openl3.py).
SHA256 = {
    "openl3_audio_mel256_music-v0_4_0.h5.gz": "e379f41e880b78e157c199ebddac80d3764e6a46282bcccdbe875bcf538f9afd",
}

LARGEST = 2**27
"""Bytes of a weight file, packed or not: a network of 4.7 million weights in float32 has 19 million, and a mel
spectrogram layer beside it 18."""

_CHUNK = 2**16
_TIMEOUT = 30.0  # seconds without a byte
_FRUITLESS_ATTEMPTS = 3  # in a row, before giving up
_PAUSE = 1.0  # seconds between attempts

_log = logging.getLogger(__name__)


class _InterruptedError(Exception):
    """A transfer that broke off and can be resumed."""


class _TooLargeError(Exception):
    """More comes than any weight file has."""


def git_blob_id(content: bytes) -> str:
    """The SHA-1 by which git names a file: of `blob <size>`, a zero byte, and the content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def download_official(
    name: str,
    target: Path,
    convert: Callable[[Path], None],
    base_url: str = OFFICIAL_URL,
) -> None:
    """Fetch the official file `name`, verify it, and let `convert` make `target` from it.

    Waits while another process downloads the same file, and then uses what it made. A transfer that
    breaks off goes on where it stopped, also in a later call. The download itself is deleted at the end.

    Raises UserError in one line that names the address, the file and where to put it by hand.
    """
    from filelock import FileLock

    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.parent / f"{name}.lock"):
        if target.is_file():
            return
        partial = target.parent / f"{name}.part"
        try:
            _fetch_verified(f"{base_url}{name}", partial, name)
        except (_InterruptedError, _TooLargeError, urllib.error.URLError, OSError) as error:
            reason = getattr(error, "reason", None) or error
            raise UserError(
                f"cannot download {base_url}{name} ({reason}); fetch it on another machine and put {name} "
                f"into {target.parent}, or name its folder with weights=FOLDER"
            ) from None
        archive = target.parent / name
        partial.replace(archive)
        convert(archive)
        archive.unlink()


def _damage(content: bytes, name: str) -> str:
    """What is wrong with the file called `name`, or ""."""
    if git_blob_id(content) != BLOB_IDS[name]:
        return f"its git blob id is not {BLOB_IDS[name]}"
    if name in SHA256 and hashlib.sha256(content).hexdigest() != SHA256[name]:
        return f"its SHA-256 is not {SHA256[name]}"
    return ""


def _fetch_verified(url: str, partial: Path, name: str) -> None:
    """Bring `partial` to the whole official file `name`, over several attempts if need be."""
    fruitless = 0
    while True:
        before = partial.stat().st_size if partial.exists() else 0
        try:
            _fetch_rest(url, partial)
        except _InterruptedError as error:
            size = partial.stat().st_size if partial.exists() else 0
            fruitless = 0 if size > before else fruitless + 1
            _log.warning("download of %s broke off at %d bytes: %s", url, size, error)
            problem = error
        else:
            damage = _damage(partial.read_bytes(), name)
            if not damage:
                return
            partial.unlink()
            fruitless += 1
            problem = _InterruptedError(f"the file that came is damaged: {damage}")
            _log.warning("%s: %s", url, problem)
        if fruitless >= _FRUITLESS_ATTEMPTS:
            raise problem
        time.sleep(_PAUSE)


def _fetch_rest(url: str, partial: Path) -> None:
    """Append what `partial` still lacks.

    Raises _InterruptedError when the transfer breaks off, _TooLargeError when it is announced as too large or becomes
    so; then nothing is kept.
    """
    from avfusion.system.progress import show_progress  # here: tqdm is not needed by who has weights

    have = partial.stat().st_size if partial.exists() else 0
    _check_size(have, partial)
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing beyond what we have: either whole, or not this file at all
            return
        raise
    except (ConnectionError, TimeoutError, http.client.HTTPException) as error:
        raise _InterruptedError(str(error) or type(error).__name__) from None
    with response:
        resumed = response.status == 206
        have = have if resumed else 0
        announced = response.headers.get("Content-Length") or ""
        total = have + int(announced) if announced.isdecimal() else 0
        _check_size(total, partial)
        with (
            show_progress(partial.stem, total or None, "B", done=have) as bar,
            partial.open("ab" if resumed else "wb") as file,
        ):
            try:
                while chunk := response.read(_CHUNK):
                    _check_size(file.tell() + len(chunk), partial)
                    file.write(chunk)
                    bar.update(len(chunk))
            except (ConnectionError, TimeoutError, http.client.HTTPException) as error:
                raise _InterruptedError(str(error) or type(error).__name__) from None
            size = file.tell()
    if size < total:
        raise _InterruptedError(f"{size} of {total} bytes came")


def _check_size(size: int, partial: Path) -> None:
    if size > LARGEST:
        partial.unlink(missing_ok=True)
        raise _TooLargeError(f"it is {size} bytes or more; a weight file has at most {LARGEST}")
