"""Address groups: ranges with a name, which rules of security groups speak of."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Count, QuerySet

from cloudbox.common import events, jobs
from cloudbox.common.errors import AlreadyExists, Conflict, Invalid, NotFound
from compute.models import AddressGroup, SecurityGroupRule
from identity.context import Context
from identity.names import clean_name, clean_text

GROUPS_MAX = 50
CIDRS_MAX = 500


def list(ctx: Context) -> QuerySet[AddressGroup]:
    ctx.require("security_groups.list")
    return AddressGroup.objects.filter(project=ctx.project).annotate(rule_count=Count("rules", distinct=True)).order_by("name")


def get(ctx: Context, id: UUID) -> AddressGroup:
    group = list(ctx).filter(id=id).first()
    if group is None:
        raise NotFound(f"There is no address group {id}.", field="remote_address_group_id")
    return group


def create(ctx: Context, *, name: str, cidrs: Sequence[str], description: str = "") -> AddressGroup:
    ctx.require("security_groups.manage")
    name = clean_name(name)
    if list(ctx).count() >= GROUPS_MAX:
        raise Conflict(f"The project has {GROUPS_MAX} address groups, the most that it may have.")
    try:
        with transaction.atomic():
            group = AddressGroup.objects.create(
                project=ctx.needed_project, name=name, description=clean_text(description, field="description"), cidrs=clean(cidrs)
            )
            events.publish(ctx.actor, "create", "address-group", group, detail=f"{len(group.cidrs)} ranges")
    except IntegrityError as error:
        raise AlreadyExists(f"There is an address group {name} in this project.", field="name") from error
    return group


def clean(cidrs: Sequence[str]) -> Sequence[str]:
    """Each as the range that it is, without doubles, in order."""
    found = set()
    for text in cidrs:
        try:
            found.add(ipaddress.ip_network(text.strip(), strict=False))
        except ValueError as error:
            raise Invalid(f"{text[:40]!r} is not an address or a range. Write it like 203.0.113.0/24.", field="cidrs") from error
    if len(found) > CIDRS_MAX:
        raise Invalid(f"An address group has at most {CIDRS_MAX} ranges.", field="cidrs")
    return [str(each) for each in sorted(found, key=lambda each: (each.version, each.network_address.packed, each.prefixlen))]


def update(
    ctx: Context, id: UUID, *, name: str | None = None, description: str | None = None, cidrs: Sequence[str] | None = None
) -> AddressGroup:
    """Change it; its rules follow within a second."""
    ctx.require("security_groups.manage")
    group = get(ctx, id)
    if name is not None:
        group.name = clean_name(name)
    if description is not None:
        group.description = clean_text(description, field="description")
    if cidrs is not None:
        group.cidrs = [*clean(cidrs)]
    try:
        with transaction.atomic():
            group.save(update_fields=["name", "description", "cidrs"])
            events.publish(ctx.actor, "update", "address-group", group, detail=f"{len(group.cidrs)} ranges")
            jobs.wake("networks")
    except IntegrityError as error:
        raise AlreadyExists(f"There is an address group {name} in this project.", field="name") from error
    return group


def delete(ctx: Context, id: UUID) -> None:
    """Only when no rule names it."""
    ctx.require("security_groups.manage")
    with transaction.atomic():
        group = get(ctx, id)
        rule = SecurityGroupRule.objects.filter(remote_address_group=group).select_related("group").first()
        if rule is not None:
            raise Conflict(f"A rule of the security group {rule.group.name} names {group.name}. Remove that rule first.")
        events.publish(ctx.actor, "delete", "address-group", group)
        group.delete()
