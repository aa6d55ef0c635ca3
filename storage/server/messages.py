"""What an application gets and gives: `Request`, `Response`, `App`.

    async def app(request: Request) -> Response:
        if request.method == "PUT":
            body = await request.body.read_all(1 << 20)      # or: async for piece in request.body
            return Response(200, {"ETag": '"…"'})
        return Response(404, {"Content-Type": "text/plain"}, b"There is nothing here.\n")

Text of headers is ISO 8859-1 in both directions, which loses no byte: `value.encode("latin-1")` is what travels. Paths and queries
stay the bytes that were sent, still percent-encoded, since signatures are made over them.

An application runs without a Task of its own until it first waits for something that is not there yet, and most requests never
do. So nothing that asks for the current task (`asyncio.timeout`, `asyncio.TaskGroup`) may be entered before a first real wait;
`await in_task()` makes sure. A hang-up does not cancel an application: it shows where the application next reads or writes, so what
was begun is ended properly.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol
from urllib.parse import unquote_to_bytes

NO_HEADERS: Mapping[str, str] = MappingProxyType({})
PIECE_BYTES = 256 << 10  # What iterating over a body gives at most at once.


class Body(Protocol):
    """A body to be read once, from its beginning. Whatever an application leaves unread, the server disposes of.

    The first read lets a client that waits for it (`Expect: 100-continue`) send the body; who refuses before that has cost nobody
    a transfer. Every read raises BodyTruncated, BodyMalformed, BodyTooLarge or BodyTooSlow when that happens.
    """

    @property
    def length(self) -> int | None:
        """Bytes in all, or None when the client does not say (chunked coding)."""

    async def read(self, limit: int = PIECE_BYTES) -> bytes:
        """What is there, at least one and at most `limit` bytes; b"" at the end."""

    async def read_all(self, limit: int) -> bytes:
        """All that is left. Raises BodyTooLarge, at once if the length was announced, when that is more than `limit` bytes."""

    async def read_into(self, view: memoryview) -> int:
        """Receive into a buffer, without a copy where the connection allows it, and return the number of bytes; 0 at the end.

        For large bodies: a thread receives until the buffer is full or the client pauses. The buffer is in use until the call ends.
        """

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Pieces as they come, until the end."""


class FileRange(Protocol):
    """A stretch of an open file, sent by sendfile(2) where the connection allows it. The server closes it in every case."""

    @property
    def fd(self) -> int: ...

    @property
    def offset(self) -> int: ...

    @property
    def count(self) -> int: ...

    def close(self) -> None: ...


class Tally(Protocol):
    """What an application wants the answer to be counted in."""

    def add(self, method: str, status: int, received: int, sent: int) -> None:
        """Bytes are those of bodies; of a body in chunked coding nothing is known beforehand, so it counts 0."""


class Request:
    """One request, as it was sent."""

    __slots__ = ("_peer", "body", "headers", "id", "method", "note", "path", "query", "received", "tally", "tls")

    def __init__(
        self,
        method: str,
        path: bytes,
        query: bytes,
        headers: dict[str, str],
        body: Body,
        *,
        id: str,
        peer: Callable[[], str] = lambda: "",
        tls: bool = False,
        received: float = 0.0,
    ) -> None:
        self.method = method  # upper case
        self.path = path  # starts with "/" (or is "*"), percent-encoded as it was sent
        self.query = query  # after the "?", percent-encoded as it was sent
        # Names in lower case; a header that came several times is one value, joined by commas. Those that must not come twice
        # (Host, Content-Length, Authorization, Content-Type, Date, Expect…) were refused if they did.
        self.headers = headers
        self.body = body
        self.id = id  # Also in the answer, and in the access log.
        self.tls = tls
        self.received = received  # When its head was complete, in seconds of time.monotonic().
        self.note: dict[str, object] | None = None  # What the application wants to see in the access log beside the usual fields.
        self.tally: Tally | None = None  # When its answer is out, it is counted here.
        self._peer = peer

    @property
    def peer(self) -> str:
        """The client's address, without a port."""
        return self._peer()

    def query_pairs(self) -> list[tuple[bytes, bytes]]:
        """The query's parameters in their order, percent-decoded; "+" is a space, as S3 and Swift read it. `a` and `a=` are alike."""
        if not self.query:
            return []
        pairs = (item.partition(b"=") for item in self.query.replace(b"+", b"%20").split(b"&") if item)
        return [(unquote_to_bytes(name), unquote_to_bytes(value)) for name, _, value in pairs]

    def __repr__(self) -> str:
        return f"<Request {self.id} {self.method} {self.path!r}>"


class Response:
    """An answer. `length` is for answers to HEAD, and for iterables whose length is known; without it those are sent chunked.

    `headers` says neither Date, Content-Length, Connection nor Transfer-Encoding: these are the server's. `close` ends the
    connection afterwards. An iterable that gives fewer bytes than `length` makes the server cut the connection, so that the client
    cannot take the answer for whole; its `aclose` is called in every case.
    """

    __slots__ = ("body", "close", "headers", "length", "status")

    def __init__(
        self,
        status: int,
        headers: Mapping[str, str] = NO_HEADERS,
        body: bytes | AsyncIterable[bytes] | Sequence[FileRange] = b"",
        *,
        length: int | None = None,
        close: bool = False,
    ) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.length = length
        self.close = close


App = Callable[[Request], Coroutine[Any, Any, Response]]


async def in_task() -> None:
    """After this the caller runs in an asyncio Task."""
    import asyncio  # Not above: the parent of the workers has no loop, and asyncio and ssl would be a third of its memory.

    if asyncio.current_task() is None:
        await asyncio.sleep(0)
