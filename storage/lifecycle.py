"""Lifecycle rules: what a bucket forgets by itself, and when. Judging is pure; the expirer's round stands in expirer.py.

AWS, "Managing the lifecycle of objects": days count from the creation of a version, noncurrent days from the moment it was succeeded,
and both are rounded up to the next midnight UTC. Where several rules fit, the earliest moment counts.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from storage.errors import MalformedDocument

RULES_MAX = 1000
ID_MAX = 255
DAY = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Filter:
    prefix: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    larger_than: int | None = None
    smaller_than: int | None = None

    def fits(self, name: bytes, size: int, tags: Mapping[str, str]) -> bool:
        return (
            name.startswith(self.prefix.encode())
            and all(tags.get(key) == value for key, value in self.tags)
            and (self.larger_than is None or size > self.larger_than)
            and (self.smaller_than is None or size < self.smaller_than)
        )


@dataclass(frozen=True, slots=True)
class Rule:
    id: str
    enabled: bool
    filter: Filter = field(default_factory=Filter)
    days: int | None = None
    date: dt.datetime | None = None
    expired_markers: bool = False  # Remove delete markers that hide nothing.
    noncurrent_days: int | None = None
    noncurrent_keep: int = 0  # So many noncurrent versions stay whatever their age.
    abort_days: int | None = None


class Seen(NamedTuple):
    """A version, as far as rules ask."""

    name: bytes
    modified: dt.datetime
    size: int
    tags: Mapping[str, str]
    delete_marker: bool = False


def parse(rules: Sequence[Mapping[str, Any]]) -> tuple[Rule, ...]:
    """From the stored document. Raises MalformedDocument."""
    if not 1 <= len(rules) <= RULES_MAX:
        raise MalformedDocument(f"A lifecycle configuration has 1 to {RULES_MAX} rules.")
    parsed = tuple(_rule(rule) for rule in rules)
    ids = [rule.id for rule in parsed if rule.id]
    if len(ids) != len(set(ids)):
        raise MalformedDocument("Rule ID must be unique. Found same ID for more than one rule")
    return parsed


def _rule(given: Mapping[str, Any]) -> Rule:
    if len(given.get("id", "")) > ID_MAX:
        raise MalformedDocument(f"ID length should not exceed allowed limit of {ID_MAX}")
    where = given.get("filter", {})
    rule = Rule(
        id=given.get("id", ""),
        enabled=given["status"] == "Enabled",
        filter=Filter(
            where.get("prefix", ""),
            tuple((tag[0], tag[1]) for tag in where.get("tags", ())),
            where.get("larger_than"),
            where.get("smaller_than"),
        ),
        days=given.get("days"),
        date=dt.datetime.fromisoformat(given["date"]) if given.get("date") else None,
        expired_markers=bool(given.get("expired_markers")),
        noncurrent_days=given.get("noncurrent_days"),
        noncurrent_keep=given.get("noncurrent_keep") or 0,
        abort_days=given.get("abort_days"),
    )
    for days in (rule.days, rule.noncurrent_days, rule.abort_days):
        if days is not None and days < 1:
            raise MalformedDocument("'Days' in a lifecycle action must be a positive integer")
    if rule.date is not None and rule.date.time() != dt.time():
        raise MalformedDocument("'Date' must be at midnight GMT")
    if rule.filter.tags and (rule.abort_days is not None or rule.expired_markers):
        raise MalformedDocument("A rule that filters by tags cannot abort uploads or remove expired delete markers.")
    actions = (rule.days, rule.date, rule.noncurrent_days, rule.abort_days)
    if not rule.expired_markers and all(action is None for action in actions):
        raise MalformedDocument("At least one action needs to be specified in a rule")
    if rule.expired_markers and (rule.days is not None or rule.date is not None):
        raise MalformedDocument("ExpiredObjectDeleteMarker cannot be combined with Days or Date.")
    return rule


def moment_of(ns: int) -> dt.datetime:
    """A time of the store, as a datetime."""
    return dt.datetime.fromtimestamp(ns / 1_000_000_000, dt.UTC)


def due_after(start: dt.datetime, days: int) -> dt.datetime:
    """The moment `days` after `start`, at the next midnight UTC."""
    due = start + days * DAY
    midnight = due.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight if midnight == due else midnight + DAY


def expiry(rules: Iterable[Rule], version: Seen) -> tuple[dt.datetime, str] | None:
    """When the current version will expire, and by which rule."""
    found = None
    for rule in rules:
        if not rule.enabled or (rule.days is None and rule.date is None) or not rule.filter.fits(version.name, version.size, version.tags):
            continue
        due = rule.date if rule.date is not None else due_after(version.modified, rule.days or 0)
        if found is None or due < found[0]:
            found = (due, rule.id)
    return found


def judge(rules: Sequence[Rule], versions: Sequence[Seen], now: dt.datetime) -> list[tuple[int, str]]:
    """What is due among all versions of one name, newest first: their positions, each with the rule's id.

    Position 0 is the current version: it gets a delete marker in a versioned bucket; the others are removed for good. A delete
    marker at position 0 is due only if it is alone.
    """
    if not versions:
        return []
    due: dict[int, str] = {}
    current = versions[0]
    if current.delete_marker:
        if len(versions) == 1:
            for rule in rules:
                if rule.enabled and rule.filter.fits(current.name, 0, {}) and _marker_due(rule, current, now):
                    due.setdefault(0, rule.id)
    else:
        found = expiry(rules, current)
        if found is not None and found[0] <= now:
            due[0] = found[1]
    for rule in rules:
        if not rule.enabled or rule.noncurrent_days is None:
            continue
        kept = 0
        for position in range(1, len(versions)):
            version = versions[position]
            if not rule.filter.fits(version.name, version.size, version.tags):
                continue
            if kept < rule.noncurrent_keep:
                kept += 1
            elif due_after(versions[position - 1].modified, rule.noncurrent_days) <= now:
                due.setdefault(position, rule.id)
    return sorted(due.items())


def _marker_due(rule: Rule, marker: Seen, now: dt.datetime) -> bool:
    """AWS: an expired object delete marker goes by ExpiredObjectDeleteMarker, or by Days when it is that old."""
    if rule.expired_markers:
        return True
    return rule.days is not None and due_after(marker.modified, rule.days) <= now


def abort_due(rules: Iterable[Rule], name: bytes, started: dt.datetime, now: dt.datetime) -> str | None:
    """The id of the rule by which an unfinished upload ends now, if there is one."""
    for rule in rules:
        if rule.enabled and rule.abort_days is not None and rule.filter.fits(name, 0, {}) and due_after(started, rule.abort_days) <= now:
            return rule.id
    return None
