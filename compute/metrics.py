"""What instances use: live samples, and a history of thirty days rolled up in the tables."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.core.cache import cache
from django.db import connection

from cloudbox.common import clock
from cloudbox.common.errors import Invalid
from compute import instances
from compute.models import MetricSample
from identity.context import Context

# range -> (how far back, seconds between points)
RANGES: dict[str, tuple[dt.timedelta, int]] = {
    "5m": (dt.timedelta(minutes=5), 10),
    "1h": (dt.timedelta(hours=1), 10),
    "24h": (dt.timedelta(hours=24), 60),
    "7d": (dt.timedelta(days=7), 900),
    "30d": (dt.timedelta(days=30), 900),
}
# How long each period is kept, and from which it is rolled up.
KEPT = {10: dt.timedelta(hours=1, minutes=10), 60: dt.timedelta(hours=25), 900: dt.timedelta(days=30)}
ROLLS = ((60, 10), (900, 60))
SERIES = {
    "cpu": "cpu_percent",
    "memory": "memory_mib",
    "disk_iops": "disk_iops",
    "disk_read": "disk_read_bps",
    "disk_write": "disk_write_bps",
    "net_rx": "net_rx_bps",
    "net_tx": "net_tx_bps",
}
WATCH_SECONDS = 15
_WATCHED = "metrics-watched"


def series(ctx: Context, instance_id: UUID, range: str = "1h") -> dict[str, list[Any]]:
    """Times and values of every series. A time without a sample is there with None: a stopped machine draws nothing."""
    instance = instances.get(ctx, instance_id)
    if range not in RANGES:
        raise Invalid(f"A range is one of {', '.join(RANGES)}.", field="range")
    back, period = RANGES[range]
    now = int(clock.now().timestamp())
    first = (now - int(back.total_seconds())) // period * period
    rows = {
        int(row.at.timestamp()): row
        for row in MetricSample.objects.filter(instance=instance, period_seconds=period, at__gte=dt.datetime.fromtimestamp(first, dt.UTC))
    }
    times = _every(period, first, now)
    found = [rows.get(at) for at in times]
    values: dict[str, list[Any]] = {key: [getattr(row, column) if row else None for row in found] for key, column in SERIES.items()}
    return {"at": times, **values}


def _every(seconds: int, first: int, last: int) -> list[int]:
    """The moments of a series."""
    return [*range(first, last + 1, seconds)]


def sparklines(ctx: Context, ids: Iterable[UUID]) -> dict[UUID, list[float]]:
    """The CPU of the last ten minutes of many instances, in one query; for lists that the caller may see already."""
    ctx.require("instances.list")
    since = clock.now() - dt.timedelta(minutes=10)
    lines: dict[UUID, list[float]] = {}
    rows = MetricSample.objects.filter(instance_id__in=[*ids], period_seconds=10, at__gte=since)
    for instance_id, cpu in rows.order_by("at").values_list("instance_id", "cpu_percent"):
        lines.setdefault(instance_id, []).append(cpu)
    return lines


def watch() -> None:
    """Somebody looks at live charts: the sampler looks every two seconds for a while. Call again while they look."""
    cache.set(_WATCHED, True, WATCH_SECONDS)


def is_watched() -> bool:
    return bool(cache.get(_WATCHED))


def roll_up() -> None:
    """Make the coarser periods from the finer ones and drop what is too old. Repeats safely: rows are replaced."""
    columns = list(SERIES.values())
    averages = ", ".join(f"avg({column})" for column in columns)
    updates = ", ".join(f"{column} = excluded.{column}" for column in columns)
    with connection.cursor() as cursor:
        for coarse, fine in ROLLS:
            cursor.execute(
                f"""
                INSERT INTO compute_metricsample (instance_id, period_seconds, at, {", ".join(columns)})
                SELECT instance_id, %s, to_timestamp(floor(extract(epoch FROM at) / %s) * %s), {averages}
                FROM compute_metricsample
                WHERE period_seconds = %s AND at >= to_timestamp(floor(extract(epoch FROM now()) / %s) * %s - %s)
                GROUP BY 1, 2, 3
                ON CONFLICT (instance_id, period_seconds, at) DO UPDATE SET {updates}
                """,
                [coarse, coarse, coarse, fine, coarse, coarse, coarse],
            )
    for period, kept in KEPT.items():
        MetricSample.objects.filter(period_seconds=period, at__lt=clock.now() - kept).delete()
