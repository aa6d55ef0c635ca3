"""One ear of this process for all its sockets: a message of the channel layer is read once and handed on by a plain call.

With a channel a socket, every message was decoded and dispatched as often as there were sockets, which cost more than what they made
of it, and under load the messages stood in line for seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from channels.layers import get_channel_layer

log = logging.getLogger(__name__)

AGAIN_SECONDS = 1.0

# Told of a message of one of its groups, on the loop; it must not wait, and answers later what takes time.
Listener = Callable[[dict[str, Any]], None]


class Hub:
    """The groups that sockets of this loop listen to. It has a channel while anybody listens."""

    def __init__(self) -> None:
        self._listeners: dict[str, set[Listener]] = {}
        self._lock = asyncio.Lock()
        self._layer: Any = None
        self._channel = ""
        self._ear: asyncio.Task[None] | None = None

    async def join(self, group: str, listener: Listener) -> None:
        """From when this returns, every message to the group is told."""
        async with self._lock:
            if self._ear is None or self._ear.done():
                await self._open()
            if group not in self._listeners:
                await self._layer.group_add(group, self._channel)
            self._listeners.setdefault(group, set()).add(listener)

    async def leave(self, group: str, listener: Listener) -> None:
        async with self._lock:
            of_group = self._listeners.get(group, set())
            of_group.discard(listener)
            if self._listeners.get(group) is of_group and not of_group:
                del self._listeners[group]
                with contextlib.suppress(Exception):  # Redis may be away: then there is nothing to leave
                    await self._layer.group_discard(group, self._channel)
            if not self._listeners and self._ear is not None:
                self._ear.cancel()
                self._ear = None

    async def _open(self) -> None:
        self._layer = get_channel_layer()
        self._channel = await self._layer.new_channel("live.")
        for group in self._listeners:
            await self._layer.group_add(group, self._channel)
        self._ear = asyncio.create_task(self._hear())

    async def _hear(self) -> None:
        while True:
            try:
                message = await self._layer.receive(self._channel)
            except Exception:  # sockets find by looking what is not heard meanwhile
                log.exception("the live channel is deaf for a moment")
                await asyncio.sleep(AGAIN_SECONDS)
                continue
            for listener in tuple(self._listeners.get(message.get("group", ""), ())):
                try:
                    listener(message)
                except Exception:  # one socket's trouble is not the others'
                    log.exception("a live socket did not take a message")


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()


def hub() -> Hub:
    """The hub of the running loop."""
    return _hubs.setdefault(asyncio.get_running_loop(), Hub())
