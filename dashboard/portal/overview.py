"""The first page of a project: what needs a person, what it uses, what its machines show, what happened."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.http import require_safe

from compute import instances
from dashboard.portal import instance_rows
from dashboard.shell import page, portal_page
from identity import activity, quotas
from identity.context import Context

WALL = 8
EVENTS = 8
FULL = 85
FAILED_SHOWN = 4
GROWS_SELDOM = ("networks", "security_groups", "keypairs", "buckets")
STORAGE = ("object_gib", "objects", "buckets")
MAIN = ("instances", "vcpus", "memory_mib", "disk_gib")


@dataclass(frozen=True)
class Need:
    """A sentence, and the one button that settles it."""

    kind: str
    state: str
    thing: str
    url: str
    sentence: str
    button: str


@require_safe
@portal_page
def overview(request: HttpRequest, ctx: Context) -> HttpResponse:
    events, since = activity.latest(ctx, EVENTS)  # first: what happens meanwhile comes by the live channel
    counts = instances.counts(ctx)
    lines = quotas.lines(ctx)
    shown = instance_rows.rows(ctx, [*instances.list(ctx, sort="-created")[:WALL]])
    gone = {event.subject_id for event in events if event.verb in ("delete", "deleted")}
    context = {
        "counts": counts,
        "needs": _needs(ctx, counts, lines),
        "main": [line for line in lines if line.resource in MAIN],
        "others": [line for line in lines if line.resource not in (*MAIN, *STORAGE)],
        "rows": shown,
        "storage": [line for line in lines if line.resource in STORAGE],
        "events": events,
        "there": {event.subject_id for event in events} - gone,
        "why_bucket": ctx.why_not("buckets.manage"),
        "why_launch": ctx.why_not("instances.launch"),
        "live": {"project": ctx.needed_project.slug, "part": "page", "since": since},
    }
    return page(request, "portal/overview.html", context)


def _needs(ctx: Context, counts: dict[str, int], lines: list[quotas.QuotaLine]) -> list[Need]:
    """In the order of urgency."""
    base = f"/p/{ctx.needed_project.slug}"
    needs = []
    if ctx.needed_project.status != "active":
        said = "is suspended: nothing in it can be changed. Ask the administrator of the box to resume it."
        needs.append(Need("warn", "Suspended", ctx.needed_project.name, f"{base}/settings", said, "Settings"))
    failed = counts.get("error", 0)
    if failed:
        for one in instances.list(ctx, status="error")[:FAILED_SHOWN]:
            needs.append(Need("bad", "Error", one.name, f"{base}/instances/{one.id}", one.error or "has failed.", "Look"))
        rest = failed - FAILED_SHOWN
        if rest > 0:
            said = f"{'have' if rest > 1 else 'has'} failed too."
            needs.append(Need("bad", "Error", f"{rest} more", f"{base}/instances?state=error", said, "Show"))
    for line in lines:
        if line.resource not in GROWS_SELDOM and line.limit and line.percent >= FULL:
            thing = f"The quota of {quotas.RESOURCES[line.resource].noun}"
            used = "used up" if line.percent >= 100 else f"used to {line.percent} %"
            said = f"is {used}. Delete something, or ask the administrator of the box for more."
            needs.append(Need("warn", "Nearly full", thing, f"{base}/settings#quota", said, "Quota"))
    return needs


urlpatterns = [path("", overview, name="overview")]
