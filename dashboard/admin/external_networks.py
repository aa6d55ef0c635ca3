"""External networks: what projects can lead outside by."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path

from compute import external_networks
from dashboard.admin import tools
from dashboard.admin.tools import Act
from dashboard.forms.base import Form
from dashboard.shell import admin_page, page
from identity.context import Context

BASE = "/admin/external-networks"


@admin_page
def list(request: HttpRequest, ctx: Context) -> HttpResponse:
    why = ctx.why_not("external_networks.manage")
    found = external_networks.list(ctx)
    rows = [(row, why or external_networks.why_not_delete(row), external_networks.why_dead(row)) for row in found]
    return page(request, "admin/external_networks/list.html", {"rows": rows, "why": why})


@admin_page
def create(request: HttpRequest, ctx: Context) -> HttpResponse:
    why = ctx.why_not("external_networks.manage")
    form = Form(request, name="", description="", kind="nat", cidr="", bridge="", gateway_ip="", pool_first="", pool_last="", mtu="1500")

    def act() -> object:
        return external_networks.create(
            ctx,
            mtu=tools.whole(form, "mtu", "The MTU"),
            **{key: form.text(key) for key in ("name", "description", "kind", "cidr", "bridge", "gateway_ip", "pool_first", "pool_last")},
        )

    if form.posted and form.run(act):
        messages.success(request, f"{form.result} is on offer.")
        return HttpResponseRedirect(BASE)
    context = {"form": form, "why": why, "bridges": [] if why else external_networks.bridges(ctx)}
    return page(request, "admin/external_networks/new.html", context, status=form.status)


@tools.action
def make_default(request: HttpRequest, ctx: Context, id: UUID) -> Act:
    row = external_networks.get(ctx, id)
    return Act(
        lambda: external_networks.update(ctx, id, {"is_default": True}), f"New routers lead to {row.name} unless told otherwise.", BASE
    )


@tools.action
def delete(request: HttpRequest, ctx: Context, id: UUID) -> Act:
    return Act(lambda: external_networks.delete(ctx, id), f"Deleted {external_networks.get(ctx, id).name}.", BASE)


urlpatterns = [
    path("/external-networks", list, name="admin-external-networks"),
    path("/external-networks/new", create, name="admin-external-networks-new"),
    path("/external-networks/<uuid:id>/make-default", make_default, name="admin-external-network-default"),
    path("/external-networks/<uuid:id>/delete", delete, name="admin-external-network-delete"),
]
