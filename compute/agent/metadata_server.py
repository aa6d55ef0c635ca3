"""The metadata service at 169.254.169.254: one asyncio server for all networks. It runs without rights (`metadata_process`).

It is handed, for each network, a socket that listens inside its router namespace and stays there wherever it is served. So a caller
is known by the network of the socket and its address, unique although addresses of networks overlap; the fabric drops forged ones.
Nothing in a request says who asks.

Tokens of EC2's IMDSv2 are signed, not stored; their answer travels one hop only, unless the instance allows more (containers), so a
proxy inside the guest cannot pass it on. An instance may require them: then nothing of it is told without one, in either dialect.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import logging
import secrets
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote
from uuid import UUID

from compute.metadata_tree import Answer, InstanceMetadata, find, is_password

log = logging.getLogger(__name__)

HEAD_BYTES_MAX = 8 * 1024
HEAD_SECONDS = 10.0
LOOKUP_SECONDS = 10.0
WRITE_SECONDS = 20.0
REQUESTS_MAX = 100  # on one connection
CONNECTIONS_MAX = 256  # of one network
CONNECTIONS_PER_CALLER_MAX = 32
TOKEN_SECONDS_MAX = 21600
PASSWORD_BYTES_MAX = 1020  # as Nova has it: 4 pieces of 255
HOPS = 64

Lookup = Callable[[UUID, str], Awaitable[InstanceMetadata | None]]
Keep = Callable[[UUID, str, str], Awaitable[bool]]

_PHRASES = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed"}
_PHRASES |= {409: "Conflict", 413: "Content Too Large", 431: "Request Header Fields Too Large", 503: "Service Unavailable"}


@dataclass(frozen=True)
class _Request:
    method: str
    path: str
    headers: Mapping[str, str]


@dataclass(frozen=True)
class _Response:
    status: int
    answer: Answer = field(default_factory=lambda: Answer(b""))
    headers: tuple[tuple[str, str], ...] = ()
    hops: int = HOPS


@dataclass
class _Listener:
    server: asyncio.Server
    writers: set[asyncio.StreamWriter]


class MetadataServer:
    def __init__(self, lookup: Lookup, keep: Keep | None = None) -> None:
        """`keep` stores a password that a guest leaves, and says whether it did; without it none can be left."""
        self._lookup = lookup
        self._keep = keep
        self._listeners: dict[UUID, _Listener] = {}
        self._key = secrets.token_bytes(32)

    async def listen(self, id: UUID, sock: socket.socket) -> None:
        """Serve a network by a socket that listens inside its router namespace; in the place of an earlier one, if there is one."""
        await self.shut(id)
        sock.setblocking(False)
        callers: Counter[str] = Counter()
        writers: set[asyncio.StreamWriter] = set()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._connection(id, callers, writers, reader, writer)

        server = await asyncio.start_server(serve, sock=sock, limit=HEAD_BYTES_MAX)
        self._listeners[id] = _Listener(server, writers)

    async def shut(self, id: UUID) -> None:
        listener = self._listeners.pop(id, None)
        if listener is None:
            return
        listener.server.close()
        for writer in list(listener.writers):
            writer.transport.abort()

    async def close(self) -> None:
        for id in list(self._listeners):
            await self.shut(id)

    async def _connection(
        self,
        network: UUID,
        callers: Counter[str],
        writers: set[asyncio.StreamWriter],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """Serve one connection to its end, within the limits of its network and of its caller."""
        caller = str(writer.get_extra_info("peername")[0])
        if callers.total() >= CONNECTIONS_MAX or callers[caller] >= CONNECTIONS_PER_CALLER_MAX:
            writer.transport.abort()
            return
        callers[caller] += 1
        writers.add(writer)
        try:
            for left in reversed(range(REQUESTS_MAX)):
                if not await self._exchange(network, caller, reader, writer, last=left == 0):
                    break
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass  # Gone, or too slow: nobody to tell.
        finally:
            callers[caller] -= 1
            if not callers[caller]:
                del callers[caller]
            writers.discard(writer)
            writer.close()

    async def _exchange(
        self, network: UUID, caller: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, last: bool
    ) -> bool:
        """One request and its response; true when another may follow."""
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), HEAD_SECONDS)
        except asyncio.LimitOverrunError:
            await _respond(writer, _Response(431), keep=False, body=True)
            return False
        request = _parse(head)
        if request is None:
            await _respond(writer, _Response(400), keep=False, body=True)
            return False
        keep = not last and request.headers.get("connection", "").lower() != "close"
        length = request.headers.get("content-length", "0")
        if self._keep is not None and request.method == "POST" and is_password(request.path) and _is_short(length):
            # The one place that takes a body.
            password = await asyncio.wait_for(reader.readexactly(int(length)), HEAD_SECONDS)
            response = await self._leave(network, caller, request, password)
        elif request.headers.get("transfer-encoding") or length != "0":
            response, keep = _Response(413), False
        else:
            response = await self._answer(network, caller, request)
        await _respond(writer, response, keep=keep, body=request.method != "HEAD")
        return keep

    async def _answer(self, network: UUID, caller: str, request: _Request) -> _Response:
        if request.path == "/latest/api/token":
            return await self._token(network, caller, request)
        if request.method not in ("GET", "HEAD"):
            return _Response(405, headers=(("Allow", "GET, HEAD"),))
        found = await self._asker(network, caller, request)
        if isinstance(found, _Response):
            return found
        answer = find(found, request.path)
        return _Response(404) if answer is None else _Response(200, answer)

    async def _asker(self, network: UUID, caller: str, request: _Request) -> InstanceMetadata | _Response:
        """Who asks, if its token is good or it needs none; or why there is no answer."""
        token = request.headers.get("x-aws-ec2-metadata-token")
        if token is not None and not self._is_good(token, network, caller):
            return _Response(401)
        found = await self._found(network, caller)
        if isinstance(found, InstanceMetadata) and found.tokens_required and token is None:
            return _Response(401)
        return found

    async def _found(self, network: UUID, caller: str) -> InstanceMetadata | _Response:
        try:
            instance = await asyncio.wait_for(self._lookup(network, caller), LOOKUP_SECONDS)
        except Exception:
            # The database may be away; the guest asks again.
            log.exception("The metadata of %s on network %s could not be read.", caller, network)
            return _Response(503, headers=(("Retry-After", "2"),))
        return _Response(404) if instance is None else instance

    async def _leave(self, network: UUID, caller: str, request: _Request, password: bytes) -> _Response:
        """A guest leaves its password, encrypted for its owner: once, so that nobody in the guest replaces it later."""
        assert self._keep is not None
        found = await self._asker(network, caller, request)
        if isinstance(found, _Response):
            return found
        text = password.decode("latin-1").strip()
        if not text or not text.isascii() or not text.isprintable():
            return _Response(400)
        try:
            kept = not found.password and await asyncio.wait_for(self._keep(network, caller, text), LOOKUP_SECONDS)
        except Exception:
            log.exception("The password of %s on network %s could not be kept.", caller, network)
            return _Response(503, headers=(("Retry-After", "2"),))
        return _Response(200) if kept else _Response(409)

    async def _token(self, network: UUID, caller: str, request: _Request) -> _Response:
        if request.method != "PUT":
            return _Response(405, headers=(("Allow", "PUT"),))
        if "x-forwarded-for" in request.headers:
            return _Response(403)  # A proxy asks for somebody else: what tokens are there to prevent.
        ttl = request.headers.get("x-aws-ec2-metadata-token-ttl-seconds", "")
        if not ttl.isascii() or not ttl.isdigit() or len(ttl) > 6 or not 1 <= int(ttl) <= TOKEN_SECONDS_MAX:
            return _Response(400)
        found = await self._found(network, caller)
        if isinstance(found, _Response):
            return found
        token = self._sign(int(time.time()) + int(ttl), network, caller)
        headers = (("X-aws-ec2-metadata-token-ttl-seconds", str(int(ttl))),)
        return _Response(200, Answer(token.encode()), headers, hops=found.token_hops)

    def _sign(self, expires: int, network: UUID, caller: str) -> str:
        stamp = expires.to_bytes(8)
        digest = hmac.digest(self._key, stamp + network.bytes + caller.encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(stamp + digest).decode()

    def _is_good(self, token: str, network: UUID, caller: str) -> bool:
        try:
            expires = int.from_bytes(base64.urlsafe_b64decode(token)[:8])
        except ValueError:
            return False
        if expires < time.time() or expires > time.time() + TOKEN_SECONDS_MAX:
            return False
        return hmac.compare_digest(self._sign(expires, network, caller).encode(), token.encode())


def _is_short(length: str) -> bool:
    return length.isascii() and length.isdigit() and len(length) <= 4 and 0 < int(length) <= PASSWORD_BYTES_MAX


def _parse(head: bytes) -> _Request | None:
    """The request, or None when it is none."""
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1.") or not words[1].startswith("/"):
        return None
    headers: dict[str, str] = {}
    for line in lines[1:-2]:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            return None
        headers[name.lower()] = value.strip()
    if words[2] == "HTTP/1.0":
        headers.setdefault("connection", "close")
    return _Request(words[0], unquote(words[1].split("?", 1)[0]), headers)


async def _respond(writer: asyncio.StreamWriter, response: _Response, *, keep: bool, body: bool) -> None:
    answer = response.answer
    content = answer.body if response.status == 200 else f"{response.status} {_PHRASES[response.status]}\n".encode()
    lines = [
        f"HTTP/1.1 {response.status} {_PHRASES[response.status]}",
        f"Content-Type: {answer.type}; charset=utf-8" if answer.type != "application/octet-stream" else f"Content-Type: {answer.type}",
        f"Content-Length: {len(content)}",
        f"Connection: {'keep-alive' if keep else 'close'}",
        "Server: Cloudbox",
        *(f"{name}: {value}" for name, value in response.headers),
    ]
    sock = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, response.hops)
    writer.write("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (content if body else b""))
    await asyncio.wait_for(writer.drain(), WRITE_SECONDS)
