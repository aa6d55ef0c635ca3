"""What a volume begins as: nothing, an image, another volume, or a snapshot of one."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from cloudbox.common.errors import Conflict, Invalid, NotFound
from compute import images
from compute.models import Image, Snapshot, Volume, VolumeType
from identity.context import Context

GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class Source:
    """`image` is the one whose system it will hold, by whatever way; `size_gib` the least that it needs."""

    image: Image | None = None
    volume: Volume | None = None
    snapshot: Snapshot | None = None
    size_gib: int = 0
    type: VolumeType | None = None
    words: str = ""


def find(ctx: Context, *, image_id: UUID | None, volume_id: UUID | None, snapshot_id: UUID | None) -> Source:
    """In the caller's transaction: the source is locked, so that it is not deleted before the copy is known."""
    if sum(id is not None for id in (image_id, volume_id, snapshot_id)) > 1:
        raise Invalid("A volume begins as one thing: an image, a volume or a snapshot.", field="snapshot_id")
    if image_id is not None:
        image = images.get(ctx, image_id, to_use=True)
        if image.status != Image.Status.READY:
            raise Conflict(f"The image {image.name} is {image.get_status_display().lower()}. Choose another.", field="image_id")
        images.hold(image)
        return Source(image=image, size_gib=max(image.min_disk_gib, -(-image.virtual_bytes // GIB)), words=f", from {image.name}")
    if snapshot_id is not None:
        return _of_snapshot(ctx, snapshot_id)
    return _of_volume(ctx, volume_id) if volume_id is not None else Source()


def _of_snapshot(ctx: Context, id: UUID) -> Source:
    ctx.require("snapshots.list")
    found = Snapshot.objects.filter(project=ctx.project, id=id).exclude(status=Snapshot.Status.DELETED).first()
    if found is None:
        raise NotFound(f"There is no snapshot {id}.", field="snapshot_id")
    volume = Volume.objects.select_for_update(of=("self",)).select_related("type", "image").get(id=found.volume_id)
    found.refresh_from_db()
    if found.status != Snapshot.Status.READY:
        raise Conflict(f"The snapshot {found.name} is {found.get_status_display().lower()}. Choose another.", field="snapshot_id")
    return Source(image=volume.image, snapshot=found, size_gib=found.size_gib, type=volume.type, words=f", from the snapshot {found.name}")


def _of_volume(ctx: Context, id: UUID) -> Source:
    ctx.require("volumes.list")
    rows = Volume.objects.select_for_update(of=("self",)).select_related("type", "image").filter(project=ctx.project, id=id)
    found = rows.exclude(status=Volume.Status.DELETED).first()
    if found is None:
        raise NotFound(f"There is no volume {id}.", field="volume_id")
    if found.status not in (Volume.Status.AVAILABLE, Volume.Status.ATTACHED):
        raise Conflict(f"{found.name} is {found.get_status_display().lower()}. Wait until that is done.", field="volume_id")
    if found.status == Volume.Status.ATTACHED and found.is_read_only:
        raise Conflict(f"{found.name} is attached read-only. Detach it, then copy it.", field="volume_id")
    return Source(image=found.image, volume=found, size_gib=found.size_gib, type=found.type, words=f", from {found.name}")


def size_of(source: Source, size_gib: int | None) -> int:
    """The size that was asked for, or that of the source; Invalid when it does not fit."""
    if size_gib is None:
        if not source.size_gib:
            raise Invalid("How large is it to be?", field="size_gib")
        return source.size_gib
    if size_gib < source.size_gib:
        raise Invalid(f"What it begins as has {source.size_gib} GiB. Make it at least as large.", field="size_gib")
    return size_gib
