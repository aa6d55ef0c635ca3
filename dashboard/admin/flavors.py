"""Sizes: what is on offer. One in use is never changed; it is retired, and a new one made."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path

from cloudbox.common.errors import CloudError
from compute import flavors
from dashboard.admin import tools
from dashboard.shell import admin_page, attempt, page
from identity.context import Context

FIELDS = ("name", "vcpus", "memory_mib", "disk_gib")


@admin_page
def list(request: HttpRequest, ctx: Context) -> HttpResponse:
    rows = flavors.list(ctx, retired=True).annotate(in_use=Count("instance", filter=~Q(instance__status="deleted")))
    shown = {"rows": rows, "why": ctx.why_not("flavors.manage")}
    return page(request, "admin/flavors/list.html", shown)


@admin_page
def create(request: HttpRequest, ctx: Context) -> HttpResponse:
    form = tools.Form.of(request, *FIELDS)
    if request.method == "POST":
        try:
            flavor = flavors.create(
                ctx,
                name=form.values["name"],
                vcpus=form.whole("vcpus", "The number of vCPUs"),
                memory_mib=form.whole("memory_mib", "Memory in MiB"),
                disk_gib=form.whole("disk_gib", "The root disk in GiB"),
            )
        except CloudError as error:
            form.fail(error)
        else:
            messages.success(request, f"{flavor.name} is on offer.")
            return HttpResponseRedirect("/admin/flavors")
    return page(request, "admin/flavors/new.html", {"form": form, "why": ctx.why_not("flavors.manage")}, status=form.status)


@admin_page
def retire(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    if (refused := tools.only_post(request)) is not None:
        return refused
    flavor = flavors.get(ctx, id)
    attempt(request, lambda: flavors.retire(ctx, id), done=f"{flavor.name} is no longer offered. Instances that have it keep it.")
    return HttpResponseRedirect("/admin/flavors")


@admin_page
def restore(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    if (refused := tools.only_post(request)) is not None:
        return refused
    flavor = flavors.get(ctx, id)
    attempt(request, lambda: flavors.restore(ctx, id), done=f"{flavor.name} is on offer again.")
    return HttpResponseRedirect("/admin/flavors")


urlpatterns = [
    path("/flavors", list, name="admin-flavors"),
    path("/flavors/new", create, name="admin-flavors-new"),
    path("/flavors/<uuid:id>/retire", retire, name="admin-flavor-retire"),
    path("/flavors/<uuid:id>/restore", restore, name="admin-flavor-restore"),
]
