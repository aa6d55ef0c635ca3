"""The console WebSocket: a token in, then bytes both ways between the browser and the worker's console hub.

Serial and VNC share it: both are byte pipes, as binary frames. On a serial console text frames are control frames, each one JSON
object. The first is `{"kind": "serial", "history": <bytes that follow from the log>, "write": <may this one type>}`. Then, at once
and whenever it changes, `{"watchers": <number>}`: how many consoles of the instance are open, this one and VNC's included. A page
passes over an object whose keys it does not know. VNC has no text frames: its client takes every frame for its own.

It ends when the guest does, when nobody typed or read for long, when it is very old, and when the right to it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings

from cloudbox.common.errors import CloudError
from compute import consoles

IDLE_SECONDS = 30 * 60
LIFETIME_SECONDS = 12 * 3600
CHECK_SECONDS = 10
CHUNK_BYTES = 32 * 1024
MESSAGE_BYTES_MAX = 64 * 1024
# Application codes of WebSocket (RFC 6455, 7.4.2); the page has a sentence for each.
CLOSE_NO_TOKEN, CLOSE_NO_HUB, CLOSE_IDLE, CLOSE_OLD, CLOSE_NO_RIGHT, CLOSE_TOO_BIG = 4404, 4503, 4408, 4410, 4403, 4413


class ConsoleConsumer(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []
        self._writer: asyncio.StreamWriter | None = None
        token = self.scope["url_route"]["kwargs"]["token"]
        # noVNC asks for the subprotocol "binary"; what is not offered must not be answered.
        offered = self.scope.get("subprotocols", [])
        await self.accept("binary" if "binary" in offered else None)
        try:
            self._grant = await database_sync_to_async(consoles.redeem)(token)
        except CloudError as error:
            await self._end(CLOSE_NO_TOKEN, error.message)
            return
        try:
            await self._open()
        except (OSError, ValueError, asyncio.IncompleteReadError):
            await self._end(CLOSE_NO_HUB, "The console service does not answer. It is started again by itself; try in a few seconds.")

    async def _open(self) -> None:
        reader, self._writer = await asyncio.open_unix_connection(str(settings.RUN_DIR / "console.sock"), limit=MESSAGE_BYTES_MAX)
        grant = self._grant
        ask = {"instance": str(grant.instance.id), "kind": grant.kind, "write": grant.write}
        self._writer.write(json.dumps(ask).encode() + b"\n")
        answer = json.loads(await asyncio.wait_for(reader.readline(), 10))
        if not answer.get("ok"):
            await self._end(CLOSE_NO_HUB, str(answer.get("error", "The console is not there.")))
            return
        if grant.kind == "serial":
            await self.send(json.dumps({"kind": "serial", "history": answer.get("history", 0), "write": grant.write}))
        self._started = self._used = time.monotonic()
        self._tasks = [asyncio.create_task(self._pump(reader)), asyncio.create_task(self._guard())]
        if grant.kind == "serial":
            self._tasks.append(asyncio.create_task(self._watchers()))

    async def _pump(self, reader: asyncio.StreamReader) -> None:
        """Guest to browser."""
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                await self.send(bytes_data=data)
        await self._end(1000, "The console has ended.")

    async def _watchers(self) -> None:
        """Pass on how many watch. Without it the console is as good, so an error ends only this."""
        with contextlib.suppress(OSError, ValueError):
            reader, writer = await asyncio.open_unix_connection(str(settings.RUN_DIR / "console.sock"), limit=MESSAGE_BYTES_MAX)
            try:
                writer.write(json.dumps({"instance": str(self._grant.instance.id), "kind": "watchers"}).encode() + b"\n")
                while line := await reader.readline():
                    told = json.loads(line)
                    if "watchers" in told:
                        await self.send(json.dumps({"watchers": told["watchers"]}))
            finally:
                writer.close()

    async def _guard(self) -> None:
        """End it when it is idle or old, and when the session, the role or the instance behind it is gone."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            moment = time.monotonic()
            if moment - self._used > IDLE_SECONDS:
                await self._end(CLOSE_IDLE, f"Closed after {IDLE_SECONDS // 60} minutes without a key.")
            elif moment - self._started > LIFETIME_SECONDS:
                await self._end(CLOSE_OLD, f"Closed after {LIFETIME_SECONDS // 3600} hours. Open it again to go on.")
            else:
                try:
                    await database_sync_to_async(consoles.check)(self._grant)
                except CloudError as error:
                    await self._end(CLOSE_NO_RIGHT, error.message)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Browser to guest."""
        data = bytes_data if bytes_data is not None else (text_data or "").encode()
        if len(data) > MESSAGE_BYTES_MAX:
            await self._end(CLOSE_TOO_BIG, "That was too much at once.")
        elif self._writer is not None and self._grant.write:
            self._used = time.monotonic()
            self._writer.write(data)
            with contextlib.suppress(OSError):
                await self._writer.drain()

    async def disconnect(self, code: int) -> None:
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()
        if self._writer is not None:
            self._writer.close()

    async def _end(self, code: int, sentence: str) -> None:
        """Say why (a reason has at most 123 bytes by RFC 6455), then close."""
        with contextlib.suppress(Exception):  # the browser may be gone already
            await self.close(code=code, reason=sentence.encode()[:123].decode("utf-8", "ignore"))
        await self.disconnect(code)
