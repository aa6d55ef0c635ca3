"""Which backups of a chain are kept: the newest few, and the newest of each of the last hours, days, weeks and months that have one.

Pure. Times are UTC. A backup that any rule keeps stays. Hours, days, weeks (from Monday) and months without a backup do not count, so a
box that was off for a month still has its seven days. The newest is always kept.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Rules:
    last: int = 1
    hourly: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0


def _week(at: dt.datetime) -> object:
    year, week, _ = at.isocalendar()
    return (year, week)


_PERIODS: tuple[tuple[str, Callable[[dt.datetime], object]], ...] = (
    ("hourly", lambda at: (at.date(), at.hour)),
    ("daily", lambda at: at.date()),
    ("weekly", _week),
    ("monthly", lambda at: (at.year, at.month)),
)


def kept(rows: Iterable[tuple[T, dt.datetime]], rules: Rules) -> dict[T, list[str]]:
    """Of (backup, its time) those that are kept, each with the rules that keep it."""
    newest_first = sorted(((at.astimezone(dt.UTC), row) for row, at in rows), key=lambda pair: pair[0], reverse=True)
    found: dict[T, list[str]] = {}
    for _, row in newest_first[: max(1, rules.last)]:
        found.setdefault(row, []).append("last")
    for name, period in _PERIODS:
        seen: set[object] = set()
        for at, row in newest_first:
            if len(seen) >= getattr(rules, name):
                break
            if period(at) not in seen:
                seen.add(period(at))
                found.setdefault(row, []).append(name)
    return found


def next_run(every: str, after: dt.datetime, *, minute: int, hour: int, weekday: int, day: int) -> dt.datetime:
    """The first time of the schedule behind `after`, in UTC. A month without that day has its last."""
    at = after.astimezone(dt.UTC).replace(second=0, microsecond=0)
    if every == "hour":
        found = at.replace(minute=minute)
        return found if found > after else found + dt.timedelta(hours=1)
    found = at.replace(hour=hour, minute=minute)
    if every == "day":
        return found if found > after else found + dt.timedelta(days=1)
    if every == "week":
        found += dt.timedelta(days=(weekday - found.weekday()) % 7)
        return found if found > after else found + dt.timedelta(days=7)
    found = _on_day(found.replace(day=1), day)
    if found <= after:
        found = _on_day((found.replace(day=1) + dt.timedelta(days=32)).replace(day=1), day)
    return found


def _on_day(first: dt.datetime, day: int) -> dt.datetime:
    last = (first.replace(day=28) + dt.timedelta(days=4)).replace(day=1) - dt.timedelta(days=1)
    return first.replace(day=min(day, last.day))
