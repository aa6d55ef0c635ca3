"""What happened in the project, by anyone, through any door."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.http import require_safe

from cloudbox.common.models import Event
from compute import images, instances, keypairs, networks, security_groups, snippets, vpn
from dashboard import commands, downloads, lists
from dashboard.shell import page, portal_page
from identity import activity
from identity.context import Context

PAGE = 50
FILTERS = ("q", "actor", "api", "outcome")
DOORS = (("portal", "Portal"), ("rest", "REST API"), ("cli", "Command line"), ("system", "The box"))
OUTCOMES = (("ok", "Done"), ("refused", "Refused"), ("failed", "Failed"))
LOOK: dict[str, Callable[[Context], Any]] = {
    "instance": instances.list,
    "image": images.list,
    "network": networks.list,
    "keypair": keypairs.list,
    "snippet": snippets.list,
    "vpn-peer": vpn.list,
    "security-group": security_groups.list,
}


@require_safe
@portal_page
def index(request: HttpRequest, ctx: Context) -> HttpResponse:
    query, rows = _wanted(request, ctx)
    after = request.GET.get("after", "")
    if after.isdecimal() and len(after) < 19:
        rows = rows.filter(id__lt=int(after))
    found = [*rows[: PAGE + 1]]
    kept = {name: value for name, value in query.items() if value}
    more = "?" + urlencode(kept | {"after": str(found[PAGE - 1].id)}) if len(found) > PAGE else ""
    chips = [{"text": f"{name}: {value}".removeprefix("q: "), "url": _without(request, kept, name)} for name, value in kept.items()]
    context = {
        "rows": found[:PAGE],
        "query": query,
        "chips": chips,
        "more": more,
        "first": request.path if after else "",
        "there": there(ctx, found),
        "api_query": commands.query_of(query),
    }
    return page(request, "portal/activity.html", context | {"doors": DOORS, "outcomes": OUTCOMES})


def _wanted(request: HttpRequest, ctx: Context) -> tuple[dict[str, str], QuerySet[Event]]:
    """The filters of the URL, and the events that pass them."""
    query = {name: request.GET.get(name, "").strip()[:200] for name in FILTERS}
    return query, activity.list(ctx, q=query["q"], actor=query["actor"], api=query["api"], outcome=query["outcome"])


@require_safe
@portal_page
def export(request: HttpRequest, ctx: Context) -> HttpResponse:
    return downloads.csv(request, "activity", lists.EVENTS, _wanted(request, ctx)[1])


def _without(request: HttpRequest, kept: dict[str, str], name: str) -> str:
    rest = {key: value for key, value in kept.items() if key != name}
    return f"{request.path}?{urlencode(rest)}" if rest else request.path


def there(ctx: Context, events: Iterable[Event]) -> set[UUID]:
    """Which of the things that the events tell of have a page still: few kinds are ever deleted in numbers, so one query for each kind."""
    ids: dict[str, set[UUID]] = {}
    for event in events:
        if event.subject_id and event.noun in LOOK:
            ids.setdefault(event.noun, set()).add(event.subject_id)
    return {id for noun, wanted in ids.items() for id in LOOK[noun](ctx).filter(id__in=wanted).values_list("id", flat=True)}


urlpatterns = [path("/activity", index, name="activity"), path("/activity.csv", export, name="activity-csv")]
