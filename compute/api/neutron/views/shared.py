"""What the views of this dialect share: bodies of one and of many, ids, and what is refused everywhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from django.db import transaction
from django.http import HttpRequest, HttpResponse

from cloudbox.common.errors import Invalid, NotFound
from cloudbox.common.fields import Fields, body_of
from compute import reach
from compute.api.openstack import reading
from compute.api.openstack.service import Caller, answer
from identity.api.keystone.methods import id_of

Shape = dict[str, Any]


def create_all(request: HttpRequest, caller: Caller, one: str, many: str, make: Callable[[Caller, Fields], Shape]) -> HttpResponse:
    """One, or with the plural key several: all of them or none."""
    body = body_of(request)
    if many in body:
        with transaction.atomic():
            return answer({many: [make(caller, each) for each in body.objects(many)]}, status=201)
    return answer({one: make(caller, body.needed_object(one))}, status=201)


def is_up(asked: Fields) -> bool:
    return asked.flag("admin_state_up") is not False


def switch(asked: Fields) -> dict[str, bool]:
    """The change of `is_up` that is asked for, if one is."""
    wanted = asked.flag("admin_state_up")
    return {} if wanted is None else {"is_up": wanted}


def own_project(caller: Caller, asked: Fields) -> Caller:
    """Things are made in the token's project; an administrator may name another."""
    for name in ("project_id", "tenant_id"):
        text = asked.text(name)
        if text and (id := id_of(text)) != caller.ctx.project_id:
            ctx = reach.to_project(caller.ctx, id) if id else caller.ctx
            if ctx.project_id != id:
                raise NotFound(f"There is no project {text[:64]}.")
            caller = replace(caller, ctx=ctx)
    if (network := asked.uuid("network_id")) is not None:
        caller = owner(caller, str(network))
    return caller


def owner(caller: Caller, text: str) -> Caller:
    """Who calls, in the project of the thing that the address names, if they look after the box."""
    id = reading.id_of(text)
    return replace(caller, ctx=reach.to_owner(caller.ctx, id)) if id else caller


def optional(asked: Fields, name: str, *, length_max: int = 255) -> str | None:
    """Text, empty for null; None when it is not said."""
    return (asked.text(name, length_max=length_max) or "") if name in asked.values else None


def number(asked: Fields, name: str) -> int | None:
    value = asked.values.get(name)
    if value is None or value == "":
        return None
    text = str(value)
    if isinstance(value, bool) or not isinstance(value, int | str) or not text.lstrip("-").isdigit() or len(text) > 10:
        raise Invalid(f"{asked.at(name)} must be a number.", field=name)
    return int(text)
