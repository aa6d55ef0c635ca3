"""Server groups: instances that are to run on one host, or on different ones. A box of one host keeps the wish on record, and says so."""

from __future__ import annotations

from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Prefetch, QuerySet

from cloudbox.common import events
from cloudbox.common.errors import AlreadyExists, Conflict, Invalid, NotFound
from compute import instances
from compute.models import Instance, ServerGroup
from identity.context import Context
from identity.names import clean_name

GROUPS_MAX = 50
Policy = ServerGroup.Policy
_APART = frozenset({Policy.ANTI_AFFINITY, Policy.SOFT_ANTI_AFFINITY})


def list(ctx: Context) -> QuerySet[ServerGroup]:
    ctx.require("instances.list")
    members = Prefetch("instances", Instance.objects.exclude(status="deleted").only("id", "name", "status", "group_id").order_by("name"))
    return ServerGroup.objects.filter(project=ctx.project).prefetch_related(members).order_by("name")


def get(ctx: Context, id: UUID) -> ServerGroup:
    row = list(ctx).filter(id=id).first()
    if row is None:
        raise NotFound(f"There is no server group {id}.", resource=str(id))
    return row


def verdict(row: ServerGroup) -> str:
    """Whether it is as wished, in a sentence; this box has one host."""
    members = len(row.instances.all())
    if row.policy in _APART and members > 1:
        return f"On record: this box has one host, so its {members} instances run together there."
    return "As wished: this box has one host." if members > 1 else "Nothing to decide with fewer than two instances."


def is_kept(row: ServerGroup) -> bool:
    return row.policy not in _APART or len(row.instances.all()) < 2


def create(ctx: Context, *, name: str, policy: str) -> ServerGroup:
    ctx.require("instances.update")
    if policy not in Policy.values:
        raise Invalid("Choose whether they are to be together or apart.", field="policy")
    try:
        with transaction.atomic():
            if ServerGroup.objects.filter(project=ctx.project).count() >= GROUPS_MAX:
                raise Conflict(f"A project has at most {GROUPS_MAX} server groups. Delete one first.")
            row = ServerGroup.objects.create(project=ctx.needed_project, name=clean_name(name), policy=policy)
            events.publish(ctx.actor, "create", "server-group", row)
    except IntegrityError as error:
        raise AlreadyExists(f"There is a server group {name} in this project.", field="name") from error
    return get(ctx, row.id)


def add(ctx: Context, id: UUID, instance_id: UUID) -> ServerGroup:
    """An instance is in one group at most; in this one already: nothing."""
    return _put(ctx, id, instance_id, inside=True)


def remove(ctx: Context, id: UUID, instance_id: UUID) -> ServerGroup:
    return _put(ctx, id, instance_id, inside=False)


def _put(ctx: Context, id: UUID, instance_id: UUID, *, inside: bool) -> ServerGroup:
    ctx.require("instances.update")
    with transaction.atomic():
        group = get(ctx, id)
        instances.get(ctx, instance_id)
        instance = Instance.objects.select_for_update(of=("self",)).select_related("group").get(id=instance_id)
        if inside and instance.group_id not in (None, id):
            raise Conflict(f"{instance.name} is in the group {instance.group}. Take it out first.", field="instance_id")
        if not inside and instance.group_id != id:
            raise NotFound(f"{group.name} has no instance {instance_id}.", field="instance_id")
        if (instance.group_id == id) != inside:
            Instance.objects.filter(id=instance_id).update(group=group if inside else None)
            events.publish(ctx.actor, "add-instance" if inside else "remove-instance", "server-group", group, detail=instance.name)
    return get(ctx, id)


def delete(ctx: Context, id: UUID) -> None:
    """Its instances go on, in no group."""
    ctx.require("instances.update")
    with transaction.atomic():
        row = get(ctx, id)
        events.publish(ctx.actor, "delete", "server-group", row)
        row.delete()
