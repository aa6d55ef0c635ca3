"""Images: the box's catalogue and those of the projects."""

from __future__ import annotations

from uuid import UUID

from django.db.models import Count, F, Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path

from compute import images
from dashboard.admin import tools
from dashboard.shell import admin_page, attempt, page
from identity.context import Context


@admin_page
def list(request: HttpRequest, ctx: Context) -> HttpResponse:
    filters = tools.asked(request, "q", "owner")
    rows = images.list(ctx, all_projects=True).annotate(in_use=Count("instance", filter=~Q(instance__status="deleted")))
    if filters["q"]:
        rows = rows.filter(Q(name__icontains=filters["q"]) | Q(os__icontains=filters["q"]))
    if filters["owner"] in ("catalogue", "projects"):
        rows = rows.filter(project__isnull=filters["owner"] == "catalogue")
    found = tools.listing(request, rows.order_by("name", "created_at", "id"), filters, labels={"owner": "Owner"})
    shown = {
        "found": found,
        "filters": filters,
        "total": rows.count(),
        "bytes": sum(rows.annotate(n=F("size_bytes")).values_list("n", flat=True)),
        "why": ctx.why_not("images.catalogue"),
    }
    return page(request, "admin/images/list.html", shown)


@admin_page
def deactivate(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    if (refused := tools.only_post(request)) is not None:
        return refused
    image = images.get(ctx, id)
    done = f"Nothing new starts from {image.name}. What runs is not touched."
    attempt(request, lambda: images.deactivate(ctx, id), done=done)
    return HttpResponseRedirect("/admin/images")


@admin_page
def reactivate(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    if (refused := tools.only_post(request)) is not None:
        return refused
    image = images.get(ctx, id)
    attempt(request, lambda: images.reactivate(ctx, id), done=f"{image.name} can be started from again.")
    return HttpResponseRedirect("/admin/images")


@admin_page
def delete(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    if (refused := tools.only_post(request)) is not None:
        return refused
    image = images.get(ctx, id)
    attempt(request, lambda: images.delete(ctx, id), done=f"{image.name} is deleted.")
    return HttpResponseRedirect("/admin/images")


urlpatterns = [
    path("/images", list, name="admin-images"),
    path("/images/<uuid:id>/deactivate", deactivate, name="admin-image-deactivate"),
    path("/images/<uuid:id>/reactivate", reactivate, name="admin-image-reactivate"),
    path("/images/<uuid:id>/delete", delete, name="admin-image-delete"),
]
