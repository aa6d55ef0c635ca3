"""Security groups: what may pass a port. Without a rule nothing does."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Count, QuerySet

from cloudbox.common import events, jobs
from cloudbox.common.errors import AlreadyExists, Conflict, Invalid, NotFound
from compute import address_groups, rule_fields
from compute.models import Port, SecurityGroup, SecurityGroupRule
from compute.rule_fields import sentence as sentence
from identity import quotas
from identity.context import Context
from identity.models import Project
from identity.names import clean_name, clean_text

RULES_MAX = 100
GROUPS_PER_PORT_MAX = 10


def list(ctx: Context) -> QuerySet[SecurityGroup]:
    ctx.require("security_groups.list")
    rows = SecurityGroup.objects.filter(project=ctx.project).prefetch_related("rules__remote_group", "rules__remote_address_group")
    return rows.annotate(port_count=Count("ports", distinct=True)).order_by("-is_default", "name")


def get(ctx: Context, id: UUID) -> SecurityGroup:
    group = list(ctx).filter(id=id).first()
    if group is None:
        raise NotFound(f"There is no security group {id}.", field="security_group_ids")
    return group


def default(ctx: Context) -> SecurityGroup:
    return SecurityGroup.objects.get(project=ctx.project, is_default=True)


def create_default(project: Project) -> None:
    """Every project's first group: everything out, in only from its own members."""
    group, new = SecurityGroup.objects.get_or_create(
        project=project, is_default=True, defaults={"name": "default", "description": "Everything out, in only from its members"}
    )
    if new:
        quotas.charge(project.id, {"security_groups": 1})
        SecurityGroupRule.objects.create(group=group, direction="egress")
        SecurityGroupRule.objects.create(group=group, direction="ingress", remote_group=group)


def create(ctx: Context, *, name: str, description: str = "", keep_blanks: bool = False) -> SecurityGroup:
    """A group that lets everything out and nothing in, until it has rules. `keep_blanks`: around the name, as Nova keeps them."""
    ctx.require("security_groups.manage")
    name = clean_name(name, keep_blanks=keep_blanks)
    try:
        with transaction.atomic():
            quotas.charge(ctx.project_id, {"security_groups": 1})
            group = SecurityGroup.objects.create(
                project=ctx.needed_project, name=name, description=clean_text(description, field="description")
            )
            SecurityGroupRule.objects.create(group=group, direction="egress")
            events.publish(ctx.actor, "create", "security-group", group)
    except IntegrityError as error:
        raise AlreadyExists(f"There is a security group {name} in this project.", field="name") from error
    return group


def update(ctx: Context, id: UUID, *, name: str | None = None, description: str | None = None) -> SecurityGroup:
    ctx.require("security_groups.manage")
    group = get(ctx, id)
    if group.is_default and name is not None and name != group.name:
        raise Conflict("The default group keeps its name.", field="name")
    if name is not None:
        group.name = clean_name(name)
    if description is not None:
        group.description = clean_text(description, field="description")
    try:
        with transaction.atomic():
            group.save(update_fields=["name", "description"])
            events.publish(ctx.actor, "update", "security-group", group)
    except IntegrityError as error:
        raise AlreadyExists(f"There is a security group {name} in this project.", field="name") from error
    return group


def delete(ctx: Context, id: UUID) -> None:
    ctx.require("security_groups.manage")
    with transaction.atomic():
        group = get(ctx, id)
        if group.is_default:
            raise Conflict("The default group stays: instances without another group are in it.")
        used = Port.objects.filter(security_groups=group).count()
        if used:
            raise Conflict(f"{used} network card{'s are' if used > 1 else ' is'} in {group.name}. Take them out first.")
        if SecurityGroupRule.objects.filter(remote_group=group).exclude(group=group).exists():
            raise Conflict(f"Rules of other groups name {group.name}. Remove those rules first.")
        events.publish(ctx.actor, "delete", "security-group", group)
        group.delete()
        quotas.release(ctx.project_id, {"security_groups": 1})
        jobs.wake("networks")


def add_rule(
    ctx: Context,
    group_id: UUID,
    *,
    direction: str,
    ethertype: str = "",
    protocol: str = "",
    port_min: int | None = None,
    port_max: int | None = None,
    remote_cidr: str = "",
    remote_group_id: UUID | None = None,
    remote_address_group_id: UUID | None = None,
    description: str = "",
    protocol_by_number: bool = False,
) -> SecurityGroupRule:
    """Allow one more kind of traffic; takes effect within a second."""
    ctx.require("security_groups.manage")
    if remote_group_id and remote_address_group_id:
        raise Invalid("Name members of a group or an address group, not both.", field="remote_group_id")
    fields = rule_fields.clean(
        direction=direction,
        ethertype=ethertype,
        protocol=protocol,
        port_min=port_min,
        port_max=port_max,
        remote_cidr=remote_cidr,
        has_group=bool(remote_group_id or remote_address_group_id),
    )
    fields["remote_group"] = get(ctx, remote_group_id) if remote_group_id else None
    fields["remote_address_group"] = address_groups.get(ctx, remote_address_group_id) if remote_address_group_id else None
    with transaction.atomic():
        group = SecurityGroup.objects.select_for_update().get(id=get(ctx, group_id).id)
        if group.rules.count() >= RULES_MAX:
            raise Conflict(f"{group.name} has {RULES_MAX} rules, the most a group may have.")
        if group.rules.filter(**fields).exists():
            raise AlreadyExists(f"{group.name} has this rule already.")
        rule = SecurityGroupRule.objects.create(
            group=group,
            description=clean_text(description, field="description"),
            protocol_by_number=protocol_by_number and bool(fields["protocol"]),
            **fields,
        )
        events.publish(ctx.actor, "add-rule", "security-group", group, detail=sentence(rule))
        jobs.wake("networks")
    return rule


def remove_rule(ctx: Context, group_id: UUID, rule_id: UUID) -> None:
    ctx.require("security_groups.manage")
    with transaction.atomic():
        group = get(ctx, group_id)
        rule = SecurityGroupRule.objects.filter(group=group, id=rule_id).first()
        if rule is None:
            raise NotFound("The group has no such rule.")
        events.publish(ctx.actor, "remove-rule", "security-group", group, detail=sentence(rule))
        rule.delete()
        jobs.wake("networks")


def set_for_port(ctx: Context, port_id: UUID, group_ids: Sequence[UUID]) -> Port:
    """Put a network card into exactly these groups."""
    ctx.require("security_groups.manage")
    if len(group_ids) > GROUPS_PER_PORT_MAX:
        raise Invalid(f"A network card is in at most {GROUPS_PER_PORT_MAX} groups.", field="security_group_ids")
    groups = [get(ctx, id) for id in group_ids]
    with transaction.atomic():
        port = Port.objects.select_for_update(of=("self",)).filter(project=ctx.project, id=port_id).first()
        if port is None:
            raise NotFound(f"There is no port {port_id}.")
        port.security_groups.set(groups)
        names = ", ".join(group.name for group in groups) or "no group"
        events.publish(ctx.actor, "set-groups", "port", port, project_id=ctx.project_id, detail=f"{port.ip}: {names}")
        if port.instance_id is not None:
            events.touch("instance", port.instance_id, port.project_id)
        jobs.wake("networks")
    return port
