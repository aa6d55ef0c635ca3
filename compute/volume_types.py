"""Qualities of volumes. One that is in use is never changed: it is retired, and a new one made."""

from __future__ import annotations

from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from cloudbox.common import events
from cloudbox.common.errors import AlreadyExists, Conflict, Invalid, NotFound
from compute.models import VolumeType
from identity.context import Context
from identity.names import clean_name, clean_text

LIMIT_MAX = 10_000_000


def list(ctx: Context, *, retired: bool = False) -> QuerySet[VolumeType]:
    """The types on offer; with `retired`, those no longer offered too."""
    ctx.require("volume_types.list")
    return VolumeType.objects.all() if retired else VolumeType.objects.filter(is_active=True)


def get(ctx: Context, id: UUID) -> VolumeType:
    found = list(ctx, retired=True).filter(id=id).first()
    if found is None:
        raise NotFound(f"There is no volume type {id}.", field="type_id")
    return found


def default(ctx: Context) -> VolumeType:
    """The first on offer."""
    found = list(ctx).first()
    if found is None:
        raise Conflict("This box offers no type of volumes. Ask its administrator to add one.", field="type_id")
    return found


def create(
    ctx: Context, *, name: str, description: str = "", iops_max: int | None = None, mib_per_second_max: int | None = None, sort: int = 100
) -> VolumeType:
    """Limits None: as fast as the disks below are."""
    ctx.require("volume_types.manage")
    for field, value in (("iops_max", iops_max), ("mib_per_second_max", mib_per_second_max)):
        if value is not None and not 1 <= value <= LIMIT_MAX:
            raise Invalid(f"A limit is a number from 1 to {LIMIT_MAX}, or empty for none.", field=field)
    name, description = clean_name(name), clean_text(description, field="description")
    try:
        with transaction.atomic():
            made = VolumeType.objects.create(
                name=name, description=description, iops_max=iops_max, mib_per_second_max=mib_per_second_max, sort=sort
            )
            events.publish(ctx.actor, "create", "volume-type", made)
    except IntegrityError as error:
        raise AlreadyExists(f"There is a volume type {name} already.", field="name") from error
    return made


def retire(ctx: Context, id: UUID) -> VolumeType:
    """No new volumes of this type; those that are there keep it."""
    return _set_active(ctx, id, active=False, verb="retire")


def restore(ctx: Context, id: UUID) -> VolumeType:
    return _set_active(ctx, id, active=True, verb="restore")


def _set_active(ctx: Context, id: UUID, *, active: bool, verb: str) -> VolumeType:
    ctx.require("volume_types.manage")
    with transaction.atomic():
        found = get(ctx, id)
        found.is_active = active
        found.save(update_fields=["is_active"])
        events.publish(ctx.actor, verb, "volume-type", found)
    return found
