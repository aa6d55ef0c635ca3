"""WebSockets only from our own pages. Browsers send cookies with any page's WebSocket, so the Origin must be the Host."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit


class SameOrigin:
    """ASGI middleware: closes a WebSocket whose Origin is missing or names another host than the request."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        headers = dict(scope.get("headers", []))
        origin = headers.get(b"origin", b"").decode("latin-1")
        host = headers.get(b"host", b"").decode("latin-1")
        if not host or urlsplit(origin).netloc.lower() != host.lower():
            await receive()  # websocket.connect
            await send({"type": "websocket.close", "code": 4403})
            return
        await self.app(scope, receive, send)
