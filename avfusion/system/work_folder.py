"""Temporary folders that end with their process, however it ends."""

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

PREFIX = "avfusion-work-"


class WorkFolder:
    """A new folder for temporary files: removed by `close`, when the interpreter ends, or by the next one's owner.

    Its process holds a lock on it, which the system takes back even from a process that is killed: what can be locked
    by another has no owner any more.

    Attributes:
        path: the folder.
    """

    def __init__(self) -> None:
        """Also removes the folders of processes that were killed."""
        remove_left_overs()
        locked = None
        while locked is None:  # whoever removes left-overs may take a folder before it is locked
            self._folder = tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True)
            locked = _lock(Path(self._folder.name))
        self._locked = locked
        self.path = Path(self._folder.name)

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Removes the folder and all that is in it; a second call does nothing."""
        self._folder.cleanup()
        if self._locked >= 0:
            os.close(self._locked)
        self._locked = -1


def remove_left_overs() -> None:
    """Removes the work folders whose process is gone."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        locked = _lock(folder)
        if locked is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(locked)


def _lock(folder: Path) -> int | None:
    """An open descriptor that holds the lock on `folder`; None if another process has it, or it is not ours."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            found = os.fstat(descriptor)
            # A folder that was removed before it was locked has another number, or none, by now.
            if found.st_uid == os.getuid() and found.st_ino == folder.stat().st_ino:
                return descriptor
        os.close(descriptor)
    return None
