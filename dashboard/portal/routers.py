"""Routers: what they join, where they lead, their static routes, and the ports that they forward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path
from django.views.decorators.http import require_POST, require_safe

from cloudbox.common.errors import Invalid
from compute import external_networks, floating_ips, networks, port_forwards, routers
from dashboard import commands, downloads, lists
from dashboard.forms.base import Form
from dashboard.shell import attempt, page, portal_page
from identity import quotas
from identity.context import Context


def _base(ctx: Context) -> str:
    return f"/p/{ctx.needed_project.slug}/routers"


@require_safe
@portal_page
def index(request: HttpRequest, ctx: Context) -> HttpResponse:
    q, found = _wanted(request, ctx)
    return page(request, "portal/routers/list.html", {"rows": found, "q": q, "why": ctx.why_not("networks.manage")})


def _wanted(request: HttpRequest, ctx: Context) -> tuple[str, QuerySet[Any]]:
    q, rows = request.GET.get("q", "").strip()[:100], routers.list(ctx)
    return q, rows.filter(Q(name__icontains=q) | Q(external_ip__startswith=q)) if q else rows


@require_safe
@portal_page
def export(request: HttpRequest, ctx: Context) -> HttpResponse:
    return downloads.csv(request, "routers", lists.ROUTERS, _wanted(request, ctx)[1])


@portal_page
def new(request: HttpRequest, ctx: Context) -> HttpResponse:
    offered = external_networks.list(ctx)
    form = Form(request, name="", description="", external_id=str(getattr(offered.first(), "id", "")), snat="on")

    def act() -> Any:
        external_id = form.id_of("external_id")
        return routers.create(
            ctx,
            name=form.text("name"),
            description=form.text("description"),
            external_id=external_id,
            is_isolated=external_id is None,
            snat=form.text("snat") == "on",
        )

    if form.posted and form.run(act):
        return HttpResponseRedirect(f"{_base(ctx)}/{form.result.id}")
    context = {
        "form": form,
        "offered": offered,
        "lines": [line for line in quotas.of(ctx.needed_project) if line.resource == "routers"],
        "command": commands.curl(request, ctx, "routers", {"name": form.text("name")}),
        "why": ctx.why_not("networks.manage"),
    }
    return page(request, "portal/routers/new.html", context, status=form.status)


@require_safe
@portal_page
def detail(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    return _detail(request, ctx, id)


def _detail(request: HttpRequest, ctx: Context, id: UUID, *, form: Form | None = None, opened: str = "") -> HttpResponse:
    """The page; `form` is one that was refused, in the dialog `opened`."""
    row, why = routers.get(ctx, id), ctx.why_not("networks.manage")
    joined = list(row.networks.all())
    context = {
        "router": row,
        "joined": [(network, why or routers.why_not_detach(row, network)) for network in joined],
        "others": [(network, routers.why_not_attach(row, network)) for network in networks.list(ctx) if network.router_id != row.id],
        "offered": external_networks.list(ctx),
        "forwards": port_forwards.list(ctx, router_id=id),
        "cards": [port for port in floating_ips.ports(ctx) if port.network.router_id == row.id],
        "shared": floating_ips.list(ctx).filter(external=row.external_id, port=None) if row.external_id else [],
        "why": why,
        "why_forward": why or ("" if row.external_id else f"{row.name} leads nowhere outside, so it has no address to share."),
        "why_delete": why or routers.why_not_delete(row),
        "opened": opened,
        "attach": form if opened == "attach" else Form(request, network_id=""),
        "gateway": form if opened == "gateway" else Form(request, external_id=str(row.external_id or ""), snat="on" if row.snat else ""),
        "routes": form if opened == "routes" else Form(request, routes=_told(row.static_routes)),
        "rename": (form if form and opened == "rename" else Form(request, name=row.name, description=row.description)).apart("rename"),
        "forward": form if opened == "forward" else _forward_form(request),
    }
    return page(request, "portal/routers/detail.html", context, status=form.status if form else 200)


def _told(rows: list[dict[str, str]]) -> str:  # type: ignore[valid-type]
    return "\n".join(f"{each['destination']} via {each['next_hop']}" for each in rows)


def read_routes(text: str, field: str) -> list[dict[str, str]]:  # type: ignore[valid-type]
    """Lines of "10.99.0.0/24 via 10.20.0.7"."""
    found = []
    for line in filter(None, map(str.strip, text.splitlines())):
        destination, via, hop = line.partition(" via ")
        if not via:
            raise Invalid(f"{line[:60]!r} is not a route. Write one on each line, like 10.99.0.0/24 via 10.20.0.7.", field=field)
        found.append({"destination": destination.strip(), "next_hop": hop.strip()})
    return found


def _forward_form(request: HttpRequest) -> Form:
    return Form(request, floating_ip_id="", protocol="tcp", external_port="", port_id="", internal_port="", description="")


def _needed(value: Any, sentence: str, field: str) -> Any:
    if value is None:
        raise Invalid(sentence, field=field)
    return value


@require_POST
@portal_page
def attach(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    form = Form(request, network_id="")
    act = lambda: routers.attach(ctx, id, _needed(form.id_of("network_id"), "Choose the network.", "network_id"))  # noqa: E731
    return _submitted(request, ctx, id, form, act, "attach")


@require_POST
@portal_page
def gateway(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    form = Form(request, external_id="", snat="")
    act = lambda: routers.set_gateway(ctx, id, external_id=form.id_of("external_id"), snat=form.text("snat") == "on")  # noqa: E731
    return _submitted(request, ctx, id, form, act, "gateway")


@require_POST
@portal_page
def routes(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    form = Form(request, routes="")
    return _submitted(request, ctx, id, form, lambda: routers.set_routes(ctx, id, read_routes(form.text("routes"), "routes")), "routes")


@require_POST
@portal_page
def rename(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    form = Form(request, name="", description="")
    act = lambda: routers.update(ctx, id, {"name": form.text("name"), "description": form.text("description")})  # noqa: E731
    return _submitted(request, ctx, id, form, act, "rename")


@require_POST
@portal_page
def forward(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    form = _forward_form(request)

    def act() -> Any:
        return port_forwards.create(
            ctx,
            router_id=id,
            floating_ip_id=form.id_of("floating_ip_id"),
            protocol=form.text("protocol"),
            external_port=_needed(form.number("external_port"), "Which port is to be reached from outside?", "external_port"),
            port_id=_needed(form.id_of("port_id"), "Choose the network card.", "port_id"),
            internal_port=form.number("internal_port"),
            description=form.text("description"),
        )

    return _submitted(request, ctx, id, form, act, "forward")


def _submitted(request: HttpRequest, ctx: Context, id: UUID, form: Form, act: Callable[[], Any], dialog: str) -> HttpResponse:
    routers.get(ctx, id)
    if form.run(act):
        return HttpResponseRedirect(f"{_base(ctx)}/{id}")
    return _detail(request, ctx, id, form=form, opened=dialog)


@require_POST
@portal_page
def remove_network(request: HttpRequest, ctx: Context, id: UUID, network_id: UUID) -> HttpResponse:
    routers.get(ctx, id)
    attempt(request, lambda: routers.detach(ctx, id, network_id), done="The network is off the router.")
    return HttpResponseRedirect(f"{_base(ctx)}/{id}")


@require_POST
@portal_page
def remove_forward(request: HttpRequest, ctx: Context, id: UUID, forward_id: UUID) -> HttpResponse:
    routers.get(ctx, id)
    attempt(request, lambda: port_forwards.delete(ctx, forward_id), done="The port is forwarded no more.")
    return HttpResponseRedirect(f"{_base(ctx)}/{id}")


@require_POST
@portal_page
def delete(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    name = routers.get(ctx, id).name
    done = attempt(request, lambda: routers.delete(ctx, id), done=f"Deleted {name}.")
    return HttpResponseRedirect(_base(ctx) if done else f"{_base(ctx)}/{id}")


urlpatterns = [
    path("/routers", index, name="routers"),
    path("/routers.csv", export, name="routers-csv"),
    path("/routers/new", new, name="router-new"),
    path("/routers/<uuid:id>", detail, name="router"),
    path("/routers/<uuid:id>/attach", attach, name="router-attach"),
    path("/routers/<uuid:id>/gateway", gateway, name="router-gateway"),
    path("/routers/<uuid:id>/routes", routes, name="router-routes"),
    path("/routers/<uuid:id>/rename", rename, name="router-rename"),
    path("/routers/<uuid:id>/forward", forward, name="router-forward"),
    path("/routers/<uuid:id>/networks/<uuid:network_id>/remove", remove_network, name="router-network-remove"),
    path("/routers/<uuid:id>/port-forwards/<uuid:forward_id>/remove", remove_forward, name="router-forward-remove"),
    path("/routers/<uuid:id>/delete", delete, name="router-delete"),
]
