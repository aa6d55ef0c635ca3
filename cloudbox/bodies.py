"""Bodies of requests come whole, soon, and not large: before that nothing of ours is busy with them.

Django's ASGI handler spools a body of any size to a file, for as long as it comes, before a view runs. Here it is read first, within a
number of bytes and seconds; whoever sends more, or one byte a second, is told so and let go. Objects and images do not come this way.
"""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from typing import Any

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
            await self._refuse(scope, send, refused.status)
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

    async def _refuse(self, scope: dict[str, Any], send: Any, status: int) -> None:
        title, code, sentence = _SENTENCES[status]
        detail = sentence.format(seconds=f"{self.seconds:g}", kib=self.bytes_max // 1024)
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
