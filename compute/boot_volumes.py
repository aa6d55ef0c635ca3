"""Instances that boot from a volume: a new one from the image or a snapshot, or one that is there. It may outlive its instance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from cloudbox.common import clock, events, jobs
from cloudbox.common.errors import Conflict, Invalid, NotFound
from compute import volume_types
from compute.models import Image, Instance, InstanceSnapshot, Snapshot, Volume, VolumeType
from compute.volume_lifecycle import machine, note_size
from identity.context import Context

S = Volume.Status


@dataclass(frozen=True, kw_only=True)
class BootVolume:
    """The volume `volume_id`; or a new one from the snapshot, or else from the image, of the type (None: the first on offer).

    `dies`: it is deleted with the instance, unless it has snapshots or is protected.
    """

    volume_id: UUID | None = None
    snapshot_id: UUID | None = None
    instance_snapshot_id: UUID | None = None  # of a root disk
    data: tuple[UUID, ...] = ()  # snapshots of volumes that it is to have besides, as new ones
    type_id: UUID | None = None
    dies: bool = False

    @property
    def has_system(self) -> bool:
        """Is there a system on it already, so that no image is needed?"""
        return any((self.volume_id, self.snapshot_id, self.instance_snapshot_id))


def system_of(ctx: Context, boot: BootVolume) -> tuple[Image, int]:
    """The image whose system is on the volume or snapshot, and its size; Conflict when nothing on it boots, as far as we know."""
    if boot.volume_id is not None and boot.snapshot_id is not None:
        raise Invalid("It boots from one thing: a volume or a snapshot.", field="boot_snapshot_id")
    if boot.instance_snapshot_id is not None:
        whole = InstanceSnapshot.objects.select_related("image").filter(project=ctx.project, id=boot.instance_snapshot_id).first()
        if whole is None or whole.status != InstanceSnapshot.Status.READY or not whole.root_gib:
            raise NotFound(f"There is no snapshot {boot.instance_snapshot_id} of a root disk.", field="boot_snapshot_id")
        return whole.image, whole.root_gib
    if boot.snapshot_id is not None:
        ctx.require("snapshots.list")
        found = Snapshot.objects.filter(project=ctx.project, id=boot.snapshot_id).exclude(status=Snapshot.Status.DELETED)
        snapshot = found.select_related("volume__image").first()
        if snapshot is None:
            raise NotFound(f"There is no snapshot {boot.snapshot_id}.", field="boot_snapshot_id")
        if snapshot.status != Snapshot.Status.READY:
            label = snapshot.get_status_display().lower()
            raise Conflict(f"The snapshot {snapshot.name} is {label}. Choose another.", field="boot_snapshot_id")
        return _image(snapshot.volume, "boot_snapshot_id"), snapshot.size_gib
    ctx.require("volumes.list")
    assert boot.volume_id is not None
    volume = Volume.objects.filter(project=ctx.project, id=boot.volume_id).exclude(status=S.DELETED).select_related("image").first()
    if volume is None:
        raise NotFound(f"There is no volume {boot.volume_id}.", field="boot_volume_id")
    if volume.status != S.AVAILABLE:
        raise Conflict(f"{volume.name} is {volume.get_status_display().lower()}. Choose one that is available.", field="boot_volume_id")
    return _image(volume, "boot_volume_id"), volume.size_gib


def _image(volume: Volume, field: str) -> Image:
    if not volume.boots and volume.image is not None:
        raise Conflict(f"{volume.name} was said not to be booted from. Say that it may be, or choose another.", field=field)
    if volume.image is None:
        raise Conflict(f"{volume.name} was not made from an image, so nothing on it is known to boot. Choose another.", field=field)
    return volume.image


def type_of(ctx: Context, boot: BootVolume) -> VolumeType:
    kind = volume_types.get(ctx, boot.type_id) if boot.type_id else volume_types.default(ctx)
    if not kind.is_active:
        raise Conflict(f"The type {kind.name} is no longer offered. Choose another.", field="boot_type_id")
    return kind


def give(ctx: Context, instance: Instance, boot: BootVolume, *, size_gib: int) -> Volume:
    """Make it the instance's, in the transaction of its launch, which has charged a new one's quota."""
    if boot.volume_id is not None:
        volume = Volume.objects.select_for_update(of=("self",)).get(id=boot.volume_id)
        if volume.status != S.AVAILABLE:
            raise Conflict(f"{volume.name} was taken meanwhile. Choose another.", field="boot_volume_id")
        theirs = {"instance": instance, "is_boot": True, "dies_with_instance": boot.dies, "attached_at": clock.now(), "error": ""}
        machine.move(volume, S.ATTACHED, actor=ctx.actor, verb="attach", **theirs)  # type: ignore[arg-type]
        return volume
    for snapshot in _data(boot, instance):
        _make(ctx, instance, snapshot.volume.name, type=snapshot.volume.type, size_gib=snapshot.size_gib, source_snapshot=snapshot)
    return _make(
        ctx,
        instance,
        "boot",
        type=type_of(ctx, boot),
        size_gib=size_gib,
        image=instance.image,
        source_snapshot_id=boot.snapshot_id,
        source_instance_snapshot_id=boot.instance_snapshot_id,
        is_boot=True,
        dies_with_instance=boot.dies,
    )


def _data(boot: BootVolume, instance: Instance) -> QuerySet[Snapshot]:
    rows = Snapshot.objects.filter(project_id=instance.project_id, id__in=boot.data, status=Snapshot.Status.READY)
    return rows.select_related("volume__type").order_by("volume__attached_at", "id")


def data_gib(ctx: Context, boot: BootVolume) -> list[int]:
    """How large the volumes are that come besides."""
    return [*Snapshot.objects.filter(project=ctx.project, id__in=boot.data).values_list("size_gib", flat=True)]


def _make(ctx: Context, instance: Instance, what: str, **fields: Any) -> Volume:
    """A new volume of the instance, made by a job of its own; the launch waits for it."""
    name = _free_name(instance, what)
    volume = Volume.objects.create(project_id=instance.project_id, user=ctx.needed_user, name=name, instance=instance, **fields)
    note_size(volume)
    jobs.enqueue("create-volume", volume.id, actor=ctx.actor, project_id=volume.project_id)
    events.publish(ctx.actor, "create", "volume", volume, detail=f"{volume.size_gib} GiB, for {instance.name}")
    return volume


def _free_name(instance: Instance, what: str) -> str:
    """`web-boot`, or the first of web-boot-2, web-boot-3, … that no volume has."""
    base = f"{instance.name[:40]}-{what[:16]}"
    rows = Volume.objects.filter(project_id=instance.project_id, name__istartswith=base).exclude(status=S.DELETED)
    taken = {name.lower() for name in rows.values_list("name", flat=True)}
    return next(name for n in range(1, len(taken) + 2) if (name := base if n == 1 else f"{base}-{n}").lower() not in taken)
