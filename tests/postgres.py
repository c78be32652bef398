"""A PostgreSQL server on loopback, for tests, where its programs are installed (.ci/run installs them)."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def programs() -> Path | None:
    """The folder of initdb and pg_ctl: on the path, or where Debian puts them; None if not installed."""
    found = shutil.which("pg_ctl")
    if found:
        return Path(found).resolve().parent
    return max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)


@contextmanager
def postgres_server(password: str | None = None) -> Iterator[str]:
    """The URL of an empty database, which asks for `password` if there is one (the URL does not hold it).

    PostgreSQL refuses to run as root, so root becomes the user `postgres`.
    """
    folder, binaries = Path(tempfile.mkdtemp(prefix="avfusion-postgres-")), programs()
    assert binaries is not None
    user = "postgres" if os.getuid() == 0 else None
    authentication = ["--auth=trust"]
    if password is not None:
        (folder / "password").write_text(password)
        authentication = ["--auth=scram-sha-256", f"--pwfile={folder / 'password'}"]
    if user:
        for path in (folder, *folder.iterdir()):
            shutil.chown(path, user)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def call(program: str, *arguments: str) -> None:
        with Path(os.devnull if user else folder / "calls.log").open("ab") as log:  # a server would keep a pipe open
            subprocess.run(
                [str(binaries / program), *arguments],
                check=True, cwd="/", stdout=log, stderr=log, timeout=60,
                user=user, group=user, extra_groups=[] if user else None,
            )  # fmt: skip

    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
    try:
        call("initdb", "-D", str(folder / "data"), "-U", "avfusion", *authentication, "--no-sync", "-E", "UTF8")
        call("pg_ctl", "-D", str(folder / "data"), "-w", "-l", str(folder / "server.log"), "-o", options, "start")
        yield f"postgresql://avfusion@127.0.0.1:{port}/postgres"
    finally:
        call("pg_ctl", "-D", str(folder / "data"), "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)
