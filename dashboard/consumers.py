"""The live channel of pages: one socket a tab. Events in, fragments out; see `dashboard.live` for what it renders.

Messages of the page: {"subscribe": {"project", "part", "ids", "since", "metrics"}} and {"ping": n}.
Messages to it: {"hello"}, {"fragments", "at"}, {"refresh", "at"}, {"metrics"}, {"pong"}.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from typing import Any
from uuid import UUID

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer

from cloudbox.common.errors import CloudError, Invalid, Unauthenticated
from compute import metrics
from dashboard import live

log = logging.getLogger(__name__)

# A row changes at most four times a second, and late enough for the answer of one's own request to win.
COALESCE_SECONDS = 0.25
CHECK_SECONDS = 10
RETRY_SECONDS = 2
MESSAGE_BYTES_MAX = 64 * 1024
CLOSE_SIGNED_OUT, CLOSE_NO_RIGHT, CLOSE_NONSENSE = 4401, 4403, 4400


class LiveConsumer(AsyncWebsocketConsumer):
    """Accepts only those who are signed in, and keeps looking whether they still are."""

    async def connect(self) -> None:
        self._asked: live.Subscription | None = None
        self._changed: dict[UUID, str] = {}
        self._groups: frozenset[str] = frozenset()
        self._last = 0
        self._flushing: asyncio.Task[None] | None = None
        self._guarding: asyncio.Task[None] | None = None
        session = self.scope.get("session")
        self._session_key = (session.session_key if session else "") or ""
        if not self.scope["user"].is_authenticated:
            await self.close(code=CLOSE_SIGNED_OUT)
            return
        await self.accept()
        self._guarding = asyncio.create_task(self._guard())

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        try:
            if text_data is None or len(text_data) > MESSAGE_BYTES_MAX:
                raise Invalid("That is no message of a page.")
            message = json.loads(text_data)
            if isinstance(message, dict) and "ping" in message:
                await self._tell({"pong": message["ping"]})
                return
            await self._subscribe(live.parse(message))
        except (ValueError, RecursionError, Invalid):
            await self._end(CLOSE_NONSENSE, "That is no message of a page.")

    async def _subscribe(self, asked: live.Subscription) -> None:
        """Listen first, look then: what happens in between is told twice rather than never."""
        try:
            opened = await database_sync_to_async(live.open)(self._session_key, asked)
        except CloudError as error:
            await self._refused(error)
            return
        for group in self._groups - opened.groups:
            await self.channel_layer.group_discard(group, self.channel_name)
        for group in opened.groups - self._groups:
            await self.channel_layer.group_add(group, self.channel_name)
        self._groups, self._asked, self._last = opened.groups, asked, opened.last
        await self._tell({"hello": True, "at": self._last})
        try:  # once more, now that nothing is missed
            opened = await database_sync_to_async(live.open)(self._session_key, asked)
        except CloudError as error:
            await self._refused(error)
            return
        self._last = max(self._last, opened.last)
        if asked.part == "page" and asked.since is not None and opened.last > asked.since:
            self._mark({UUID(int=0): "touch"})
        elif opened.changed:
            self._mark(opened.changed)

    async def event(self, message: dict[str, Any]) -> None:
        """A group's message: something happened in the project, or in the box."""
        asked = self._asked
        if asked is None:
            return
        self._last = max(self._last, message.get("id") or 0)
        if asked.part == "page":
            self._mark({UUID(int=0): "touch"})
        elif message["noun"] == "instance" and message["subject"]:
            key = UUID(message["subject"])
            if key in asked.ids or (asked.part == "row" and message["verb"] == "launch"):
                self._mark({key: message["verb"]})

    async def metrics(self, message: dict[str, Any]) -> None:
        """A group's message: a sample of the machine that the page shows."""
        sample = {key: message.get(column) for key, column in metrics.SERIES.items()}
        await self._tell({"metrics": {"at": message["at"], **sample}})

    def _mark(self, changed: dict[UUID, str]) -> None:
        """To be rendered soon. A touch does not hide the verb that came before it."""
        for key, verb in changed.items():
            if verb != "touch" or key not in self._changed:
                self._changed[key] = verb
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self._flush())

    async def _flush(self) -> None:
        while self._changed and self._asked is not None:
            await asyncio.sleep(COALESCE_SECONDS)
            changed, self._changed, asked = self._changed, {}, self._asked
            try:
                if asked.part == "page":
                    await database_sync_to_async(live.context)(self._session_key, asked.project)
                    await self._tell({"refresh": True, "at": self._last})
                    continue
                fragments = await database_sync_to_async(live.render)(self._session_key, asked, changed)
            except CloudError as error:
                await self._refused(error)
                return
            except Exception:  # the database may be restarting: what was to be told is told then
                log.exception("a live fragment could not be made")
                self._changed = changed | self._changed
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if fragments:
                await self._tell({"fragments": fragments, "at": self._last})
            if self._asked is asked and asked.part == "row":
                self._asked = live.with_ids(asked, changed)

    async def _guard(self) -> None:
        """Every ten seconds: is the session still good, and the right to look? And keep live samples coming while they are looked at."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            asked = self._asked
            try:
                if asked is not None:
                    await database_sync_to_async(live.context)(self._session_key, asked.project)
                    if asked.metrics is not None:
                        await database_sync_to_async(metrics.watch)()
                await self._tell({"beat": True, "at": self._last})
            except CloudError as error:
                await self._refused(error)
                return
            except Exception:  # the database may be restarting
                log.exception("a live socket could not be checked")

    async def _refused(self, error: CloudError) -> None:
        code = CLOSE_SIGNED_OUT if isinstance(error, Unauthenticated) else CLOSE_NO_RIGHT
        await self._end(code, error.message)

    async def _tell(self, message: dict[str, Any]) -> None:
        await self.send(json.dumps(message))

    async def _end(self, code: int, sentence: str) -> None:
        self._asked = None
        with contextlib.suppress(Exception):  # the browser may be gone already
            await self.close(code=code, reason=sentence.encode()[:123].decode("utf-8", "ignore"))
        await self.disconnect(code)

    async def disconnect(self, code: int) -> None:
        self._asked = None
        for group in self._groups:
            with contextlib.suppress(Exception):
                await self.channel_layer.group_discard(group, self.channel_name)
        self._groups = frozenset()
        for task in (self._flushing, self._guarding):
            if task is not None and task is not asyncio.current_task():
                task.cancel()
