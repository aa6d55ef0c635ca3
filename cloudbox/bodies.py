"""Bodies of requests come whole, soon, and not large: before that nothing of ours is busy with them.

Django's ASGI handler spools a body of any size to a file, for as long as it comes, before a view runs. Here it is read first, within a
number of bytes and seconds; whoever sends more, or one byte a second, is told so and let go. Objects do not come this way, and images
go into files as they come (`StreamedBodies`).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from asgiref.sync import sync_to_async

log = logging.getLogger(__name__)

_SENTENCES = {
    408: ("Too slow", "request-timeout", "The body took over {seconds} seconds to arrive. Nothing was changed; send it again."),
    413: ("Too large", "too-large", "The body has more than {kib} KiB. Nothing was changed."),
}


class Refused(Exception):
    def __init__(self, status: int) -> None:
        self.status = status


class Gone(Exception):
    """The client has hung up."""


class BoundedBodies:
    """ASGI middleware for HTTP: at most `bytes_max` bytes of body, within `seconds` from the head."""

    def __init__(self, app: Any, *, bytes_max: int, seconds: float) -> None:
        self.app, self.bytes_max, self.seconds = app, bytes_max, seconds

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            body = await self._read(scope, receive)
        except Refused as refused:
            await _refuse(scope, send, refused.status, seconds=self.seconds, kib=self.bytes_max // 1024)
            return
        except Gone:
            return
        told = False

        async def replay() -> dict[str, Any]:
            nonlocal told
            if told:
                return await receive()  # type: ignore[no-any-return]  # the disconnect
            told = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self.app(scope, replay, send)

    async def _read(self, scope: dict[str, Any], receive: Any) -> bytes:
        """Refused before a byte is read when the head says that it is too large."""
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared[:20]) > self.bytes_max:
            raise Refused(413)
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self.seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Gone
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > self.bytes_max:
                        raise Refused(413)
                    if not message.get("more_body"):
                        return b"".join(parts)
        except TimeoutError as error:
            raise Refused(408) from error


async def _refuse(scope: dict[str, Any], send: Any, status: int, *, seconds: float, kib: int) -> None:
    title, code, sentence = _SENTENCES[status]
    detail = sentence.format(seconds=f"{seconds:g}", kib=kib)
    request_id = f"req-{uuid.uuid4()}"
    log.info("%s %s %s: %s %s", request_id, scope["method"], scope["path"][:200], status, title.lower())
    kind, body = "text/plain; charset=utf-8", f"{title}. {detail}\n"
    if scope["path"].startswith("/api/"):
        kind = "application/problem+json"
        problem = {"type": f"/api/v1/docs#problem-{code}", "title": title, "status": status, "detail": detail, "code": code}
        body = json.dumps(problem | {"request_id": request_id})
    raw = body.encode()
    headers = [
        (b"content-type", kind.encode()),
        (b"x-request-id", request_id.encode()),
        (b"content-length", str(len(raw)).encode()),
        (b"cache-control", b"no-store"),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": raw})


@dataclass
class Incoming:
    """A body that goes into a file, as the view and `StreamedBodies` speak of it (`request.scope["incoming"]`).

    The view is asked twice. Before the first byte it refuses, or sets `path`: where the bytes go. When all of them are there
    (`is_complete`) it takes the file over, and may set `is_settled`, which its answer waits for.
    """

    path: Path | None = None
    is_complete: bool = False
    size: int = 0
    md5: Any = field(default_factory=lambda: hashlib.md5(usedforsecurity=False))
    sha512: Any = field(default_factory=hashlib.sha512)
    is_settled: Callable[[], bool] | None = None

    def keep(self, file: BinaryIO, data: bytes) -> None:
        file.write(data)
        self.md5.update(data)
        self.sha512.update(data)
        self.size += len(data)


class StreamedBodies:
    """ASGI middleware: bodies of PUT requests whose path matches go into a file as they come, so their size is no matter of memory.

    At most `bytes_max` bytes, and never `seconds` without one. Everything else, and the view's two answers, are the inner application's.
    """

    WRITE_BYTES = 1024 * 1024
    SETTLE_SECONDS = 20.0

    def __init__(self, app: Any, *, pattern: str, bytes_max: int, seconds: float) -> None:
        self.app, self.pattern, self.bytes_max, self.seconds = app, re.compile(pattern), bytes_max, seconds

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["method"] != "PUT" or not self.pattern.fullmatch(scope["path"]):
            await self.app(scope, receive, send)
            return
        incoming = Incoming()
        messages = await self._ask(scope, incoming)
        path = incoming.path
        if path is not None:
            try:
                try:
                    whole = await self._store(scope, receive, incoming, path)
                except Refused as refused:
                    await _refuse(scope, send, refused.status, seconds=self.seconds, kib=self.bytes_max // 1024)
                    return
                if not whole:
                    return
                incoming.is_complete = True
                messages = await self._ask(scope, incoming)
                await self._settle(incoming)
            finally:
                # Whoever took it over has given it a name of its own.
                await asyncio.to_thread(path.unlink, missing_ok=True)
        else:
            # The body was not read: what follows on this connection would be taken for a request.
            messages[0]["headers"] = [*messages[0].get("headers", []), (b"connection", b"close")]
        for message in messages:
            await send(message)

    async def _ask(self, scope: dict[str, Any], incoming: Incoming) -> list[dict[str, Any]]:
        """The inner application's answer to the request with no body."""
        kept = [(name, value) for name, value in scope["headers"] if name not in (b"content-length", b"transfer-encoding", b"expect")]
        messages: list[dict[str, Any]] = []
        asked = False

        async def receive() -> dict[str, Any]:
            nonlocal asked
            if asked:
                await asyncio.Event().wait()  # until the answer is there and nobody listens any more
            asked = True
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            messages.append(message)

        await self.app({**scope, "headers": kept, "incoming": incoming}, receive, send)
        return messages

    async def _store(self, scope: dict[str, Any], receive: Any, incoming: Incoming, path: Path) -> bool:
        """False when the client hung up."""
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared[:20]) > self.bytes_max:
            raise Refused(413)
        with await asyncio.to_thread(path.open, "xb") as file:
            waiting = bytearray()
            more = True
            while more:
                try:
                    async with asyncio.timeout(self.seconds):
                        message = await receive()
                except TimeoutError as error:
                    raise Refused(408) from error
                if message["type"] == "http.disconnect":
                    return False
                waiting += message.get("body", b"")
                more = bool(message.get("more_body"))
                if incoming.size + len(waiting) > self.bytes_max:
                    raise Refused(413)
                if waiting and (not more or len(waiting) >= self.WRITE_BYTES):
                    await asyncio.to_thread(incoming.keep, file, bytes(waiting))
                    waiting.clear()
        return True

    async def _settle(self, incoming: Incoming) -> None:
        end = asyncio.get_running_loop().time() + self.SETTLE_SECONDS
        while incoming.is_settled is not None and asyncio.get_running_loop().time() < end:
            if await sync_to_async(incoming.is_settled)():
                return
            await asyncio.sleep(0.1)
