"""Sizes: what is on offer. One in use is never changed; it is retired, and a new one made."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path

from compute import flavors
from dashboard.admin import tools
from dashboard.admin.tools import Act
from dashboard.forms.base import Form
from dashboard.shell import admin_page, page
from identity.context import Context


@admin_page
def list(request: HttpRequest, ctx: Context) -> HttpResponse:
    counted = flavors.list(ctx, retired=True).annotate(in_use=Count("instance", filter=~Q(instance__status="deleted")))
    rows = counted.order_by("sort", "memory_mib", "name")  # counting drops the order of the table
    shown = {"rows": rows, "why": ctx.why_not("flavors.manage")}
    return page(request, "admin/flavors/list.html", shown)


@admin_page
def create(request: HttpRequest, ctx: Context) -> HttpResponse:
    form = Form(request, name="", vcpus="", memory_mib="", disk_gib="")

    def act() -> object:
        return flavors.create(
            ctx,
            name=form.text("name"),
            vcpus=tools.whole(form, "vcpus", "The number of vCPUs"),
            memory_mib=tools.whole(form, "memory_mib", "The memory"),
            disk_gib=tools.whole(form, "disk_gib", "The root disk"),
        )

    if form.posted and form.run(act):
        messages.success(request, f"{form.result} is on offer.")
        return HttpResponseRedirect("/admin/flavors")
    return page(request, "admin/flavors/new.html", {"form": form, "why": ctx.why_not("flavors.manage")}, status=form.status)


@tools.action
def retire(request: HttpRequest, ctx: Context, id: UUID) -> Act:
    flavor = flavors.get(ctx, id)
    return Act(lambda: flavors.retire(ctx, id), f"{flavor.name} is no longer offered. Instances that have it keep it.", "/admin/flavors")


@tools.action
def restore(request: HttpRequest, ctx: Context, id: UUID) -> Act:
    return Act(lambda: flavors.restore(ctx, id), f"{flavors.get(ctx, id).name} is on offer again.", "/admin/flavors")


urlpatterns = [
    path("/flavors", list, name="admin-flavors"),
    path("/flavors/new", create, name="admin-flavors-new"),
    path("/flavors/<uuid:id>/retire", retire, name="admin-flavor-retire"),
    path("/flavors/<uuid:id>/restore", restore, name="admin-flavor-restore"),
]
