"""What was asked of buckets, by the hour: requests by their kind, and bytes that came and went. For people, and later for prices.

Every worker counts in memory and adds its counts to the table every few seconds; a worker that is killed takes the last of them with
it, to the tenant's advantage. What was refused (403) or failed here (5xx) is not counted: nobody pays for strangers at their door.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Sum

from cloudbox.common import clock
from cloudbox.common.errors import Unavailable
from identity.context import Context
from storage.loading import visiting
from storage.models import Bucket, BucketTraffic
from storage.tallies import FIELDS, Counts

SETTLED_SECONDS = 60.0  # After an hour's end, until all workers have written what they counted in it.
HOUR = dt.timedelta(hours=1)
SERIES_DAYS_MAX = 93
_ADD = """
INSERT INTO storage_buckettraffic (bucket_id, project_id, name, hour, reads, lists, writes, deletes, sent_bytes, received_bytes)
SELECT %s, id, %s, %s, %s, %s, %s, %s, %s, %s FROM identity_project WHERE id = %s
ON CONFLICT (bucket_id, hour) DO UPDATE SET name = excluded.name, reads = storage_buckettraffic.reads + excluded.reads,
    lists = storage_buckettraffic.lists + excluded.lists, writes = storage_buckettraffic.writes + excluded.writes,
    deletes = storage_buckettraffic.deletes + excluded.deletes, sent_bytes = storage_buckettraffic.sent_bytes + excluded.sent_bytes,
    received_bytes = storage_buckettraffic.received_bytes + excluded.received_bytes
"""


@visiting
def write(taken: Counts) -> None:
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
