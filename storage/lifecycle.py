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


def plain(rule: Mapping[str, Any]) -> dict[str, Any]:
    """A stored rule as forms and the REST API have it: flat, every field there, None where it says nothing."""
    where = rule.get("filter", {})
    return {
        "id": rule.get("id", ""),
        "enabled": rule.get("status") == "Enabled",
        "prefix": where.get("prefix", ""),
        "tags": dict(where.get("tags", ())),
        "larger_than": where.get("larger_than"),
        "smaller_than": where.get("smaller_than"),
        "days": rule.get("days"),
        "date": str(rule["date"])[:10] if rule.get("date") else None,
        "expired_markers": bool(rule.get("expired_markers")),
        "noncurrent_days": rule.get("noncurrent_days"),
        "noncurrent_keep": rule.get("noncurrent_keep"),
        "abort_days": rule.get("abort_days"),
    }


def stored(rule: Mapping[str, Any]) -> dict[str, Any]:
    """The other way round. Raises MalformedDocument."""
    where = {name: rule[name] for name in ("larger_than", "smaller_than") if rule.get(name) is not None}
    where |= {"prefix": rule["prefix"]} if rule.get("prefix") else {}
    where |= {"tags": [[key, value] for key, value in rule["tags"].items()]} if rule.get("tags") else {}
    found: dict[str, Any] = {"id": rule.get("id") or "", "status": "Enabled" if rule.get("enabled", True) else "Disabled", "filter": where}
    found |= {name: rule[name] for name in ("days", "noncurrent_days", "noncurrent_keep", "abort_days") if rule.get(name) is not None}
    if rule.get("expired_markers"):
        found["expired_markers"] = True
    if rule.get("date"):
        try:
            found["date"] = f"{dt.date.fromisoformat(str(rule['date'])).isoformat()}T00:00:00Z"
        except ValueError as error:
            raise MalformedDocument("A date is written like 2027-01-31.", field="date") from error
    if found.get("days") is not None and found.get("date"):
        raise MalformedDocument("Objects expire after days or on a date, not by both.", field="date")
    return found


def told(rule: Mapping[str, Any]) -> str:
    """A flat rule as a sentence."""
    which = [f"below {rule['prefix']}"] if rule.get("prefix") else []
    which += [f"tagged {key}={value}" for key, value in (rule.get("tags") or {}).items()]
    which += [f"larger than {rule['larger_than']:,} bytes"] if rule.get("larger_than") is not None else []
    which += [f"smaller than {rule['smaller_than']:,} bytes"] if rule.get("smaller_than") is not None else []
    what = f"Objects {', '.join(which)}" if which else "All objects"
    does = []
    if rule.get("days"):
        does.append(f"expire {_days(rule['days'])} after they were written")
    if rule.get("date"):
        does.append(f"expire on {rule['date']}")
    if rule.get("noncurrent_days"):
        keep = rule.get("noncurrent_keep")
        spared = f", but for the newest {keep}" if keep else ""
        does.append(f"lose old versions {_days(rule['noncurrent_days'])} after these were replaced{spared}")
    if rule.get("expired_markers"):
        does.append("lose delete markers that hide nothing")
    if rule.get("abort_days"):
        does.append(f"have unfinished uploads ended {_days(rule['abort_days'])} after they began")
    return f"{what} {' and '.join(does) or 'stay as they are'}."


def _days(count: int) -> str:
    return "a day" if count == 1 else f"{count:,} days"


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


@dataclass(slots=True)
class Preview:
    """What rules would end now, as far as it was looked: counts, bytes, and the first names."""

    seen: int = 0
    due: int = 0
    hidden: int = 0  # Of the due ones those that get a delete marker, and can be brought back.
    bytes: int = 0
    by_rule: dict[str, int] = field(default_factory=dict)
    first: list[tuple[str, int]] = field(default_factory=list)  # name, size
    complete: bool = False


PREVIEW_NAMES = 20


def preview(rules: Sequence[Rule], versions: Iterable[Seen], now: dt.datetime, *, versioned: bool, limit: int) -> Preview:
    """Judge a listing of versions (names in order, the newest of a name first), at most `limit` of them."""
    found, together = Preview(), list[Seen]()

    def settle() -> None:
        for position, rule in judge(rules, together, now):
            one = together[position]
            found.due += 1
            hides = versioned and position == 0 and not one.delete_marker
            found.hidden += hides
            found.bytes += 0 if hides else one.size
            found.by_rule[rule] = found.by_rule.get(rule, 0) + 1
            if len(found.first) < PREVIEW_NAMES:
                found.first.append((one.name.decode("utf-8", "replace"), one.size))
        together.clear()

    for version in versions:
        if together and together[-1].name != version.name:
            settle()
        if found.seen >= limit:
            # Of this name not all versions may have come: what is not whole is not judged.
            return found
        found.seen += 1
        together.append(version)
    settle()
    found.complete = True
    return found


def abort_due(rules: Iterable[Rule], name: bytes, started: dt.datetime, now: dt.datetime) -> str | None:
    """The id of the rule by which an unfinished upload ends now, if there is one."""
    for rule in rules:
        if rule.enabled and rule.abort_days is not None and rule.filter.fits(name, 0, {}) and due_after(started, rule.abort_days) <= now:
            return rule.id
    return None
