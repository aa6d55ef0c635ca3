"""Qualities of volumes. One that is in use is never changed: it is retired, and a new one made."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from cloudbox.common import events
from cloudbox.common.errors import AlreadyExists, Conflict, Invalid, NotFound
from compute.models import Volume, VolumeType
from identity.context import Context
from identity.names import clean_name, clean_text

LIMIT_MAX = 10_000_000
# Where this box can keep volumes. A type of another place would promise what no driver here does.
BACKENDS: dict[str, str] = {VolumeType.Backend.QCOW2.value: VolumeType.Backend.QCOW2.label}
PRICE_MICROS_MAX = 10**12


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
    ctx: Context,
    *,
    name: str,
    description: str = "",
    iops_max: int | None = None,
    mib_per_second_max: int | None = None,
    price_micros: int | None = None,
    backend: str = VolumeType.Backend.QCOW2,
    sort: int = 100,
) -> VolumeType:
    """Limits None: as fast as the disks below are. `price_micros`: of a GiB for a month, in millionths of the box's currency."""
    ctx.require("volume_types.manage")
    if backend not in BACKENDS:
        raise Invalid(f"This box keeps volumes in: {', '.join(BACKENDS.values()).lower()}. Nowhere else yet.", field="backend")
    made = VolumeType(backend=backend, sort=sort)
    _fill(made, name=name, description=description, iops_max=iops_max, mib_per_second_max=mib_per_second_max, price_micros=price_micros)
    return _save(ctx, made, "create")


def update(ctx: Context, id: UUID, **fields: Any) -> VolumeType:
    """Other words, limits or price, as `create` takes them. One that volumes have is not changed: they were bought as it is."""
    ctx.require("volume_types.manage")
    with transaction.atomic():
        found = get(ctx, id)
        clean_name(fields.get("name", found.name))  # What makes no sense is told before what is not possible now.
        found = VolumeType.objects.select_for_update().get(id=found.id)
        reason = why_no_update(found)
        if reason:
            raise Conflict(reason)
        now = {name: getattr(found, name) for name in ("name", "description", "iops_max", "mib_per_second_max", "price_micros")}
        assert fields.keys() <= now.keys(), fields
        _fill(found, **(now | fields))
        return _save(ctx, found, "update")


def why_no_update(kind: VolumeType) -> str:
    """Why it cannot be changed; empty: it can."""
    count = kind.volume_set.exclude(status=Volume.Status.DELETED).count()
    if count == 0:
        return ""
    have = "A volume has" if count == 1 else f"{count} volumes have"
    return f"{have} the type {kind.name}. Retire it and make a new one; a volume can change its type while it is in use."


def _fill(
    kind: VolumeType, *, name: str, description: str, iops_max: int | None, mib_per_second_max: int | None, price_micros: int | None
) -> None:
    for field, value in (("iops_max", iops_max), ("mib_per_second_max", mib_per_second_max)):
        if value is not None and not 1 <= value <= LIMIT_MAX:
            raise Invalid(f"A limit is a number from 1 to {LIMIT_MAX}, or empty for none.", field=field)
    if price_micros is not None and not 0 <= price_micros <= PRICE_MICROS_MAX:
        raise Invalid("A price is a number from 0 up, or empty for none.", field="price_micros")
    kind.name, kind.description = clean_name(name), clean_text(description, field="description")
    kind.iops_max, kind.mib_per_second_max, kind.price_micros = iops_max, mib_per_second_max, price_micros


def _save(ctx: Context, kind: VolumeType, verb: str) -> VolumeType:
    try:
        with transaction.atomic():
            kind.save()
            events.publish(ctx.actor, verb, "volume-type", kind)
    except IntegrityError as error:
        raise AlreadyExists(f"There is a volume type {kind.name} already.", field="name") from error
    return kind


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


def delete(ctx: Context, id: UUID) -> None:
    """Gone for good; one that volumes have had is retired instead, since their bills tell of it. Conflict while volumes have it."""
    ctx.require("volume_types.manage")
    with transaction.atomic():
        found = get(ctx, id)
        found = VolumeType.objects.select_for_update().get(id=found.id)
        reason = why_no_update(found)
        if reason:
            raise Conflict(reason)
        if found.volume_set.exists():
            retire(ctx, id)
            return
        events.publish(ctx.actor, "delete", "volume-type", found)
        found.delete()
