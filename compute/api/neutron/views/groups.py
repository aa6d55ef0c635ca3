"""Security groups and their rules, quotas, and zones."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction
from django.http import HttpRequest, HttpResponse

from cloudbox.common.errors import Invalid, NotFound, NotSupported
from cloudbox.common.fields import Fields, body_of
from compute import security_groups as verbs
from compute.api.neutron import lists, render
from compute.api.neutron.errors import neutron
from compute.api.neutron.views.shared import Shape, create_all, number, optional, own_project, owner
from compute.api.openstack import reading
from compute.api.openstack.service import Caller, answer, nothing
from compute.models import SecurityGroup, SecurityGroupRule
from compute.rule_fields import PORT_MAX
from identity import quotas
from identity.api.keystone.methods import id_of
from identity.models import Project
from identity.quotas import RESOURCES


def _list(request: HttpRequest, caller: Caller) -> HttpResponse:
    shapes = [render.security_group(row) for row in verbs.list(caller.ctx)]
    return lists.listing(request, "security_groups", "security-groups", shapes)


def _find(caller: Caller, id: str) -> SecurityGroup:
    return verbs.get(caller.ctx, reading.need_id(id, "security group"))


def _show(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    caller = owner(caller, id)
    return answer({"security_group": lists.narrowed(request, render.security_group(_find(caller, id)))})


def _make(caller: Caller, asked: Fields) -> Shape:
    """With a rule for each family, as Neutron's groups begin."""
    caller = own_project(caller, asked)
    if asked.flag("stateful") is False:
        raise NotSupported("Security groups keep track of connections here.")
    with transaction.atomic():
        name, description = asked.needed_text("name", length_max=255), asked.text("description", length_max=255) or ""
        row = verbs.create(caller.ctx, name=name, description=description)
        for both in row.rules.all():
            verbs.remove_rule(caller.ctx, row.id, both.id)
        for family in ("IPv4", "IPv6"):
            verbs.add_rule(caller.ctx, row.id, direction="egress", ethertype=family)
    return render.security_group(verbs.get(caller.ctx, row.id))


def _create(request: HttpRequest, caller: Caller) -> HttpResponse:
    return create_all(request, caller, "security_group", "security_groups", _make)


