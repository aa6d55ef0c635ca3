"""Security groups as Nova had them until microversion 2.35; Neutron's API has all of them."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse

from cloudbox.common.errors import Conflict, Invalid, NotFound
from cloudbox.common.fields import body_of
from compute import rule_fields
from compute import security_groups as verbs
from compute.api.nova.errors import nova
from compute.api.openstack import reading
from compute.api.openstack.service import Caller, answer, nothing
from compute.models import SecurityGroup, SecurityGroupRule

Shape = dict[str, Any]


def _rule(row: SecurityGroupRule) -> Shape:
    group = {"name": row.remote_group.name, "tenant_id": row.group.project_id.hex} if row.remote_group else {}
    return {
        "id": str(row.id),
        "parent_group_id": str(row.group_id),
        "ip_protocol": row.protocol or None,
        "from_port": row.port_min,
        "to_port": row.port_max,
        "group": group,
        "ip_range": {} if row.remote_group_id else {"cidr": row.remote_cidr or "0.0.0.0/0"},
    }


def shape(row: SecurityGroup) -> Shape:
    rules = [_rule(each) for each in row.rules.all() if each.direction == "ingress"]
    return {"id": str(row.id), "name": row.name, "description": row.description, "tenant_id": row.project_id.hex, "rules": rules}


def _find(caller: Caller, id: str) -> SecurityGroup:
    caller.until(35)
    return verbs.get(caller.ctx, reading.need_id(id, "security group"))


def _list(request: HttpRequest, caller: Caller) -> HttpResponse:
    caller.until(35)
    found, _ = reading.page(request, verbs.list(caller.ctx), limit_max=1000)
    return answer({"security_groups": [shape(row) for row in found]})


def _create(request: HttpRequest, caller: Caller) -> HttpResponse:
    caller.until(35)
    asked = body_of(request).needed_object("security_group")
    name = asked.needed_text("name", length_max=255)
    row = verbs.create(caller.ctx, name=name, description=asked.text("description", length_max=255) or "", keep_blanks=True)
    return answer({"security_group": shape(verbs.get(caller.ctx, row.id))})


def _show(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    return answer({"security_group": shape(_find(caller, id))})


def _update(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    row = _find(caller, id)
    asked = body_of(request).needed_object("security_group")
    verbs.update(caller.ctx, row.id, name=asked.needed_text("name", length_max=255), description=asked.text("description", length_max=255))
    return answer({"security_group": shape(verbs.get(caller.ctx, row.id))})


def _delete(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    row = _find(caller, id)
    caller.ctx.require("security_groups.manage")
    if row.is_default:
        raise Invalid("The default group stays: servers without another group are in it.")
    try:
        verbs.delete(caller.ctx, row.id)
    except Conflict as error:
        # Nova's own status for a group that is in use.
        raise Invalid(error.message) from error
    return nothing(202)


def _add_rule(request: HttpRequest, caller: Caller) -> HttpResponse:
    caller.until(35)
    asked = body_of(request).needed_object("security_group_rule")
    parent = asked.uuid("parent_group_id")
    if parent is None:
        raise Invalid("parent_group_id is missing.", field="parent_group_id")
    low, high = (_port(asked.values.get(name), name) for name in ("from_port", "to_port"))
    row = verbs.add_rule(
        caller.ctx,
        verbs.get(caller.ctx, parent).id,
        direction="ingress",
        protocol=asked.text("ip_protocol") or "",
        port_min=low,
        port_max=high,
        remote_cidr="" if asked.uuid("group_id") else asked.text("cidr") or "0.0.0.0/0",
        remote_group_id=asked.uuid("group_id"),
    )
    return answer({"security_group_rule": _rule(row)})


def _port(value: Any, name: str) -> int | None:
    text = str(value)
    if value is None or text == "-1":
        return None
    if isinstance(value, bool) or not (text.isascii() and text.isdigit()) or int(text[:6]) > rule_fields.PORT_MAX:
        raise Invalid(f"{name} is a number from -1 to {rule_fields.PORT_MAX}.", field=name)
    return int(text)


def _remove_rule(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    caller.until(35)
    wanted = reading.need_id(id, "rule")
    group = verbs.list(caller.ctx).filter(rules__id=wanted).first()
    if group is None:
        raise NotFound(f"There is no rule {id}.")
    verbs.remove_rule(caller.ctx, group.id, wanted)
    return nothing(202)


security_groups = nova.view(GET=_list, POST=_create)
security_group = nova.view(GET=_show, PUT=_update, DELETE=_delete)
rules = nova.view(POST=_add_rule)
rule = nova.view(DELETE=_remove_rule)
