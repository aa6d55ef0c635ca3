"""Counting what is asked of buckets, in a worker of the data plane: in memory, and now and then into the table (traffic.py).

Knows no database: what writes the counts is handed in.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    from storage.directory import BucketInfo

log = logging.getLogger(__name__)
FLUSH_SECONDS = 10.0
READS, LISTS, WRITES, DELETES, SENT, RECEIVED = range(6)
FIELDS = ("reads", "lists", "writes", "deletes", "sent_bytes", "received_bytes")
_KIND = {"GET": READS, "HEAD": READS, "DELETE": DELETES}
Key = tuple[UUID, str, str, int]  # Bucket, project (hex), name, hours since 1970.
Counts = dict[Key, list[int]]
Write = Callable[[Counts], None]


class Tally:
    """What a request's answer is added to (storage.server.Tally): of one bucket, about an object or about the bucket itself."""

    __slots__ = ("_about", "_bucket", "_counts")

    def __init__(self, counts: Counts, bucket: BucketInfo, *, about_object: bool) -> None:
        self._counts, self._bucket, self._about = counts, bucket, about_object

    def add(self, method: str, status: int, received: int, sent: int) -> None:
        if status == 403 or status >= 500 or method == "OPTIONS":
            return
        bucket = self._bucket
        key = bucket.id, bucket.owner, bucket.name, int(time.time()) // 3600
        counts = self._counts.get(key)
        if counts is None:
            counts = self._counts[key] = [0] * len(FIELDS)
        kind = _KIND.get(method, WRITES)
        counts[LISTS if kind == READS and not self._about else kind] += 1
        counts[SENT] += sent
        counts[RECEIVED] += received


class Traffic:
    """The counts of one worker that are not in the table yet. Used from the event loop's thread only."""

    def __init__(self) -> None:
        self._counts: Counts = {}

    def tally(self, bucket: BucketInfo, *, about_object: bool) -> Tally:
        return Tally(self._counts, bucket, about_object=about_object)

    async def flush(self, run: Callable[..., Awaitable[Any]], write: Write) -> None:
        """Have `write` add what was counted to the table, by `run(function, *arguments)` in a thread; what cannot be is kept for later."""
        if not self._counts:
            return
        taken = dict(self._counts)
        self._counts.clear()
        try:
            await run(write, taken)
        except Exception:
            for key, counts in taken.items():
                now = self._counts.setdefault(key, [0] * len(FIELDS))
                now[:] = map(sum, zip(now, counts, strict=True))
            raise

    async def keep(self, run: Callable[..., Awaitable[Any]], write: Write, *, seconds: float = FLUSH_SECONDS) -> None:
        """Flush every few seconds, until it is cancelled."""
        while True:
            await asyncio.sleep(seconds)
            try:
                await self.flush(run, write)
            except Exception:
                log.exception("what was asked of buckets could not be written down; it is tried again")