def _update(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    caller = owner(caller, id)
    row = _find(caller, id)
    asked = body_of(request).needed_object("security_group")
    if asked.flag("stateful") is False:
        raise NotSupported("Security groups keep track of connections here.")
    verbs.update(caller.ctx, row.id, name=optional(asked, "name"), description=optional(asked, "description"))
    return answer({"security_group": render.security_group(verbs.get(caller.ctx, row.id))})


def _delete(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    caller = owner(caller, id)
    verbs.delete(caller.ctx, _find(caller, id).id)
    return nothing()


def _rules(request: HttpRequest, caller: Caller) -> HttpResponse:
    shapes = [render.rule(rule, group.project_id) for group in verbs.list(caller.ctx) for rule in group.rules.all()]
    return lists.listing(request, "security_group_rules", "security-group-rules", shapes)


def _rule(caller: Caller, id: str) -> tuple[SecurityGroup, SecurityGroupRule]:
    wanted = reading.need_id(id, "rule")
    group = verbs.list(caller.ctx).filter(rules__id=wanted).first()
    if group is None:
        raise NotFound(f"There is no security group rule {id}.")
    return group, next(rule for rule in group.rules.all() if rule.id == wanted)


def _show_rule(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    caller = owner(caller, id)
    group, rule = _rule(caller, id)
    return answer({"security_group_rule": lists.narrowed(request, render.rule(rule, group.project_id))})


def _make_rule(caller: Caller, asked: Fields) -> Shape:
    caller = own_project(caller, asked)
    group = asked.uuid("security_group_id")
    if group is None:
        raise Invalid("security_group_rule.security_group_id is missing.", field="security_group_id")
    _check_ports(asked)
    protocol = asked.values.get("protocol")
    if protocol is not None and (isinstance(protocol, bool) or not isinstance(protocol, str | int)):
        raise Invalid("protocol is a name or a number.", field="protocol")
    ethertype = asked.text("ethertype") or "IPv4"
    if ethertype.lower() not in ("ipv4", "ipv6"):
        raise Invalid("ethertype is IPv4 or IPv6.", field="ethertype")
    found = verbs.get(caller.ctx, group)
    rule = verbs.add_rule(
        caller.ctx,
        found.id,
        direction=asked.needed_text("direction", length_max=16),
        ethertype="IPv4" if ethertype.lower() == "ipv4" else "IPv6",
        protocol="" if protocol is None else str(protocol)[:32],
        port_min=number(asked, "port_range_min"),
        port_max=number(asked, "port_range_max"),
        remote_cidr=asked.text("remote_ip_prefix", length_max=64) or "",
        remote_group_id=_remote_group(asked),
        remote_address_group_id=asked.uuid("remote_address_group_id"),
        description=asked.text("description", length_max=255) or "",
        protocol_by_number=str(protocol).isdigit(),
    )
    return render.rule(rule, found.project_id)


def _remote_group(asked: Fields) -> UUID | None:
    text = asked.text("remote_group_id")
    return reading.need_id(text, "security group") if text else None


def _check_ports(asked: Fields) -> None:
    """In Neutron's own sentences, which clients look for; the verb has the rest."""
    low, high = number(asked, "port_range_min"), number(asked, "port_range_max")
    if str(asked.values.get("protocol")).lower() in ("icmp", "1", "icmpv6", "ipv6-icmp", "58"):
        for value, what in ((low, "ICMP type"), (high, "ICMP code")):
            if value is not None and not 0 <= value <= 255:
                raise Invalid(f"Invalid value for {what} {value}: it is 0 to 255.", field="port_range_min")
        if low is None and high is not None:
            raise Invalid("ICMP code (port-range-max) is there, but ICMP type (port-range-min) is missing.", field="port_range_min")
        return
    for value in (low, high):
        if value is not None and not 0 <= value <= PORT_MAX:
            raise Invalid(f"Invalid value for port {value}: it is 0 to {PORT_MAX}.", field="port_range_min")
    if high is not None and (low is None or low > high):
        raise Invalid("For TCP/UDP protocols, port_range_min must be <= port_range_max", field="port_range_min")


def _create_rule(request: HttpRequest, caller: Caller) -> HttpResponse:
    return create_all(request, caller, "security_group_rule", "security_group_rules", _make_rule)


def _delete_rule(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    caller = owner(caller, id)
    group, rule = _rule(caller, id)
    verbs.remove_rule(caller.ctx, group.id, rule.id)
    return nothing()


# --- quotas

UNLIMITED = -1
_COUNTED = {
    "network": "networks", "subnet": "networks", "port": "ports", "router": "routers", "floatingip": "floating_ips",
    "security_group": "security_groups",
}  # fmt: skip
_FIXED = {"security_group_rule": UNLIMITED, "subnetpool": 0, "rbac_policy": 0}


def _project(caller: Caller, text: str) -> Project:
    id: UUID | None = id_of(text)
    if id == caller.ctx.project_id:
        return caller.ctx.needed_project
    caller.ctx.require("projects.list_all")
    found = Project.objects.filter(id=id).first() if id else None
    if found is None:
        raise NotFound(f"There is no project {text[:64]}.")
    return found


def _lines(project: Project | None) -> dict[str, dict[str, int]]:
    lines = {line.resource: line for line in quotas.of(project)} if project else {}
    found = {}
    for name, ours in _COUNTED.items():
        line = lines.get(ours)
        limit = RESOURCES[ours].default if line is None else line.limit
        found[name] = {"limit": UNLIMITED if limit is None else limit, "used": line.used if line else 0, "reserved": 0}
    return found | {name: {"limit": limit, "used": 0, "reserved": 0} for name, limit in _FIXED.items()}


def _quota(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    caller.ctx.require("quotas.list")
    return answer({"quota": {name: row["limit"] for name, row in _lines(_project(caller, id)).items()}})


def _details(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    caller.ctx.require("quotas.list")
    return answer({"quota": _lines(_project(caller, id))})


def _defaults(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    return answer({"quota": {name: row["limit"] for name, row in _lines(None).items()}})


def _set_quota(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    caller.ctx.require("quotas.set")
    project, asked = _project(caller, id), body_of(request).needed_object("quota")
    limits: dict[str, int | None] = {}
    for name in asked.values:
        if name in ("tenant_id", "project_id"):
            continue
        if name not in _COUNTED:
            raise Invalid(f"There is no quota {name[:64]} to change.", field=name)
        limit = number(asked, name)
        limits[_COUNTED[name]] = None if limit in (None, UNLIMITED) else limit
    quotas.set_limits(caller.ctx, project, limits)
    return _quota(request, caller, id)


def _zones(request: HttpRequest, caller: Caller) -> HttpResponse:
    rows = [{"id": kind, "name": render.ZONE, "resource": kind, "state": "available"} for kind in ("network", "router")]
    return lists.listing(request, "availability_zones", "availability_zones", rows)


security_groups = neutron.view(GET=_list, POST=_create)
security_group = neutron.view(GET=_show, PUT=_update, DELETE=_delete)
rules = neutron.view(GET=_rules, POST=_create_rule)
rule = neutron.view(GET=_show_rule, DELETE=_delete_rule)
quota = neutron.view(GET=_quota, PUT=_set_quota)
quota_details = neutron.view(GET=_details)
quota_defaults = neutron.view(GET=_defaults)
zones = neutron.view(GET=_zones)
