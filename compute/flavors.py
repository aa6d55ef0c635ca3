"""Sizes. One that is in use is never changed: it is retired, and a new one made."""

from __future__ import annotations

from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from cloudbox.common import events
from cloudbox.common.errors import AlreadyExists, Invalid, NotFound
from compute.models import Flavor
from identity.context import Context
from identity.names import clean_name

VCPUS_MAX = 256
MEMORY_MIB_RANGE = (64, 4 * 1024 * 1024)
DISK_GIB_MAX = 4096


def list(ctx: Context, *, retired: bool = False) -> QuerySet[Flavor]:
    """The sizes on offer; with `retired`, those no longer offered too."""
    ctx.require("flavors.list")
    return Flavor.objects.all() if retired else Flavor.objects.filter(is_active=True)


def get(ctx: Context, id: UUID) -> Flavor:
    ctx.require("flavors.list")
    flavor = Flavor.objects.filter(id=id).first()
    if flavor is None:
        raise NotFound(f"There is no size {id}.", field="flavor_id")
    return flavor


def create(ctx: Context, *, name: str, vcpus: int, memory_mib: int, disk_gib: int, sort: int = 100) -> Flavor:
    ctx.require("flavors.manage")
    if not 1 <= vcpus <= VCPUS_MAX:
        raise Invalid(f"A size has 1 to {VCPUS_MAX} vCPUs.", field="vcpus")
    low, high = MEMORY_MIB_RANGE
    if not low <= memory_mib <= high:
        raise Invalid(f"A size has {low} to {high} MiB of memory.", field="memory_mib")
    if not 1 <= disk_gib <= DISK_GIB_MAX:
        raise Invalid(f"A size has a root disk of 1 to {DISK_GIB_MAX} GiB.", field="disk_gib")
    try:
        with transaction.atomic():
            flavor = Flavor.objects.create(name=clean_name(name), vcpus=vcpus, memory_mib=memory_mib, disk_gib=disk_gib, sort=sort)
            events.publish(ctx.actor, "create", "flavor", flavor)
    except IntegrityError as error:
        raise AlreadyExists(f"There is a size {name} already.", field="name") from error
    return flavor


def retire(ctx: Context, id: UUID) -> Flavor:
    """No new instances of this size; those that run keep it."""
    return _set_active(ctx, id, active=False, verb="retire")


def restore(ctx: Context, id: UUID) -> Flavor:
    return _set_active(ctx, id, active=True, verb="restore")


def _set_active(ctx: Context, id: UUID, *, active: bool, verb: str) -> Flavor:
    ctx.require("flavors.manage")
    with transaction.atomic():
        flavor = get(ctx, id)
        flavor.is_active = active
        flavor.save(update_fields=["is_active"])
        events.publish(ctx.actor, verb, "flavor", flavor)
    return flavor
