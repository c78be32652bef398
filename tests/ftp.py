"""A file server on loopback, to stand for storage that is reached by an address."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import aioftp


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serves `folder`; yields its address for fsspec."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = aioftp.Server([aioftp.User("user", "password", base_path=folder)])

    async def move(connection: aioftp.Connection, rest: str | PurePosixPath) -> bool:
        """Onto files that are there too, as other servers do."""
        await connection.path_io.rename(connection.rename_from, server.get_paths(connection, rest)[0])
        del connection.rename_from
        connection.response("250", "")
        return True

    server.commands_mapping["rnto"] = move
    asyncio.run_coroutine_threadsafe(server.start("127.0.0.1", 0), loop).result(10)
    try:
        yield f"ftp://user:password@127.0.0.1:{server.server_port}"
    finally:
        asyncio.run_coroutine_threadsafe(server.close(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
