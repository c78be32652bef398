"""Where studies live: a journal file, sqlite, or a PostgreSQL server."""

import os
import time
from pathlib import Path

from filelock import FileLock
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, ProgrammingError, SQLAlchemyError

from avfusion.errors import UserError
from avfusion.system.secrets import refuse_secret
from avfusion.tuning.sampling import retry

JOURNAL = Path("runs/tuning/studies.log")
"""The journal of all studies for which no other storage is named."""

HEARTBEAT = 15
"""Seconds between two signs of life of a trial in a database."""
GRACE = 60
"""Seconds without a sign of life after which a trial is given to another worker."""
CONNECT_TIMEOUT = 5
"""Seconds that a database server may take for its first answer."""
FORMS = "expected none, the path of a journal file, sqlite:///FILE or postgresql://USER@HOST/DATABASE"


def resolve_storage(text: str | None) -> str:
    """`text` as an absolute path or a full URL: what `open_storage` takes in any process.

    None is the journal file `JOURNAL` in the working directory. Raises `UserError` for another kind of storage, and
    for an address with a password in it.
    """
    if text is None:
        return str(JOURNAL.absolute())
    if "://" not in text:
        return str(Path(text.removeprefix("journal:")).absolute())
    refuse_secret("storage", text)
    try:
        url = make_url(text)
    except ArgumentError:
        raise UserError(f"storage={text}: cannot be read; {FORMS}") from None
    if url.drivername == "sqlite" and url.database:
        return f"sqlite:///{Path(url.database).absolute()}"
    if url.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        return url.set(drivername="postgresql+psycopg").render_as_string()
    raise UserError(f"storage={text}: unknown kind of storage; {FORMS}")


def open_storage(address: str, *, heartbeat: int = HEARTBEAT, grace: int = GRACE) -> BaseStorage:
    """The storage at `address`, which `resolve_storage` gave, made if it is not there.

    Raises `UserError` if it cannot be opened.
    """
    try:
        if "://" not in address:
            return _journal(Path(address))
        if not address.startswith("sqlite:///"):
            return _database(address, {"connect_timeout": CONNECT_TIMEOUT}, heartbeat, grace)
        path = Path(address.removeprefix("sqlite:///"))
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"):  # two processes that make the tables at once would break them
            return _database(address, {"timeout": 60}, heartbeat, grace)
    except (OSError, SQLAlchemyError, RuntimeError) as error:
        reason = str(error.orig if isinstance(error, DBAPIError) else error).strip().splitlines()[0]
        raise UserError(
            f"storage={address} does not answer ({reason}); "
            "check the address, or leave `storage` out to use a journal file"
        ) from error


def _journal(path: Path) -> JournalStorage:
    if path.is_dir():
        raise OSError("it is a folder, not a file")
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_file():
        with path.open("rb") as file:
            if file.read(1) not in (b"", b"{"):
                raise OSError("it is not a journal of Optuna")
    return JournalStorage(JournalFileBackend(str(path), lock_obj=JournalLock(path)))


def _database(url: str, connection: dict[str, int], heartbeat: int, grace: int) -> RDBStorage:
    try:
        return _connected(url, connection, heartbeat, grace)
    except (IntegrityError, ProgrammingError):
        # Two machines made the tables at once; a moment later they are there.
        time.sleep(1)
        return _connected(url, connection, heartbeat, grace)


def _connected(url: str, connection: dict[str, int], heartbeat: int, grace: int) -> RDBStorage:
    return RDBStorage(
        url,
        engine_kwargs={"connect_args": connection, "pool_pre_ping": True},
        heartbeat_interval=heartbeat,
        grace_period=grace,
        heartbeat_stale_trial_callback=retry,
    )


class JournalLock(JournalFileOpenLock):
    """Whoever appends to a journal; the system frees it when its owner is killed, whatever the moment.

    Optuna's own locks stay behind a killed owner for 30 seconds. Ours has another name, for its file stays, and whoever
    opens the journal with theirs, as optuna-dashboard does, would wait as long for it. A line that a kill cut short is
    removed before the next is written: Optuna would otherwise glue the two together and never read past them.
    """

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._lock = FileLock(f"{journal}.writing", poll_interval=0.002)

    def acquire(self) -> bool:
        """Wait for the lock, then mend the end of the journal."""
        self._lock.acquire()
        if self._journal.exists():
            with self._journal.open("rb+") as file:
                size = file.seek(0, os.SEEK_END)
                end = size
                while end and (file.seek(end - 1), file.read(1))[1] != b"\n":
                    end -= 1
                if end != size:
                    file.truncate(end)
        return True

    def release(self) -> None:
        """Let the next one in."""
        self._lock.release()
