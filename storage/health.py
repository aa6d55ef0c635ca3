"""Does the object store work? Its parts with the evidence, for the admin console's health page."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import urllib3
from django.conf import settings
from django.db.models import Count, Sum

from identity.context import Context
from storage.models import Bucket, BucketUsage

ANSWER_SECONDS = 2.0
# A worker counts every minute and writes what has changed; no count at all for so long means that none runs.
SLOW_SECONDS = 1.0


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
    return [_front()] if settings.STORE_URL else []


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
