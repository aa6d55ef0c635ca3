"""How services write a moment."""

from __future__ import annotations

import datetime as dt


def zulu(value: dt.datetime | None) -> str | None:
    """2026-01-31T12:00:00Z: Nova, Glance and Neutron."""
    return None if value is None else value.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def bare(value: dt.datetime | None) -> str | None:
    """2026-01-31T12:00:00.123456, in UTC without saying so: Cinder, and where Nova speaks of launches."""
    return None if value is None else value.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
