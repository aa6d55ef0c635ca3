"""Security groups: what may pass. Rules are added on the page of the group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path
from django.views.decorators.http import require_POST, require_safe

from cloudbox.common.errors import Invalid
from compute import address_groups, security_groups
from dashboard import commands
from dashboard.forms.base import ChangeForm, Form
from dashboard.shell import attempt, page, portal_page
from identity.context import Context

# What people open most; the page offers them as one press. title, protocol, port
COMMON = (("SSH", "tcp", "22"), ("HTTP", "tcp", "80"), ("HTTPS", "tcp", "443"), ("Ping", "icmp", ""))

RULE = {
    "direction": "ingress", "protocol": "tcp", "other_protocol": "", "ethertype": "", "port_min": "", "port_max": "", "icmp_type": "",
    "icmp_code": "", "remote": "any", "remote_cidr": "", "remote_group_id": "", "remote_address_group_id": "", "description": "",
}  # fmt: skip
PROTOCOLS = (
    ("tcp", "TCP"), ("udp", "UDP"), ("icmp", "ICMP"), ("icmpv6", "ICMPv6"), ("sctp", "SCTP"), ("any", "Any"), ("other", "Another"),
)  # fmt: skip
# Whoever ticks none of these means both; where the protocol or the range says it already, nobody is asked.
FAMILIES = (("", "IPv4 and IPv6"), ("IPv4", "IPv4"), ("IPv6", "IPv6"))
PORTED = ("tcp", "udp", "sctp", "other")
ICMP = ("icmp", "icmpv6")


def _base(ctx: Context) -> str:
    return f"/p/{ctx.needed_project.slug}/security-groups"


@require_safe
@portal_page
def index(request: HttpRequest, ctx: Context) -> HttpResponse:
    q = request.GET.get("q", "").strip()[:100]
    rows = security_groups.list(ctx)
    found = rows.filter(Q(name__icontains=q) | Q(description__icontains=q)) if q else rows
    only_default = not q and len(found) == 1
    context = {"rows": found, "q": q, "only_default": only_default, "why": ctx.why_not("security_groups.manage")}
    return page(request, "portal/security_groups/list.html", context)


@portal_page
def new(request: HttpRequest, ctx: Context) -> HttpResponse:
    form = Form(request, name="", description="")
    if form.posted and form.run(lambda: security_groups.create(ctx, name=form.text("name"), description=form.text("description"))):
        return HttpResponseRedirect(f"{_base(ctx)}/{form.result.id}")
    command = commands.curl(request, ctx, "security-groups", {"name": form.text("name")})
    context = {"form": form, "command": command, "why": ctx.why_not("security_groups.manage")}
    return page(request, "portal/security_groups/new.html", context, status=form.status)


@dataclass(frozen=True)
class Line:
    """A rule as a row of a table."""

    rule: Any
    what: str
    whom: str
    sentence: str


def _line(rule: Any) -> Line:
    sentence = security_groups.sentence(rule)
    what, whom = sentence.split(" in from " if rule.direction == "ingress" else " out to ", 1)
    return Line(rule, what, whom, sentence)


@portal_page
def detail(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    """Posted, it adds a rule."""
    form = Form(request, **RULE)
    if form.posted and form.run(lambda: _add(ctx, id, form)):
        attempt(request, lambda: None, done="Rule added. It takes effect within a second.")
        return HttpResponseRedirect(f"{_base(ctx)}/{id}")
    group = security_groups.get(ctx, id)
    lines = [_line(rule) for rule in group.rules.all()]
    context = {
        "group": group,
        "form": form,
        "incoming": [line for line in lines if line.rule.direction == "ingress"],
        "outgoing": [line for line in lines if line.rule.direction == "egress"],
        "groups": security_groups.list(ctx),
        "address_groups": address_groups.list(ctx),
        "families": FAMILIES,
        "ported": " ".join(PORTED),
        "icmp": " ".join(ICMP),
        "common": COMMON,
        "protocols": PROTOCOLS,
        "why": ctx.why_not("security_groups.manage"),
    }
    return page(request, "portal/security_groups/detail.html", context, status=form.status)


def _add(ctx: Context, id: UUID, form: Form) -> Any:
    remote = form.text("remote")
    chosen = form.text("protocol")
    protocol = {"any": "", "other": form.text("other_protocol")}.get(chosen, chosen)
    if chosen == "other" and not protocol:
        raise Invalid("Which protocol? A name, or its number.", field="other_protocol")
    low, high = ("port_min", "port_max") if chosen in PORTED else ("icmp_type", "icmp_code") if chosen in ICMP else ("", "")
    return security_groups.add_rule(
        ctx,
        id,
        direction=form.text("direction"),
        protocol=protocol,
        ethertype=form.text("ethertype")
        if chosen not in ICMP and remote != "cidr"
        else "IPv4"
        if chosen == "icmp" and remote != "cidr"
        else "",
        port_min=form.number(low) if low else None,
        port_max=form.number(high) if high else None,
        remote_cidr=form.text("remote_cidr") if remote == "cidr" else "",
        remote_group_id=form.id_of("remote_group_id") if remote == "group" else None,
        remote_address_group_id=form.id_of("remote_address_group_id") if remote == "addresses" else None,
        description=form.text("description"),
    )


@portal_page
def edit(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    """Name and description."""
    group = security_groups.get(ctx, id)
    form = ChangeForm(request, name=group.name, description=group.description)
    if form.posted and form.run(lambda: security_groups.update(ctx, id, name=form.text("name"), description=form.text("description"))):
        return HttpResponseRedirect(f"{_base(ctx)}/{id}")
    context = {"group": group, "form": form, "why": ctx.why_not("security_groups.manage")}
    return page(request, "portal/security_groups/edit.html", context, status=form.status)


@require_POST
@portal_page
def remove_rule(request: HttpRequest, ctx: Context, id: UUID, rule_id: UUID) -> HttpResponse:
    done = "Rule removed. It takes effect within a second."
    attempt(request, lambda: security_groups.remove_rule(ctx, id, rule_id), done=done)
    return HttpResponseRedirect(f"{_base(ctx)}/{id}")


@require_POST
@portal_page
def delete(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    name = security_groups.get(ctx, id).name
    done = attempt(request, lambda: security_groups.delete(ctx, id), done=f"Deleted {name}.")
    return HttpResponseRedirect(_base(ctx) if done else f"{_base(ctx)}/{id}")


urlpatterns = [
    path("/security-groups", index, name="security-groups"),
    path("/security-groups/new", new, name="security-group-new"),
    path("/security-groups/<uuid:id>", detail, name="security-group"),
    path("/security-groups/<uuid:id>/settings", edit, name="security-group-settings"),
    path("/security-groups/<uuid:id>/rules/<uuid:rule_id>/remove", remove_rule, name="security-group-rule-remove"),
    path("/security-groups/<uuid:id>/delete", delete, name="security-group-delete"),
]
