"""An ASGI application for test_sockets.py: WebSockets that echo, and one that does not care that its client has gone."""

from __future__ import annotations

import asyncio
from typing import Any

from cloudbox.sockets import EndingSockets


async def echo(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})
    if scope["path"] == "/deaf":
        await asyncio.sleep(3600)


application = EndingSockets(echo)
