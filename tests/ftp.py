"""A file server on loopback, to stand for storage that is reached by an address."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import ThreadedFTPServer


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serves `folder`; yields its address for fsspec."""
    authorizer = DummyAuthorizer()
    authorizer.add_user("user", "password", str(folder), perm="elradfmwMT")
    handler = type("Handler", (FTPHandler,), {"authorizer": authorizer})
    server = ThreadedFTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"ftp://user:password@127.0.0.1:{server.address[1]}"
    finally:
        server.close_all()
        thread.join(10)
