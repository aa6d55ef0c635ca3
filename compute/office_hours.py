"""Office hours: an instance that runs on some weekdays from one time to another, in a time zone, and is stopped outside."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID
from zoneinfo import ZoneInfo, available_timezones

from django.db import transaction

from cloudbox.common import clock, events, jobs
from cloudbox.common.errors import Conflict, Invalid
from cloudbox.common.events import Actor
from compute import actions, instances
from compute.lifecycle import MOVING, has_job, machine
from compute.models import Instance, OfficeHours
from identity.context import Context

log = logging.getLogger(__name__)

S, Intent = Instance.Status, Instance.Intent
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
ACTOR = Actor(name="Office hours", api="system")
_DAY = dt.timedelta(days=1)


@dataclass(frozen=True, order=True)
class Boundary:
    """A moment at which it is to be started or stopped."""

    at: dt.datetime
    starts: bool


def boundaries(row: OfficeHours, after: dt.datetime, until: dt.datetime) -> list[Boundary]:
    """Those later than `after`, up to `until`. An end that is not later in the day than the beginning is on the next day. Local times:
    where clocks are set back or forward, the day is an hour longer or shorter."""
    zone = ZoneInfo(row.zone)
    found = []
    day = after.astimezone(zone).date() - 2 * _DAY
    while day <= until.astimezone(zone).date():
        if row.days >> day.weekday() & 1:
            ends = day + (_DAY if row.stops <= row.starts else dt.timedelta())
            begins_at, ends_at = (dt.datetime.combine(date, time, zone) for date, time in ((day, row.starts), (ends, row.stops)))
            found += [Boundary(begins_at.astimezone(dt.UTC), True), Boundary(ends_at.astimezone(dt.UTC), False)]
        day += _DAY
    # Where one day's end is the next one's beginning, it runs on.
    kept = [each for each in found if Boundary(each.at, not each.starts) not in found]
    return sorted(each for each in kept if after < each.at <= until)


def next_boundary(row: OfficeHours) -> Boundary | None:
    now = clock.now()
    return next(iter(boundaries(row, now, now + 9 * _DAY)), None)


def get(ctx: Context, id: UUID) -> OfficeHours | None:
    return OfficeHours.objects.filter(instance=instances.get(ctx, id)).first()


def set(ctx: Context, id: UUID, *, days: Sequence[int], starts: dt.time, stops: dt.time, zone: str) -> OfficeHours:
    """From its next beginning or end on; now nothing changes. `days` count from Monday, 0."""
    ctx.require("instances.update")
    if not days or any(day not in range(7) for day in days):
        raise Invalid("Choose one weekday at least.", field="days")
    if starts == stops:
        raise Invalid("It begins when it ends. Choose two times.", field="stops")
    if zone not in available_timezones():
        raise Invalid("There is no such time zone. Try Europe/Oslo, or UTC.", field="zone")
    with transaction.atomic():
        instance = _open(ctx, id)
        mask = sum(1 << day for day in {*days})
        values = {"days": mask, "starts": starts, "stops": stops, "zone": zone, "applied_at": clock.now()}
        row, _ = OfficeHours.objects.update_or_create(instance=instance, defaults=values)
        events.publish(ctx.actor, "set-hours", "instance", instance, detail=sentence(row))
    return row


def clear(ctx: Context, id: UUID) -> None:
    """It runs, or not, as it does now."""
    ctx.require("instances.update")
    with transaction.atomic():
        instance = _open(ctx, id)
        if OfficeHours.objects.filter(instance=instance).delete()[0]:
            events.publish(ctx.actor, "clear-hours", "instance", instance)


def _open(ctx: Context, id: UUID) -> Instance:
    instances.get(ctx, id)
    instance = Instance.objects.select_for_update(of=("self",)).get(id=id)
    actions.check(instance, "rename")
    return instance


def sentence(row: OfficeHours) -> str:
    """Monday to Friday, 08:00 to 18:00 (Europe/Oslo)"""
    chosen = [name for number, name in enumerate(DAYS) if row.days >> number & 1]
    runs = "".join("1" if row.days >> number & 1 else "0" for number in range(7))
    in_a_row = len(chosen) > 2 and "1" * len(chosen) in runs
    days = "every day" if len(chosen) == 7 else f"{chosen[0]} to {chosen[-1]}" if in_a_row else ", ".join(chosen)
    return f"{days}, {row.starts:%H:%M} to {row.stops:%H:%M} ({row.zone})"


def apply() -> None:
    """Act upon the latest beginning or end since the last one. After a long sleep of the box only the latest counts."""
    now = clock.now()
    for row in OfficeHours.objects.exclude(instance__status=S.DELETED).select_related("instance"):
        due = boundaries(row, max(row.applied_at, now - 9 * _DAY), now)
        if due and row.instance.status not in MOVING and not has_job(row.instance_id):
            _act(row.id, due[-1], now)


def _act(row_id: int, boundary: Boundary, now: dt.datetime) -> None:
    with transaction.atomic():
        row = OfficeHours.objects.select_for_update(of=("self",)).filter(id=row_id, applied_at__lt=boundary.at).first()
        if row is None:
            return
        OfficeHours.objects.filter(id=row_id).update(applied_at=now)
        instance = Instance.objects.select_for_update(of=("self",)).get(id=row.instance_id)
        key, via, intent = ("start", S.STARTING, Intent.RUNNING) if boundary.starts else ("stop", S.STOPPING, Intent.STOPPED)
        try:
            wanted = actions.check(instance, key)
        except Conflict as error:
            events.publish(ACTOR, f"skip-{key}", "instance", instance, detail=error.message)
            return
        if wanted:
            machine.move(instance, via, actor=ACTOR, verb=key, detail="by its office hours", intended=intent, error="")
            jobs.enqueue(f"{key}-instance", instance.id, actor=ACTOR, project_id=instance.project_id)
