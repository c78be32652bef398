"""What stands between the network and a served model: the size of requests, clients that leave, the end of the server.

An ASGI middleware that knows nothing of models. Refusals are JSON of one line, in the form of MLflow's.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any, NamedTuple

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

MOST_VALUES, MOST_LISTS = 4_000_000, 200_000
"""In a request: a list of empty lists takes thirty times its length in memory, and tables of it seconds to make."""
BODIES_AT_ONCE = 3
"""Requests of the largest size that may be in memory together; more of smaller ones."""
ARRAY_THREADS = 8
"""Requests that are worked on beside clips, which mostly wait."""

_client: ContextVar["Client | None"] = ContextVar("client", default=None)


class Client:
    """Who waits for the answer to a request, and how much of it is in memory."""

    gone = False
    n_bytes = 0


def client_is_gone() -> bool:
    """Whether nobody waits any more for the request that this thread works on."""
    client = _client.get()
    return client is not None and client.gone


class Refusal(NamedTuple):
    """Status, code by the names of MLflow, and one line."""

    status: int
    code: str
    line: str


class Gate:
    """An application whose requests are of bounded size, in bounded memory."""

    def __init__(
        self, app: Application, *, megabytes: float, seconds: float, clips: int, close: Callable[[], None]
    ) -> None:
        """Takes the place of `app`.

        Args:
            app: what answers requests.
            megabytes: of the body of a request.
            seconds: in which a body must have arrived.
            clips: requests with clips that may be in work or wait; there will be threads for others beside them.
            close: called when the server ends, after the last request.
        """
        self._app, self._seconds, self._close = app, seconds, close
        self._most = round(megabytes * 1e6)
        too_large = f"the request is too large; this server accepts {megabytes:.1f} MB"
        self._too_large = Refusal(413, "BAD_REQUEST", too_large)
        self._threads = clips + ARRAY_THREADS
        self._held = 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] == "lifespan":
            asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(self._threads))
            await self._app(scope, self._until_the_end(receive), send)
        elif scope["type"] == "http":
            await self._request(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _until_the_end(self, receive: Receive) -> Receive:
        async def listen() -> Message:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                await asyncio.to_thread(self._close)
            return message

        return listen

    async def _request(self, scope: Message, receive: Receive, send: Send) -> None:
        client = Client()
        _client.set(client)
        try:
            body = await self._body(scope, receive, client)
            if isinstance(body, Refusal):
                await _refuse(body, send)
            elif body is not None:
                await self._answer(scope, body, client, receive, send)
        finally:
            client.gone = True  # a thread may still be at work
            self._held -= client.n_bytes

    async def _answer(self, scope: Message, body: bytes, client: Client, receive: Receive, send: Send) -> None:
        """Hands over a request whose body is there, and watches whether its client stays."""
        parts = [body]

        async def watch() -> Message:
            while (message := await receive())["type"] != "http.disconnect":
                pass
            client.gone = True
            return message

        watching = asyncio.create_task(watch())

        async def replay() -> Message:
            if parts:
                return {"type": "http.request", "body": parts.pop(), "more_body": False}
            return await asyncio.shield(watching)

        try:
            await self._app(scope, replay, send)
        finally:
            watching.cancel()

    async def _body(self, scope: Message, receive: Receive, client: Client) -> bytes | Refusal | None:
        """The whole body, or why it is not taken; None if the client left."""
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        length = headers.get(b"content-length", "0")
        refused = self._too_large if not (length.isascii() and length.isdigit()) or int(length) > self._most else None
        if refused and b"expect" in headers:
            return refused  # before the client sends anything
        chunks: list[bytes] = []
        try:
            async with asyncio.timeout(self._seconds):
                async for chunk in _chunks(receive):
                    refused = refused or self._no_room(client.n_bytes, len(chunk))
                    if refused is None:
                        chunks.append(chunk)
                        client.n_bytes += len(chunk)
                        self._held += len(chunk)
                    else:  # read to the end all the same: a client that still sends would not hear the answer
                        chunks.clear()
        except TimeoutError:
            late = f"the request took more than {self._seconds:g} s to arrive"
            return refused or Refusal(408, "DEADLINE_EXCEEDED", late)
        except ConnectionError:
            return None
        if refused or scope["method"] != "POST":
            return refused or b"".join(chunks)
        body = b"".join(chunks)
        chunks.clear()
        return await asyncio.to_thread(_complaint, headers.get(b"content-type", ""), body) or body

    def _no_room(self, n_bytes: int, more: int) -> Refusal | None:
        """Why `more` bytes cannot be taken after `n_bytes` of the same request."""
        if n_bytes + more > self._most:
            return self._too_large
        if self._held + more > BODIES_AT_ONCE * self._most:
            return Refusal(503, "TEMPORARILY_UNAVAILABLE", "the server holds too many requests; try again later")
        return None


async def _chunks(receive: Receive) -> AsyncIterator[bytes]:
    """The body of a request in pieces; `ConnectionError` if the client leaves before its end."""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError
        yield message.get("body", b"")
        more = message.get("more_body", False)


def _complaint(kind: str, body: bytes) -> Refusal | None:
    """What is wrong with a body before anyone makes tables of it."""
    kind = kind.split(";")[0].strip().lower()
    if not body:
        return Refusal(400, "BAD_REQUEST", "the request is empty")
    if kind not in ("application/json", "text/csv"):  # a table in Parquet is of any size once it is unpacked
        return Refusal(415, "BAD_REQUEST", f"content type {kind[:40]!r}; this server takes application/json")
    n_values, n_lists = (sum(map(body.count, marks)) for marks in ((b",", b"\n"), (b"[", b"{")))
    if n_values > MOST_VALUES or n_lists > MOST_LISTS:
        most = f"{MOST_VALUES} values in {MOST_LISTS} lists"
        return Refusal(413, "BAD_REQUEST", f"the request holds too much; this server accepts {most}")
    if kind == "application/json":  # the reply of MLflow to what is none is the whole body
        try:
            json.loads(body)
        except (ValueError, RecursionError) as error:
            return Refusal(400, "BAD_REQUEST", f"the request is no JSON: {str(error)[:100]}")
    return None


async def _refuse(refusal: Refusal, send: Send) -> None:
    content = json.dumps({"error_code": refusal.code, "message": refusal.line}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
