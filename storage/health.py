"""Does the object store work? Its parts with the evidence, for the admin console's health page."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import urllib3
from django.conf import settings
from django.db.models import Count, Sum

from identity.context import Context
from storage.models import Bucket, BucketUsage, StoreDrive, StoreRounds

ANSWER_SECONDS = 2.0
SLOW_SECONDS = 1.0
NEARLY_FULL = 0.85


@dataclass(frozen=True)
class Component:
    """One part: ok, warn or bad, and a sentence that says why."""

    name: str
    state: str
    sentence: str
    facts: dict[str, Any] = field(default_factory=dict)


def components(ctx: Context) -> list[Component]:
    """None on a box without an object store."""
    ctx.require("box.look")
    return [_front(), *_drives()] if settings.STORE_URL else []


def _drives() -> list[Component]:
    """As the data plane last saw them; nothing where it is another box's."""
    rows = list(StoreDrive.objects.all())
    if not rows:
        return []
    gone = [row.path for row in rows if row.state == StoreDrive.State.MISSING]
    failing = [row.path for row in rows if row.state == StoreDrive.State.SUSPECT]
    full = [row.path for row in rows if (row.facts.get("fill") or 0) >= NEARLY_FULL]
    facts = {"drives": len(rows), "missing": gone, "failing": failing, "nearly_full": full}
    for paths, state, what in ((gone, "bad", "missing"), (failing, "warn", "failing"), (full, "warn", "nearly full")):
        if paths:
            said = f"{', '.join(paths)} {'is' if len(paths) == 1 else 'are'} {what}. Look at the drives."
            return [Component("Drives", state, said, facts)]
    waiting = (StoreRounds.objects.filter(pk=1).values_list("facts", flat=True).first() or {}).get("queue", {}).get("pieces", 0)
    if waiting:
        return [Component("Drives", "warn", f"{waiting:,} pieces wait for a copy; the repairer makes them.", facts)]
    return [Component("Drives", "ok", f"{len(rows)} drives, every copy where it should be.", facts)]


def _front() -> Component:
    """An unsigned request must be refused, and quickly: that proves front, signatures and answer."""
    began = time.monotonic()
    http = urllib3.PoolManager(1, retries=False, timeout=urllib3.Timeout(ANSWER_SECONDS))
    try:
        answer = http.request("GET", settings.STORE_URL + "/", redirect=False)
    except urllib3.exceptions.HTTPError:
        return Component("Object store", "bad", "It does not answer. Its log is store.log; bin/cloudbox up starts it again.")
    finally:
        http.clear()
    took = time.monotonic() - began
    if answer.status >= 500:
        return Component("Object store", "bad", f"It answers with {answer.status}. Its log is store.log.")
    used = BucketUsage.objects.aggregate(bytes=Sum("bytes"), objects=Sum("objects_count"))
    facts = {"buckets": Bucket.objects.aggregate(n=Count("id"))["n"], "bytes": used["bytes"] or 0, "objects": used["objects"] or 0}
    if took > SLOW_SECONDS:
        return Component("Object store", "warn", f"It took {took:.1f} s to answer. A drive may be slow.", facts)
    return Component("Object store", "ok", f"It answers; {facts['buckets']:,} buckets, {facts['objects']:,} objects.", facts)
