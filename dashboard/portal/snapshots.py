"""Snapshots of volumes: the list of all; taking, renaming, going back and deleting happen on the page of the volume."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path
from django.views.decorators.http import require_POST, require_safe

from compute import snapshot_files, snapshots
from dashboard import downloads, lists
from dashboard.admin.tools import listing
from dashboard.portal import disk_files
from dashboard.shell import attempt, page, portal_page
from identity import activity
from identity.context import Context

DO: dict[str, tuple[Callable[[Context, UUID], Any], str]] = {
    "restore": (snapshots.restore, "The volume goes back to {}."),
    "delete": (snapshots.delete, "{} is being deleted."),
}


def rows(ctx: Context, volume_id: UUID) -> list[dict[str, Any]]:
    """The tree of a volume's snapshots as its page shows it, with what can be done to each."""
    return [
        {"it": row, "depth": min(depth, 6), "why": {key: snapshots.why_not(ctx, row, key) for key in snapshots.ACTIONS}}
        for depth, row in snapshots.tree(ctx, volume_id)
    ]


def _wanted(request: HttpRequest, ctx: Context) -> tuple[str, QuerySet[Any]]:
    q = request.GET.get("q", "").strip()[:100]
    return q, snapshots.list(ctx, q=q, sort="-created")


@require_safe
@portal_page
def index(request: HttpRequest, ctx: Context) -> HttpResponse:
    since = activity.place()
    q, found = _wanted(request, ctx)
    context = {
        "found": listing(request, found, {"q": q}, labels={}),
        "q": q,
        "counts": snapshots.counts(ctx),
        "live": {"project": ctx.needed_project.slug, "part": "page", "since": since},
    }
    return page(request, "portal/snapshots/list.html", context)


@require_safe
@portal_page
def export(request: HttpRequest, ctx: Context) -> HttpResponse:
    return downloads.csv(request, "snapshots", lists.SNAPSHOTS, _wanted(request, ctx)[1])


@require_safe
@portal_page
def files(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    row, base = snapshots.get(ctx, id), f"/p/{ctx.needed_project.slug}"
    context = {
        "name": row.name,
        "words": f"{row.volume.name} as it was. Read where it lies; nothing is copied or mounted for it.",
        "at": f"{base}/snapshots/{id}",
        "trail": [(f"{base}/volumes", "Volumes"), (f"{base}/volumes/{row.volume_id}#snapshots", row.volume.name), ("", row.name)],
        "command": ("volume", {"id": row.volume_id, "name": row.volume.name}),
    }
    return disk_files.folder(request, context, lambda part, path: snapshot_files.look(ctx, id, part=part, path=path))


@require_safe
@portal_page
def file(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    return disk_files.download(request, lambda part, path: snapshot_files.read(ctx, id, part=part, path=path))


@require_POST
@portal_page
def do(request: HttpRequest, ctx: Context, id: UUID, key: str) -> HttpResponse:
    if key not in DO:
        raise Http404
    verb, done = DO[key]
    snapshot = snapshots.get(ctx, id)
    attempt(request, lambda: verb(ctx, id), done=done.format(snapshot.name))
    return HttpResponseRedirect(f"/p/{ctx.needed_project.slug}/volumes/{snapshot.volume_id}#snapshots")


urlpatterns = [
    path("/snapshots", index, name="snapshots"),
    path("/snapshots.csv", export, name="snapshots-csv"),
    path("/snapshots/<uuid:id>/files", files, name="snapshot-files"),
    path("/snapshots/<uuid:id>/file", file, name="snapshot-file"),
    path("/snapshots/<uuid:id>/do/<slug:key>", do, name="snapshot-do"),
]
