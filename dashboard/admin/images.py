"""Images: the box's catalogue and those of the projects."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import Count, F, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import path

from compute import images
from dashboard import downloads, lists
from dashboard.admin import tools
from dashboard.admin.tools import Act
from dashboard.shell import admin_page, page
from identity.context import Context


@admin_page
def list(request: HttpRequest, ctx: Context) -> HttpResponse:
    filters, rows = _wanted(request, ctx)
    found = tools.listing(request, rows, filters, labels={"owner": "Owner"})
    shown = {
        "found": found,
        "filters": filters,
        "total": rows.count(),
        "bytes": sum(rows.annotate(n=F("size_bytes")).values_list("n", flat=True)),
        "why": ctx.why_not("images.catalogue"),
    }
    return page(request, "admin/images/list.html", shown)


def _wanted(request: HttpRequest, ctx: Context) -> tuple[dict[str, str], QuerySet[Any]]:
    """The filters of the URL, and the images that pass them, each with how many instances stand on it."""
    filters = tools.asked(request, "q", "owner")
    rows = images.list(ctx, all_projects=True).annotate(in_use=Count("instance", filter=~Q(instance__status="deleted")))
    if filters["q"]:
        rows = rows.filter(Q(name__icontains=filters["q"]) | Q(os__icontains=filters["q"]))
    if filters["owner"] in ("catalogue", "projects"):
        rows = rows.filter(project__isnull=filters["owner"] == "catalogue")
    return filters, rows.order_by("name", "created_at", "id")


@admin_page
def export(request: HttpRequest, ctx: Context) -> HttpResponse:
    return downloads.csv(request, "images", lists.ALL_IMAGES, _wanted(request, ctx)[1])


@tools.action
def deactivate(request: HttpRequest, ctx: Context, id: UUID) -> Act:
    done = f"Nothing new starts from {images.get(ctx, id).name}. What runs is not touched."
    return Act(lambda: images.deactivate(ctx, id), done, "/admin/images")


@tools.action
def reactivate(request: HttpRequest, ctx: Context, id: UUID) -> Act:
    return Act(lambda: images.reactivate(ctx, id), f"{images.get(ctx, id).name} can be started from again.", "/admin/images")


@tools.action
def delete(request: HttpRequest, ctx: Context, id: UUID) -> Act:
    return Act(lambda: images.delete(ctx, id), f"{images.get(ctx, id).name} is deleted.", "/admin/images")


urlpatterns = [
    path("/images", list, name="admin-images"),
    path("/images.csv", export, name="admin-images-csv"),
    path("/images/<uuid:id>/deactivate", deactivate, name="admin-image-deactivate"),
    path("/images/<uuid:id>/reactivate", reactivate, name="admin-image-reactivate"),
    path("/images/<uuid:id>/delete", delete, name="admin-image-delete"),
]
