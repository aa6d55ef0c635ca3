"""The object store of the box: what it holds, by project and by bucket, and whether it works."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, Sum
from django.http import HttpRequest, HttpResponse
from django.urls import path

from cloudbox.common.errors import CloudError
from dashboard import commands, downloads, lists
from dashboard.admin import tools
from dashboard.shell import admin_page, page
from identity import activity, projects, quotas
from identity.context import Context
from storage import buckets, configurations, health

RESOURCES = ("object_gib", "objects", "buckets")
LARGEST = 6


@admin_page
def show(request: HttpRequest, ctx: Context) -> HttpResponse:
    since = activity.place()
    rows = buckets.list_all(ctx)
    held = rows.aggregate(
        buckets=Count("id"),
        objects=Sum("usage__objects_count"),
        versions=Sum("usage__versions_count"),
        bytes=Sum("usage__bytes"),
        upload_bytes=Sum("usage__upload_bytes"),
    )
    found = tools.listing(request, projects.list(ctx, all=True), {}, labels={})
    lines = quotas.of_all([project.id for project in found.rows])
    use = {id: {line.resource: line for line in of} for id, of in lines.items()}
    shown = {
        "held": held,
        "parts": health.components(ctx),
        "drives": configurations.drive_count(),
        "largest": [_line(row) for row in rows.filter(usage__bytes__gt=0).order_by("-usage__bytes")[:LARGEST]],
        "found": found,
        "use": use,
        "resources": " ".join(RESOURCES),
        "live": tools.live("page", since),
    }
    return page(request, "admin/store/show.html", shown)


@admin_page
def all_buckets(request: HttpRequest, ctx: Context) -> HttpResponse:
    since = activity.place()
    filters, rows = _wanted(request, ctx)
    found = tools.listing(request, rows, filters, labels={"project": "Project"})
    shown = {
        "found": found,
        "lines": [_line(row) for row in found.rows],
        "filters": filters,
        "total": rows.count(),
        "live": tools.live("page", since),
        "api_query": commands.query_of({"q": filters["q"]}),
    }
    return page(request, "admin/store/buckets.html", shown)


def _line(row: Any) -> dict[str, Any]:
    return {
        "row": row,
        "usage": getattr(row, "usage", None),
        "class": configurations.class_label(row.storage_class),
        "public": configurations.publicity(row),
    }


def _wanted(request: HttpRequest, ctx: Context) -> tuple[dict[str, str], Any]:
    filters = tools.asked(request, "q", "project")
    rows = buckets.list_all(ctx, q=filters["q"])
    if filters["project"]:
        try:
            rows = rows.filter(project=projects.get(ctx, filters["project"]))
        except CloudError:  # a project that is not there has no buckets
            rows = rows.none()
    return filters, rows


@admin_page
def export(request: HttpRequest, ctx: Context) -> HttpResponse:
    return downloads.csv(request, "buckets", lists.ALL_BUCKETS, _wanted(request, ctx)[1])


urlpatterns = [
    path("/store", show, name="admin-store"),
    path("/buckets", all_buckets, name="admin-buckets"),
    path("/buckets.csv", export, name="admin-buckets-csv"),
]
