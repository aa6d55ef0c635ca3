"""What time it is. Everything asks here, so that tests can move the clock."""

from __future__ import annotations

import datetime as dt


def now() -> dt.datetime:
    """The present moment, in UTC, with its zone."""
    return dt.datetime.now(dt.UTC)
