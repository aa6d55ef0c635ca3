"""Private networks and the ports on them."""

from __future__ import annotations

import ipaddress
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path
from django.views.decorators.http import require_POST, require_safe

from compute import addresses, networks, ports, routers
from dashboard import commands, downloads, lists
from dashboard.forms.base import Form
from dashboard.portal.routers import read_routes
from dashboard.shell import attempt, page, portal_page
from identity.context import Context

MTU_DEFAULT = 1500
# The fewest words that tell them apart; what comes of each is told below the choice.
IPV6_MODES = (("", "None"), *networks.IPV6_MODES.items())


def _base(ctx: Context) -> str:
    return f"/p/{ctx.needed_project.slug}/networks"


@require_safe
@portal_page
def index(request: HttpRequest, ctx: Context) -> HttpResponse:
    q, found = _wanted(request, ctx)
    return page(request, "portal/networks/list.html", {"rows": found, "q": q, "why": ctx.why_not("networks.manage")})


def _wanted(request: HttpRequest, ctx: Context) -> tuple[str, QuerySet[Any]]:
    q, rows = request.GET.get("q", "").strip()[:100], networks.list(ctx)
    return q, rows.filter(Q(name__icontains=q) | Q(cidr__startswith=q)) if q else rows


@require_safe
@portal_page
def export(request: HttpRequest, ctx: Context) -> HttpResponse:
    return downloads.csv(request, "networks", lists.NETWORKS, _wanted(request, ctx)[1])


@portal_page
def new(request: HttpRequest, ctx: Context) -> HttpResponse:
    form = Form(
        request, name="", cidr="", nat="on", router_id="", dhcp="on", gateway_ip="", dns_servers="", mtu="1500", ipv6_mode="", ipv6_cidr=""
    )

    def act() -> Any:
        return networks.create(
            ctx,
            name=form.text("name"),
            cidr=form.text("cidr"),
            nat=form.text("nat") == "on",
            router_id=form.id_of("router_id"),
            dhcp=form.text("dhcp") == "on",
            gateway_ip=form.text("gateway_ip"),
            dns_servers=form.text("dns_servers").replace(",", " ").split(),
            mtu=form.number("mtu") or MTU_DEFAULT,
            ipv6_mode=form.text("ipv6_mode"),
            ipv6_cidr=form.text("ipv6_cidr"),
        )

    if form.posted and form.run(act):
        return HttpResponseRedirect(f"{_base(ctx)}/{form.result.id}")
    command = commands.curl(request, ctx, "networks", {"name": form.text("name"), "nat": form.text("nat") == "on"})
    context = {"form": form, "command": command, "routers": routers.list(ctx), "modes": IPV6_MODES, "why": ctx.why_not("networks.manage")}
    return page(request, "portal/networks/new.html", context, status=form.status)


@portal_page
def detail(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    """With a form that changes it."""
    network = networks.get(ctx, id)
    form = Form(
        request,
        name=network.name,
        dhcp="on" if network.dhcp else "",
        pool_first=network.pool_first or "",
        pool_last=network.pool_last or "",
        dns_servers=" ".join(network.dns_servers),
        host_routes="\n".join(f"{each['destination']} via {each['next_hop']}" for each in network.host_routes),
        mtu=str(network.mtu),
        ipv6_mode=network.ipv6_mode,
        ipv6_cidr=network.ipv6_cidr,
    )
    if form.posted and form.run(lambda: networks.update(ctx, id, _changes(form))):
        return HttpResponseRedirect(f"{_base(ctx)}/{id}")
    found = ports.list(ctx, network_id=id)
    size = ipaddress.IPv4Network(network.cidr).num_addresses
    why = ctx.why_not("networks.manage")
    context = {"network": network, "form": form, "ports": found, "free": max(0, size - 12 - len(found)), "modes": IPV6_MODES, "why": why}
    context["pool"] = addresses.pool_of(network)
    if found and not why:
        cards = "1 network card is" if len(found) == 1 else f"{len(found)} network cards are"
        context["why_delete"] = f"{cards} on {network.name}. Delete the instances first."
    return page(request, "portal/networks/detail.html", context, status=form.status)


def _changes(form: Form) -> dict[str, Any]:
    return {
        "name": form.text("name"),
        "dhcp": form.text("dhcp") == "on",
        "pool_first": form.text("pool_first"),
        "pool_last": form.text("pool_last"),
        "dns_servers": form.text("dns_servers").replace(",", " ").split(),
        "host_routes": read_routes(form.text("host_routes"), "host_routes"),
        "mtu": form.number("mtu") or MTU_DEFAULT,
        "ipv6_mode": form.text("ipv6_mode"),
        # Without a mode the range says nothing: the form keeps it for who switches IPv6 on again.
        "ipv6_cidr": form.text("ipv6_cidr") if form.text("ipv6_mode") else "",
    }


@require_POST
@portal_page
def delete(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    name = networks.get(ctx, id).name
    done = attempt(request, lambda: networks.delete(ctx, id), done=f"Deleted {name}.")
    return HttpResponseRedirect(_base(ctx) if done else f"{_base(ctx)}/{id}")


urlpatterns = [
    path("/networks", index, name="networks"),
    path("/networks.csv", export, name="networks-csv"),
    path("/networks/new", new, name="network-new"),
    path("/networks/<uuid:id>", detail, name="network"),
    path("/networks/<uuid:id>/delete", delete, name="network-delete"),
]
