"""What was asked of buckets, by the hour: requests by their kind, and bytes that came and went. For people, and later for prices.

Every worker counts in memory and adds its counts to the table every few seconds; a worker that is killed takes the last of them with
it, to the tenant's advantage. What was refused (403) or failed here (5xx) is not counted: nobody pays for strangers at their door.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Sum

from cloudbox.common import clock
from cloudbox.common.errors import Unavailable
from identity.context import Context
from storage.loading import visiting
from storage.models import Bucket, BucketTraffic

if TYPE_CHECKING:
    from storage.directory import BucketInfo

log = logging.getLogger(__name__)
FLUSH_SECONDS = 10.0
SETTLED_SECONDS = 60.0  # After an hour's end, until all workers have written what they counted in it.
HOUR = dt.timedelta(hours=1)
SERIES_DAYS_MAX = 93
READS, LISTS, WRITES, DELETES, SENT, RECEIVED = range(6)
FIELDS = ("reads", "lists", "writes", "deletes", "sent_bytes", "received_bytes")
_KIND = {"GET": READS, "HEAD": READS, "DELETE": DELETES}
_ADD = """
INSERT INTO storage_buckettraffic (bucket_id, project_id, name, hour, reads, lists, writes, deletes, sent_bytes, received_bytes)
SELECT %s, id, %s, %s, %s, %s, %s, %s, %s, %s FROM identity_project WHERE id = %s
ON CONFLICT (bucket_id, hour) DO UPDATE SET name = excluded.name, reads = storage_buckettraffic.reads + excluded.reads,
    lists = storage_buckettraffic.lists + excluded.lists, writes = storage_buckettraffic.writes + excluded.writes,
    deletes = storage_buckettraffic.deletes + excluded.deletes, sent_bytes = storage_buckettraffic.sent_bytes + excluded.sent_bytes,
    received_bytes = storage_buckettraffic.received_bytes + excluded.received_bytes
"""
_Key = tuple[UUID, str, str, int]  # Bucket, project (hex), name, hours since 1970.


# --- counting, in a worker of the data plane


class Tally:
    """What a request's answer is added to (storage.server.Tally): of one bucket, about an object or about the bucket itself."""

    __slots__ = ("_about", "_bucket", "_counts")

    def __init__(self, counts: dict[_Key, list[int]], bucket: BucketInfo, *, about_object: bool) -> None:
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
        self._counts: dict[_Key, list[int]] = {}

    def tally(self, bucket: BucketInfo, *, about_object: bool) -> Tally:
        return Tally(self._counts, bucket, about_object=about_object)

    async def flush(self, run: Callable[..., Awaitable[Any]]) -> None:
        """Add what was counted to the table, by `run(function, *arguments)` in a thread. What cannot be written is kept for the next."""
        if not self._counts:
            return
        taken = dict(self._counts)
        self._counts.clear()
        try:
            await run(_write, taken)
        except Exception:
            for key, counts in taken.items():
                now = self._counts.setdefault(key, [0] * len(FIELDS))
                now[:] = map(sum, zip(now, counts, strict=True))
            raise

    async def keep(self, run: Callable[..., Awaitable[Any]], *, seconds: float = FLUSH_SECONDS) -> None:
        """Flush every few seconds, until it is cancelled."""
        while True:
            await asyncio.sleep(seconds)
            try:
                await self.flush(run)
            except Exception:
                log.exception("what was asked of buckets could not be written down; it is tried again")


@visiting
def _write(taken: dict[_Key, list[int]]) -> None:
    """In the order of their keys, so that no two workers wait for each other. A project that is gone has nobody to tell."""
    rows: list[Sequence[Any]] = [
        (bucket, name, dt.datetime.fromtimestamp(hour * 3600, dt.UTC), *counts, UUID(project))
        for (bucket, project, name, hour), counts in sorted(taken.items(), key=lambda item: (item[0][0], item[0][3]))
    ]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.executemany(_ADD, rows)


# --- reading


def of(hour: dt.datetime) -> Sequence[BucketTraffic]:
    """The counts of an hour that is over, by project and bucket, for bills. Raises Unavailable until all workers have written theirs."""
    hour = hour.replace(minute=0, second=0, microsecond=0)
    if clock.now() < hour + HOUR + dt.timedelta(seconds=SETTLED_SECONDS):
        raise Unavailable("The requests of this hour are still being counted. They are complete a minute after it has ended.")
    return list(BucketTraffic.objects.filter(hour=hour).order_by("project_id", "bucket_id"))


@dataclass(frozen=True, slots=True)
class Moved:
    """What was asked in one stretch of time (an hour, a day)."""

    at: dt.datetime
    reads: int
    lists: int
    writes: int
    deletes: int
    sent_bytes: int
    received_bytes: int

    @property
    def requests(self) -> int:
        return self.reads + self.lists + self.writes + self.deletes


def series(ctx: Context, *, bucket: Bucket | None = None, days: int = 30, by_day: bool = True) -> list[Moved]:
    """Of a bucket or the whole project, oldest first; every stretch is there, the last one as far as it is known."""
    ctx.require("buckets.list")
    now = clock.now()
    step = dt.timedelta(days=1) if by_day else HOUR
    first = (now - dt.timedelta(days=min(days, SERIES_DAYS_MAX) - 1)).replace(hour=0, minute=0, second=0, microsecond=0)
    rows = BucketTraffic.objects.filter(project=ctx.project, hour__gte=first)
    rows = rows.filter(bucket_id=bucket.id) if bucket is not None else rows
    sums: dict[dt.datetime, Counter[str]] = {}
    for hour, *counts in rows.values_list("hour").annotate(*map(Sum, FIELDS)):
        at = hour.astimezone(dt.UTC)
        found = sums.setdefault(at.replace(hour=0) if by_day else at, Counter())
        found.update(dict(zip(FIELDS, map(int, counts), strict=True)))
    out, at = [], first
    while at <= now:
        out.append(Moved(at, **{name: sums.get(at, Counter())[name] for name in FIELDS}))
        at += step
    return out


def total(moved: Iterable[Moved]) -> Moved:
    """The sum of a series; `at` is its beginning."""
    rows = list(moved)
    return Moved(rows[0].at, **{name: sum(getattr(row, name) for row in rows) for name in FIELDS})
