"""The live channel of pages: one socket a tab. Events in, fragments out; see `dashboard.live` for what it renders.

Messages of the page: {"subscribe": {"project", "part", "ids", "moving", "since", "metrics"}} and {"ping": n}.
Messages to it: {"hello", "release"}, {"fragments"}, {"refresh"}, {"news"}, {"reload"}, {"metrics"}, {"beat"}, {"pong"}. `at` in one of
them is the page's new place in the log: all that was to be told up to there has been told, so a page that comes back names it and
gets the rest.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
from collections.abc import Mapping
from time import monotonic
from typing import Any
from uuid import UUID

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer

from cloudbox.common.errors import CloudError, Invalid, Unauthenticated
from compute import metrics
from dashboard import live
from dashboard.live import PAGE, Mark
from dashboard.live_hub import hub

log = logging.getLogger(__name__)

# The first change goes out at once: as soon as its fellows from the same transaction, and the answer of one's own request, had a chance.
FIRST_SECONDS = 0.04
# Those that follow wait: a row changes at most four times a second, a whole page once; more seldom where many wait for their turn.
PAUSE_SECONDS = 0.25
PAGE_PAUSE_SECONDS = 1.0
# Session and right are looked at again, and what the channel layer may have lost is found: well within ten seconds, not all at a time.
CHECK_SECONDS = 8
RETRY_SECONDS = 2
HEARD_MAX = 500
MESSAGE_BYTES_MAX = 64 * 1024
CLOSE_SIGNED_OUT, CLOSE_NO_RIGHT, CLOSE_NONSENSE = 4401, 4403, 4400
# What happens to these may end the right to look.
_RIGHTS = {"member", "project", "user", "session"}


class LiveConsumer(AsyncWebsocketConsumer):
    """Accepts only those who are signed in, and keeps looking whether they still are."""

    async def connect(self) -> None:
        self._asked: live.Subscription | None = None
        self._turn = 0  # how many subscriptions came before: an answer to an older one is dropped
        self._groups: frozenset[str] = frozenset()
        self._changed: dict[UUID, Mark] = {}
        self._moving: set[UUID] = set()
        self._news = 0
        # The place in the log up to which everything is told or among the changed.
        self._place: int | None = None
        self._heard: set[int] = set()
        self._heard_before: set[int] = set()
        self._telling: set[asyncio.Task[None]] = set()
        self._flushing: asyncio.Task[None] | None = None
        self._guarding: asyncio.Task[None] | None = None
        self._look_now = asyncio.Event()
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
                await self._tell({"pong": True})
                return
            await self._subscribe(live.parse(message))
        except (ValueError, RecursionError, Invalid):
            await self._end(CLOSE_NONSENSE, "That is no message of a page.")

    async def _subscribe(self, asked: live.Subscription) -> None:
        """Listen first, look then: what happens in between is found twice rather than never."""
        try:
            groups = await database_sync_to_async(live.groups)(self._session_key, asked)
            for group in self._groups - groups:
                await hub().leave(group, self._hear)
            for group in groups - self._groups:
                await hub().join(group, self._hear)
            self._turn += 1
            self._groups, self._asked, self._place, self._moving = groups, asked, asked.since, set(asked.moving)
            self._heard, self._heard_before = set(), set()
            await self._tell({"hello": True, "release": live.RELEASE})
            await self._look(asked)
        except CloudError as error:
            await self._refused(error)

    async def _look(self, asked: live.Subscription) -> None:
        """Find what was missed. With nothing to tell the page's place moves on at once, else when it has been told."""
        turn, heard = self._turn, self._heard | self._heard_before
        self._heard, self._heard_before = set(), self._heard
        # What was heard of is among the changed, or told. In a storm it costs less to tell it twice than to name it all.
        known = heard if len(heard) <= HEARD_MAX else ()
        missed = await database_sync_to_async(live.look)(self._session_key, asked, self._place, heard=known)
        if self._turn != turn:
            return
        if missed.too_much:
            await self._tell({"reload": True})
            return
        self._place, self._news = missed.at, missed.news
        self._mark(dict.fromkeys({*self._moving, *missed.changed}, "touch"))
        idle = not self._changed and (self._flushing is None or self._flushing.done())
        await self._tell({"beat": True} | (self._at() if idle else {}))

    def _at(self) -> dict[str, int]:
        """The page's place, for a message after which nothing remains to be told. A log counts from where it stood."""
        return {} if self._asked is None or self._asked.part == "log" or self._place is None else {"at": self._place}

    def _hear(self, message: dict[str, Any]) -> None:
        """A group's message: something happened in the project, or in the box; or a sample of the machine that the page shows."""
        if self._asked is None:
            return
        if message["type"] == "event":
            self._hear_event(self._asked, message)
        else:
            telling = asyncio.create_task(self._tell_sample(message))
            self._telling.add(telling)
            telling.add_done_callback(self._telling.discard)

    def _hear_event(self, asked: live.Subscription, message: dict[str, Any]) -> None:
        if message["noun"] in _RIGHTS:
            self._look_now.set()
        subject = UUID(message["subject"]) if message["subject"] else None
        if asked.part == "log":
            if message["id"]:
                self._news += 1
                self._mark({PAGE: "touch"})
            return
        if asked.part == "page":
            self._mark({PAGE: "touch"})
        elif message["noun"] == "instance" and subject and (subject in asked.ids or (asked.part == "row" and message["verb"] == "launch")):
            self._mark({subject: message["verb"]})
        else:
            return
        if message["id"]:
            self._heard.add(message["id"])

    async def _tell_sample(self, message: dict[str, Any]) -> None:
        sample = {key: message.get(column) for key, column in metrics.SERIES.items()}
        with contextlib.suppress(Exception):  # the browser may be gone already
            await self._tell({"metrics": {"at": message["at"], **sample}})

    def _mark(self, changed: Mapping[UUID, str]) -> None:
        """To be told soon. A touch does not hide the verb that came before it."""
        heard = monotonic()
        for key, verb in changed.items():
            before = self._changed.get(key)
            self._changed[key] = Mark(verb=before.verb if before and verb == "touch" else verb, heard=heard)
        if self._changed and (self._flushing is None or self._flushing.done()):
            self._flushing = asyncio.create_task(self._flush())

    async def _flush(self) -> None:
        """Tell what has changed, and what changes meanwhile, with a pause between two tellings."""
        await asyncio.sleep(FIRST_SECONDS)
        while self._changed and self._asked is not None:
            # All that is known up to this place is among these: once they are told, the page stands there.
            changed, self._changed, asked, at = self._changed, {}, self._asked, self._at()
            try:
                await self._tell_changed(asked, changed, at)
            except CloudError as error:
                await self._refused(error)
                return
            except Exception:  # the database may be restarting: what was to be told is told then
                log.exception("a live fragment could not be made")
                newer, self._changed = self._changed, changed
                self._mark({key: mark.verb for key, mark in newer.items()})
                await asyncio.sleep(RETRY_SECONDS)
                continue
            await asyncio.sleep(PAUSE_SECONDS if asked.part in ("row", "detail") else PAGE_PAUSE_SECONDS)

    async def _tell_changed(self, asked: live.Subscription, changed: dict[UUID, Mark], at: dict[str, int]) -> None:
        if asked.part in ("page", "log"):
            await database_sync_to_async(live.context)(self._session_key, asked.project)
            await self._tell({"news": min(self._news, live.NEWS_MAX)} if asked.part == "log" else {"refresh": True} | at)
            return
        turn = self._turn
        fragments, moving = await database_sync_to_async(live.render)(self._session_key, asked, changed)
        self._moving = (self._moving - changed.keys()) | moving
        await self._tell({"fragments": fragments} | (at if self._turn == turn else {}))
        if asked.part == "row" and self._asked is not None:
            self._asked = live.with_ids(asked, changed)

    async def _guard(self) -> None:
        """Again and again: is the session still good, and the right to look? And was anything missed?"""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._look_now.wait(), CHECK_SECONDS * random.uniform(0.8, 1))
            self._look_now.clear()
            asked = self._asked
            try:
                if asked is not None:
                    await self._look(asked)
                else:
                    await self._tell({"beat": True})
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
        groups, self._groups = self._groups, frozenset()
        for group in groups:
            await hub().leave(group, self._hear)
        for task in (self._flushing, self._guarding):
            if task is not None and task is not asyncio.current_task():
                task.cancel()
