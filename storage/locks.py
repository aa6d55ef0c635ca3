"""Object lock: retentions and legal holds, who may end them, and what they keep from being deleted. Pure.

A version under COMPLIANCE cannot be deleted before its time by anybody; under GOVERNANCE by who may bypass it; a legal hold has no end.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from storage.errors import Locked
from storage.properties import Properties

GOVERNANCE, COMPLIANCE = "GOVERNANCE", "COMPLIANCE"


def default_retention(documents: Mapping[str, Any], now: dt.datetime) -> list[Any]:
    """[mode, until in ns] for a new version, by the bucket's default; empty if there is none."""
    rule = documents.get("lock")
    if not rule:
        return []
    if rule.get("days"):
        until = now + dt.timedelta(days=rule["days"])
    else:
        try:
            until = now.replace(year=now.year + rule["years"])
        except ValueError:  # 29 February
            until = now.replace(year=now.year + rule["years"], day=28)
    return [rule["mode"], ns_of(until)]


def ns_of(moment: dt.datetime) -> int:
    return int(moment.timestamp() * 1_000_000) * 1000


def check_deletable(properties: Properties, *, now_ns: int, bypass: bool) -> None:
    """Raises Locked if a version may not be removed."""
    if properties.legal_hold:
        raise Locked("A legal hold keeps this version. Take it off first.")
    if properties.retention:
        mode, until = properties.retention
        if until > now_ns and (mode == COMPLIANCE or not bypass):
            raise Locked(f"Object is WORM protected and cannot be overwritten or deleted until {_shown(until)}.")


def check_retention_change(properties: Properties, new: list[Any], *, now_ns: int, bypass: bool) -> None:
    """Raises Locked unless the present retention may become `new` ([] to take it away). Longer is always allowed."""
    if not properties.retention or properties.retention[1] <= now_ns:
        return
    mode, until = properties.retention
    if mode == COMPLIANCE:
        if not new or new[0] != COMPLIANCE or new[1] < until:
            raise Locked("A retention in COMPLIANCE mode can only be made longer.")
    elif (not new or new[1] < until or new[0] != GOVERNANCE) and not bypass:
        raise Locked("A retention in GOVERNANCE mode can only be shortened or changed by who may bypass it, and says so.")


def _shown(ns: int) -> str:
    return dt.datetime.fromtimestamp(ns / 1e9, dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
