"""How much buckets hold, brought from the index into the tables where people and bills read it. The index itself is always exact.

What a bucket held in an hour is summed up from the moments at which it changed, as they were counted: byte-seconds. An amount counts
until the next one is known, also while nothing runs, when nothing can change; so a late run gives the same answer.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Q, Sum

from cloudbox.common import clock
from cloudbox.common.errors import Unavailable
from identity.context import Context
from identity.models import Quota
from storage.directory import BucketInfo, info_of
from storage.engine import Usage
from storage.loading import row_of, visiting
from storage.models import Bucket, BucketHour, BucketUsage

GIB = 1 << 30
HOUR = dt.timedelta(hours=1)
SERIES_DAYS_MAX = 93
_FIELDS = ("objects_count", "versions_count", "bytes", "uploads_count", "upload_bytes")
_ONE_AT_A_TIME = 0x05A6E  # Any number: the advisory lock of who sums up.
_ADD = """
INSERT INTO storage_buckethour (bucket_id, project_id, name, storage_class, hour, byte_seconds, bytes, objects_count)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (bucket_id, hour) DO UPDATE SET byte_seconds = storage_buckethour.byte_seconds + excluded.byte_seconds,
    bytes = excluded.bytes, objects_count = excluded.objects_count, name = excluded.name
"""


@visiting
def record(usage_of: Callable[[UUID], Usage]) -> int:
    """Write what has changed since the last call, and sum up the hours until now; returns how many buckets have changed."""
    now = clock.now()
    bytes_of: Counter[UUID] = Counter()
    objects_of: Counter[UUID] = Counter()
    rows = {}
    for id, project in Bucket.objects.values_list("id", "project_id"):
        usage = usage_of(id)
        bytes_of[project] += usage.bytes + usage.upload_bytes
        objects_of[project] += usage.objects
        rows[id] = BucketUsage(
            bucket_id=id,
            objects_count=usage.objects,
            versions_count=usage.versions,
            bytes=usage.bytes,
            uploads_count=usage.uploads,
            upload_bytes=usage.upload_bytes,
            counted_at=now,
            accrued_at=now,
        )
    with transaction.atomic():
        _alone()
        known = {row.bucket_id: row for row in BucketUsage.objects.all()}
        changed = {id for id, row in rows.items() if id not in known or any(getattr(row, f) != getattr(known[id], f) for f in _FIELDS)}
        due = changed | {id for id, row in known.items() if row.accrued_at is None or _hour(row.accrued_at) != _hour(now)}
        # A bucket may have been deleted since it was counted, and none may be while this is written.
        there = Bucket.objects.select_for_update(no_key=True).filter(id__in=due & rows.keys()).order_by("id")
        buckets = {bucket.id: bucket for bucket in there}
        _accrue([(bucket, known[id]) for id, bucket in buckets.items() if id in known], now)
        for id in buckets.keys() - changed:
            rows[id].counted_at = known[id].counted_at
        BucketUsage.objects.bulk_create(
            [rows[id] for id in buckets],
            update_conflicts=True,
            unique_fields=["bucket"],
            update_fields=[*_FIELDS, "counted_at", "accrued_at"],
            batch_size=500,
        )
        _charge("objects", objects_of)
        _charge("object_gib", Counter({project: -(-size // GIB) for project, size in bytes_of.items()}))
    return len(changed & buckets.keys())


def close(bucket: Bucket) -> None:
    """A bucket is about to be deleted: sum up what it held until now. In the transaction that deletes it."""
    _alone()
    row = BucketUsage.objects.filter(bucket=bucket).first()
    if row is not None:
        _accrue([(bucket, row)], clock.now())


def _alone() -> None:
    """Until the transaction ends: nothing is summed up twice."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_ONE_AT_A_TIME])


def _accrue(held: Iterable[tuple[Bucket, BucketUsage]], now: dt.datetime) -> None:
    """What was known counts from the moment until which it was summed up, to now."""
    facts = []
    for bucket, row in held:
        size = row.bytes + row.upload_bytes
        if row.accrued_at is None or not (size or row.objects_count):
            continue
        for hour, seconds in _hours(row.accrued_at, now):
            about = (bucket.id, bucket.project_id, bucket.name, bucket.storage_class)
            facts.append((*about, hour, Decimal(size) * Decimal(str(round(seconds, 3))), size, row.objects_count))
    with connection.cursor() as cursor:
        cursor.executemany(_ADD, facts)


