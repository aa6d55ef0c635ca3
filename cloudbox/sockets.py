"""A web server that is told to end says so to its WebSockets at once, so that pages are connected again as soon as its successor serves.

Our server waits for open connections when it ends, and a live page's is open for hours: until its patience was over, pages heard nothing.
"""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

SERVICE_RESTART = 1012  # RFC 6455's registry of close codes: the client may connect again.
# What consumers need to say goodbye (a watcher less, a recording closed).
LEAVE_SECONDS = 2.0


class EndingSockets:
    """ASGI middleware: at SIGTERM each WebSocket is closed and its application sees it go; then the server hears of the signal.

    The server must take SIGINT as it takes SIGTERM, which is the one that is ours from the first WebSocket on.
    """

    def __init__(self, app: Any) -> None:
        self.app = app
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending = asyncio.Event()
        self._open: set[asyncio.Task[Any]] = set()
        self._last: asyncio.Task[None] | None = None

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._ending = loop, asyncio.Event()
            self._take_signal(loop)
        if self._ending.is_set():  # It came in the last moment.
            await receive()
            await send({"type": "websocket.close", "code": SERVICE_RESTART})
            return
        ending = asyncio.ensure_future(self._ending.wait())
        gone = False

        async def receive_or_end() -> dict[str, Any]:
            nonlocal gone
            if gone:
                return {"type": "websocket.disconnect", "code": SERVICE_RESTART}
            message = asyncio.ensure_future(receive())
            try:
                await asyncio.wait((message, ending), return_when=asyncio.FIRST_COMPLETED)
                if message.done():
                    return message.result()  # type: ignore[no-any-return]
            finally:
                message.cancel()
            gone = True
            await send({"type": "websocket.close", "code": SERVICE_RESTART, "reason": "The box restarts its web server."})
            return {"type": "websocket.disconnect", "code": SERVICE_RESTART}

        async def send_if_open(message: dict[str, Any]) -> None:
            if not gone:
                await send(message)

        mine = asyncio.current_task()
        assert mine is not None
        self._open.add(mine)
        try:
            await self.app(scope, receive_or_end, send_if_open)
        finally:
            self._open.discard(mine)
            ending.cancel()

    def _take_signal(self, loop: asyncio.AbstractEventLoop) -> None:
        """Only from a server that has an answer to it: a test or a command is left to end as it does."""
        if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
            loop.add_signal_handler(signal.SIGTERM, self._end)

    def _end(self) -> None:
        if self._last is None:
            self._last = asyncio.get_running_loop().create_task(self._leave())

    async def _leave(self) -> None:
        self._ending.set()
        if self._open:
            await asyncio.wait(self._open, timeout=LEAVE_SECONDS)
        os.kill(os.getpid(), signal.SIGINT)
