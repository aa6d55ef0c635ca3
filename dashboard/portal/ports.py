"""Ports: list, reserve, one port with what may be changed while it runs; and the names of a network."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path
from django.views.decorators.http import require_POST, require_safe

from cloudbox.common.errors import Invalid
from compute import dns, networks, ports, security_groups
from compute.desired import domain_of
from dashboard import commands, downloads, lists
from dashboard.admin.tools import listing
from dashboard.forms.base import ChangeForm, Form
from dashboard.shell import attempt, page, portal_page
from identity import activity
from identity.context import Context

EVENTS = 8
_RATE = re.compile(r"[0-9]{1,6}(\.[0-9]{1,3})?")
_SECURITY = {"on": True, "off": False}


def _base(ctx: Context) -> str:
    return f"/p/{ctx.needed_project.slug}/ports"


def _wanted(request: HttpRequest, ctx: Context) -> tuple[str, Any]:
    q = request.GET.get("q", "").strip()[:100]
    return q, ports.list(ctx, q=q)


@require_safe
@portal_page
def index(request: HttpRequest, ctx: Context) -> HttpResponse:
    q, rows = _wanted(request, ctx)
    context = {"found": listing(request, rows, {"q": q}, labels={}), "q": q, "why": ctx.why_not("networks.manage")}
    return page(request, "portal/ports/list.html", context)


@require_safe
@portal_page
def export(request: HttpRequest, ctx: Context) -> HttpResponse:
    return downloads.csv(request, "ports", lists.PORTS, _wanted(request, ctx)[1])


@portal_page
def new(request: HttpRequest, ctx: Context) -> HttpResponse:
    offered = networks.list(ctx)
    first = offered.first()
    form = Form(request, network_id=str(first.id) if first else "", ip="", name="", dns_name="", mac="", description="")

    def act() -> Any:
        network_id = form.id_of("network_id")
        if network_id is None:
            raise Invalid("Choose the network.", field="network_id")
        return ports.reserve(
            ctx,
            network_id=network_id,
            ip=form.text("ip"),
            name=form.text("name"),
            dns_name=form.text("dns_name"),
            mac=form.text("mac"),
            description=form.text("description"),
        )

    if form.posted and form.run(act):
        return HttpResponseRedirect(f"{_base(ctx)}/{form.result.id}")
    command = commands.curl(request, ctx, "ports", {"network_id": form.text("network_id"), "name": form.text("name")})
    context = {"form": form, "networks": offered, "command": command, "why": ctx.why_not("networks.manage")}
    return page(request, "portal/ports/new.html", context, status=form.status)


@portal_page
def detail(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    """With a form that changes it; what is not sent stays."""
    port = ports.get(ctx, id)
    form = ChangeForm(
        request,
        name=port.name,
        description=port.description,
        dns_name=port.dns_name,
        rate_in=_megabits(port.rate_in_kbps),
        rate_out=_megabits(port.rate_out_kbps),
        pairs="\n".join(" ".join(filter(None, (pair["ip"], pair["mac"]))) for pair in port.allowed_pairs),
        security="on" if port.port_security else "off",
    )
    if form.posted and form.run(lambda: ports.update(ctx, id, **_changes(port, form))):
        attempt(request, lambda: None, done="Saved. It takes effect within a second.")
        return HttpResponseRedirect(f"{_base(ctx)}/{id}")
    context = {
        "port": port,
        "form": form,
        "groups": security_groups.list(ctx),
        "why": ctx.why_not("networks.manage"),
        "why_groups": ctx.why_not("security_groups.manage"),
        "why_unguard": ctx.why_not("ports.unguard"),
        "why_delete": ctx.why_not("networks.manage") or ports.why_not_delete(port),
        "events": activity.list(ctx, subject_id=id)[:EVENTS],
    }
    return page(request, "portal/ports/detail.html", context, status=form.status)


def _changes(port: Any, form: Form) -> dict[str, Any]:
    """Only what is other than it was: who may not switch port security may save the rest."""
    security = _SECURITY.get(form.text("security"))
    if security is None:
        raise Invalid("Port security is on or off.", field="security")
    wanted = {
        "name": form.text("name"),
        "description": form.text("description"),
        "dns_name": form.text("dns_name"),
        "rate_in_kbps": _kilobits(form, "rate_in"),
        "rate_out_kbps": _kilobits(form, "rate_out"),
        "allowed_pairs": _pairs(form),
        "port_security": security,
    }
    return {key: value for key, value in wanted.items() if getattr(port, key) != value}


def _megabits(kbps: int | None) -> str:
    return "" if kbps is None else f"{kbps / 1000:g}" if kbps < 10**8 else str(kbps // 1000)


def _kilobits(form: Form, name: str) -> int | None:
    text = form.text(name)
    if not text:
        return None
    if not _RATE.fullmatch(text):
        raise Invalid("Write megabits per second, like 100 or 0.5.", field=name)
    try:
        return ports.clean_rate(round(float(text) * 1000), name)
    except Invalid as error:
        low, high = ports.RATE_KBPS
        raise Invalid(f"A cap is {low / 1000:g} to {high // 1000} megabits per second.", field=name) from error


def _pairs(form: Form) -> Any:
    pairs = []
    for line in form.text("pairs").splitlines():
        words = line.split()
        if len(words) > 2:
            raise Invalid("One pair a line: an address or a range, and a MAC if it is not the card's own.", field="pairs")
        if words:
            pairs.append({"ip": words[0], "mac": words[1] if len(words) > 1 else ""})
    try:
        return ports.clean_pairs(pairs)
    except Invalid as error:
        raise Invalid(error.message, field="pairs") from error


@require_POST
@portal_page
def groups(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    """Put it into exactly the groups that are ticked."""
    ports.get(ctx, id)

    def act() -> Any:
        if "groups" not in request.POST:  # a body of another kind, or cut off: an empty list is not what was meant
            raise Invalid("The form came without its fields. Nothing was changed; send it again.")
        return security_groups.set_for_port(ctx, id, _ids(request.POST.getlist("group")))

    attempt(request, act, done="Saved. It takes effect within a second.")
    return HttpResponseRedirect(f"{_base(ctx)}/{id}")


def _ids(texts: list[str]) -> list[UUID]:
    try:
        return [UUID(text) for text in texts[: security_groups.GROUPS_PER_PORT_MAX + 1]]
    except ValueError as error:
        raise Invalid("Choose groups of the list.") from error


@require_POST
@portal_page
def delete(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    ip = ports.get(ctx, id).ip
    done = attempt(request, lambda: ports.delete(ctx, id), done=f"Deleted the port {ip}.")
    return HttpResponseRedirect(_base(ctx) if done else f"{_base(ctx)}/{id}")


@portal_page
def names(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    """What everything on a network is called; posted, it sets the domain."""
    network = networks.get(ctx, id)
    form = Form(request, dns_domain=network.dns_domain)
    if form.posted and form.run(lambda: dns.set_domain(ctx, id, form.text("dns_domain"))):
        attempt(request, lambda: None, done="Saved. DHCP tells it at the next lease.")
        return HttpResponseRedirect(f"/p/{ctx.needed_project.slug}/networks/{id}/names")
    why = ctx.why_not("networks.manage")
    context = {"network": network, "domain": domain_of(network), "records": dns.records(ctx, network), "form": form, "why": why}
    return page(request, "portal/ports/names.html", context, status=form.status)


urlpatterns = [
    path("/ports", index, name="ports"),
    path("/ports.csv", export, name="ports-csv"),
    path("/ports/new", new, name="port-new"),
    path("/ports/<uuid:id>", detail, name="port"),
    path("/ports/<uuid:id>/groups", groups, name="port-groups"),
    path("/ports/<uuid:id>/delete", delete, name="port-delete"),
    path("/networks/<uuid:id>/names", names, name="network-names"),
]
