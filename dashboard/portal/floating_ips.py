"""Floating IPs: take one, give it to an instance, move it, give it back."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path
from django.views.decorators.http import require_POST, require_safe

from cloudbox.common.errors import Invalid
from compute import external_networks, floating_ips
from dashboard import commands, downloads, lists
from dashboard.forms.base import Form
from dashboard.shell import attempt, page, portal_page
from identity import quotas
from identity.context import Context

# What needs no more than a click, and what to say when it is done.
DO = {
    "disassociate": (floating_ips.disassociate, "{} is on nothing now. The project keeps it."),
    "release": (floating_ips.release, "Gave {} back."),
}


def _base(ctx: Context) -> str:
    return f"/p/{ctx.needed_project.slug}/floating-ips"


@require_safe
@portal_page
def index(request: HttpRequest, ctx: Context) -> HttpResponse:
    q, found = _wanted(request, ctx)
    return page(request, "portal/floating_ips/list.html", {"rows": found, "q": q, "why": ctx.why_not("networks.manage")})


def _wanted(request: HttpRequest, ctx: Context) -> tuple[str, QuerySet[Any]]:
    q, rows = request.GET.get("q", "").strip()[:100], floating_ips.list(ctx)
    return q, rows.filter(Q(address__startswith=q) | Q(description__icontains=q) | Q(port__instance__name__icontains=q)) if q else rows


@require_safe
@portal_page
def export(request: HttpRequest, ctx: Context) -> HttpResponse:
    return downloads.csv(request, "floating-ips", lists.FLOATING_IPS, _wanted(request, ctx)[1])


@portal_page
def new(request: HttpRequest, ctx: Context) -> HttpResponse:
    offered = external_networks.list(ctx)
    form = Form(request, external_id=str(getattr(offered.first(), "id", "")), address="", description="")

    def act() -> Any:
        return floating_ips.allocate(
            ctx, external_id=form.id_of("external_id"), address=form.text("address"), description=form.text("description")
        )

    if form.posted and form.run(act):
        return HttpResponseRedirect(f"{_base(ctx)}/{form.result.id}")
    context = {
        "form": form,
        "offered": offered,
        "lines": [line for line in quotas.of(ctx.needed_project) if line.resource == "floating_ips"],
        "command": commands.curl(request, ctx, "floating-ips", {"description": form.text("description")}),
        "why": ctx.why_not("networks.manage"),
    }
    return page(request, "portal/floating_ips/new.html", context, status=form.status)


@require_safe
@portal_page
def detail(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    return _detail(request, ctx, id)


def _detail(request: HttpRequest, ctx: Context, id: UUID, *, form: Form | None = None, opened: str = "") -> HttpResponse:
    row, why = floating_ips.get(ctx, id), ctx.why_not("networks.manage")
    shared = floating_ips.why_not_associate(row)
    context = {
        "ip": row,
        "cards": [(port, floating_ips.why_not_to(row, port)) for port in floating_ips.ports(ctx) if port.id != row.port_id],
        "why": why,
        "why_associate": why or shared,
        "why_disassociate": why or ("" if row.port_id else f"{row.address} is on no instance."),
        "why_release": why or shared,
        "opened": opened,
        "associate": form if opened == "associate" else Form(request, port_id=""),
        "describe": form if opened == "describe" else Form(request, description=row.description),
    }
    return page(request, "portal/floating_ips/detail.html", context, status=form.status if form else 200)


@require_POST
@portal_page
def associate(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    floating_ips.get(ctx, id)
    form = Form(request, port_id="")

    def act() -> Any:
        port_id = form.id_of("port_id")
        if port_id is None:
            raise Invalid("Choose the network card.", field="port_id")
        return floating_ips.associate(ctx, id, port_id=port_id)

    if form.run(act):
        return HttpResponseRedirect(f"{_base(ctx)}/{id}")
    return _detail(request, ctx, id, form=form, opened="associate")


@require_POST
@portal_page
def describe(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    floating_ips.get(ctx, id)
    form = Form(request, description="")
    if form.run(lambda: floating_ips.describe(ctx, id, form.text("description"))):
        return HttpResponseRedirect(f"{_base(ctx)}/{id}")
    return _detail(request, ctx, id, form=form, opened="describe")


@require_POST
@portal_page
def do(request: HttpRequest, ctx: Context, id: UUID, key: str) -> HttpResponse:
    if key not in DO:
        raise Http404
    verb, done = DO[key]
    address = floating_ips.get(ctx, id).address
    gone = attempt(request, lambda: verb(ctx, id), done=done.format(address)) and key == "release"
    return HttpResponseRedirect(_base(ctx) if gone else f"{_base(ctx)}/{id}")


urlpatterns = [
    path("/floating-ips", index, name="floating-ips"),
    path("/floating-ips.csv", export, name="floating-ips-csv"),
    path("/floating-ips/new", new, name="floating-ip-new"),
    path("/floating-ips/<uuid:id>", detail, name="floating-ip"),
    path("/floating-ips/<uuid:id>/associate", associate, name="floating-ip-associate"),
    path("/floating-ips/<uuid:id>/describe", describe, name="floating-ip-describe"),
    path("/floating-ips/<uuid:id>/do/<slug:key>", do, name="floating-ip-do"),
]