def _hour(moment: dt.datetime) -> dt.datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def _hours(start: dt.datetime, end: dt.datetime) -> Iterator[tuple[dt.datetime, float]]:
    """The hours that a stretch lies in, and how many seconds of it lie in each."""
    while start < end:
        stop = min(end, _hour(start) + HOUR)
        yield _hour(start), (stop - start).total_seconds()
        start = stop


def _charge(resource: str, used: Counter[UUID]) -> None:
    """Quota rows say what is used; the data plane refuses by the index, so these are for people to read."""
    for row in Quota.objects.filter(resource=resource):
        if row.used != used[row.project_id]:
            Quota.objects.filter(pk=row.pk).update(used=used[row.project_id])


# --- reading


def of(hour: dt.datetime) -> Sequence[BucketHour]:
    """The facts of an hour that is over, by project and bucket, for bills. Raises Unavailable until all of it has been summed up."""
    hour = _hour(hour)
    end = hour + HOUR
    # A bucket that was last summed up before the end, and could have held something then.
    late = BucketUsage.objects.filter(Q(accrued_at__lt=end), Q(bytes__gt=0) | Q(upload_bytes__gt=0) | Q(objects_count__gt=0))
    if clock.now() < end or late.exists():
        raise Unavailable("The object store has not yet summed up this hour. It does so a minute after the hour has ended.")
    return list(BucketHour.objects.filter(hour=hour).order_by("project_id", "bucket_id"))


@dataclass(frozen=True, slots=True)
class Held:
    """What was held in one stretch of time (an hour, a day): bytes on average, and GiB-hours."""

    at: dt.datetime
    bytes: int
    gib_hours: float


def series(ctx: Context, *, bucket: Bucket | None = None, days: int = 30, by_day: bool = True) -> list[Held]:
    """Of a bucket or the whole project, oldest first; every stretch is there, the last one as far as it is known."""
    ctx.require("buckets.list")
    now = clock.now()
    step = dt.timedelta(days=1) if by_day else HOUR
    first = (now - dt.timedelta(days=min(days, SERIES_DAYS_MAX) - 1)).replace(hour=0, minute=0, second=0, microsecond=0)
    rows = BucketHour.objects.filter(project=ctx.project, hour__gte=first)
    rows = rows.filter(bucket_id=bucket.id) if bucket is not None else rows
    sums: Counter[dt.datetime] = Counter()
    for hour, amount in rows.values_list("hour").annotate(amount=Sum("byte_seconds")):
        at = hour.astimezone(dt.UTC)
        sums[at.replace(hour=0) if by_day else at] += int(amount)
    found, at = [], first
    while at <= now:
        seconds = max(1.0, (min(now, at + step) - at).total_seconds())
        found.append(Held(at, round(sums[at] / seconds), round(sums[at] / GIB / 3600, 4)))
        at += step
    return found


def of_month(ctx: Context) -> list[dict[str, Any]]:
    """Each bucket of the project that held something this month, also one that is gone: name, class, GiB-hours; the most first."""
    ctx.require("buckets.list")
    first = clock.now().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    rows = BucketHour.objects.filter(project=ctx.project, hour__gte=first).values("bucket_id", "name", "storage_class")
    summed = rows.annotate(amount=Sum("byte_seconds")).order_by("-amount", "name")
    return [row | {"gib_hours": round(int(row["amount"]) / GIB / 3600, 3)} for row in summed]


@visiting
def with_lifecycle() -> list[BucketInfo]:
    """The buckets that have lifecycle rules."""
    return [info_of(row_of(row)) for row in Bucket.objects.select_related("project").filter(documents__has_key="lifecycle")]


@visiting
def infos(ids: Collection[UUID]) -> dict[UUID, BucketInfo]:
    """Those of the buckets that there are."""
    return {row.id: info_of(row_of(row)) for row in Bucket.objects.select_related("project").filter(id__in=ids)}
