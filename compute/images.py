"""Images: what instances start from. Those of the box's catalogue belong to no project."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Q, QuerySet

from cloudbox.common import events, jobs, outbound
from cloudbox.common.errors import Conflict, Forbidden, Invalid, NotFound
from compute import image_copies
from compute.models import ConfigDrive, Image, ImageCopy, ImageExport, ImageMember, Instance, InstanceSnapshot, Snapshot, Volume
from identity.context import Context
from identity.models import Project
from identity.names import clean_name, clean_text

V = Image.Visibility
PER_PROJECT_MAX = 200
NO_DRIVERS = "Windows seldom brings drivers for virtio: it finds no disk then. Give it SATA and an Intel network card."
KEY_BYTES_MAX = 1024
CHECKSUM = re.compile(r"[0-9a-f]{64}|[0-9a-f]{128}")


def list(ctx: Context, *, all_projects: bool = False, visibility: str = "") -> QuerySet[Image]:
    """The project's own, the public ones, and those of others that it accepted. `visibility`: only those; of the community's all."""
    ctx.require("box.look" if all_projects else "images.list")
    rows = _rows()
    if visibility:
        rows = rows.filter(visibility=visibility)
    if all_projects or visibility == V.COMMUNITY:
        return rows
    accepted = ImageMember.objects.filter(project=ctx.project, status=ImageMember.Status.ACCEPTED).values("image")
    return rows.filter(Q(project=ctx.project) | Q(visibility=V.PUBLIC) | Q(visibility=V.SHARED, id__in=accepted))


def offered(ctx: Context, status: str = ImageMember.Status.PENDING) -> QuerySet[Image]:
    """Images that others offered to this project, and to which it said that: pending, accepted or rejected."""
    ctx.require("images.list")
    members = ImageMember.objects.filter(project=ctx.project, status=status).values("image")
    return _rows().filter(visibility=V.SHARED, id__in=members).exclude(project=ctx.project)


def _rows() -> QuerySet[Image]:
    return Image.objects.exclude(status=Image.Status.DELETED).select_related("project").order_by("name", "created_at")


def get(ctx: Context, id: UUID, *, to_use: bool = False) -> Image:
    """One that the project may see; offered ones, too. `to_use`: Conflict for one that it was offered and did not accept."""
    ctx.require("images.list")
    if ctx.project is None:
        image = list(ctx, all_projects=bool(ctx.box_role)).filter(id=id).first()
    else:
        members = ImageMember.objects.filter(project=ctx.project).values("image")
        open_to_it = Q(visibility__in=(V.PUBLIC, V.COMMUNITY)) | Q(visibility=V.SHARED, id__in=members)
        image = _rows().filter(Q(project=ctx.project) | open_to_it, id=id).first()
    if image is None:
        raise NotFound(f"There is no image {id}.", field="image_id")
    if (
        to_use
        and image.visibility == V.SHARED
        and image.project_id != ctx.project_id
        and not offered(ctx, "accepted").filter(id=id).exists()
    ):
        raise Conflict(f"{image.name} was offered to this project. Accept it first.", field="image_id")
    return image


def concern(image: Image) -> str:
    """Why a machine made from it may not come up, as far as its first bytes tell; empty: nothing is known against it."""
    boot = image.facts.get("boot") or {}
    if not boot:
        return ""
    if not boot.get("bios"):
        return str(boot.get("sentence", ""))
    return NO_DRIVERS if can_be_gentler(image) else ""


def whereabouts(image: Image) -> str:
    """Where its file lies, in words; empty while there is none."""
    if image.status not in (Image.Status.READY, Image.Status.DEACTIVATED):
        return ""
    copy = ImageCopy.objects.filter(id=image.id).first()
    if copy is None:
        return "on this host, and on its way to the object store" if image_copies.census().where else "on this host"
    return "in the object store, and on this host" if copy.is_here else "in the object store; the next launch fetches it"


def can_be_gentler(image: Image) -> bool:
    """Is it a system that seldom has virtio's drivers, and is it to start with virtio?"""
    has_virtio = "virtio" in (image.disk_bus, image.nic_model) or image.disk_bus == Image.DiskBus.SCSI
    return has_virtio and (image.facts.get("boot") or {}).get("system") == "windows"


def register(ctx: Context, *, name: str, source: Path, os: str = "", description: str = "", min_memory_mib: int = 0) -> Image:
    """Put a qcow2 file of this machine into the catalogue; the same bytes under the same name are there already."""
    ctx.require("images.catalogue")
    checksum, virtual = _sha256(source), _virtual_bytes(source)
    name = clean_name(name)
    # One that is queued was begun by somebody whom a crash ended: go on with it.
    begun = (Image.Status.READY, Image.Status.QUEUED)
    there = Image.objects.filter(project=None, name=name, checksum=checksum, status__in=begun).order_by("-status").first()
    if there is not None and there.status == Image.Status.READY and image_copies.has(there.id):
        return there
    image = there or Image.objects.create(name=name, os=os, description=description, min_memory_mib=min_memory_mib, checksum=checksum)
    with source.open("rb") as stream:
        size = image_copies.put(image.id, stream)
    with transaction.atomic():
        image.size_bytes, image.virtual_bytes, image.checksum = size, virtual, checksum
        image.status, image.visibility = Image.Status.READY, Image.Visibility.PUBLIC
        image.save()
        older = Image.objects.filter(project=None, name=name).exclude(id=image.id)
        older.filter(status=Image.Status.READY).update(status=Image.Status.DEACTIVATED)
        older.filter(status=Image.Status.QUEUED).update(status=Image.Status.DELETED)  # of other bytes; nobody comes back for them
        events.publish(ctx.actor, "register", "image", image)
    return image


def create(
    ctx: Context,
    *,
    name: str,
    url: str = "",
    bucket: str = "",
    key: str = "",
    snapshot_id: UUID | None = None,
    instance_snapshot_id: UUID | None = None,
    checksum: str = "",
    description: str = "",
    os: str = "",
    min_disk_gib: int = 0,
    min_memory_mib: int = 0,
) -> Image:
    """Make one: from an address, an object in a bucket of the project, a snapshot of a volume, or the root disk in one of an instance.

    A job fetches, checks and converts it.

    Raises Invalid for a source that cannot be one, Conflict when the project has as many images as it can have.
    """
    ctx.require("images.manage")
    if sum((bool(url), bool(bucket or key), snapshot_id is not None, instance_snapshot_id is not None)) != 1:
        raise Invalid("Name one source: an address, a bucket and an object in it, or a snapshot.", field="url")
    taken: dict[str, str] = {}
    if snapshot_id is not None:
        taken, detail = _of_snapshot(ctx, snapshot_id)
    elif instance_snapshot_id is not None:
        taken, detail = _of_instance_snapshot(ctx, instance_snapshot_id)
    elif url:
        detail = f"from {outbound.parse(url).host}"
    elif not bucket or not key or len(bucket) > 63 or len(key.encode()) > KEY_BYTES_MAX:
        raise Invalid("Name the bucket, and the object in it.", field="key" if bucket else "bucket")
    else:
        detail = f"from {key} in {bucket}"
    checksum = "" if taken else checksum.strip().lower()
    if checksum and not CHECKSUM.fullmatch(checksum):
        raise Invalid("A checksum is SHA-256 or SHA-512: 64 or 128 letters and digits.", field="checksum")
    name, description, os = clean_name(name), clean_text(description, field="description"), clean_text(os, field="os")[:32]
    source = taken or ({"url": url} if url else {"bucket": bucket, "key": key})
    with transaction.atomic():
        project = Project.objects.select_for_update(of=("self",), no_key=True).get(id=ctx.needed_project.id)
        if project.images.exclude(status=Image.Status.DELETED).count() >= PER_PROJECT_MAX:
            raise Conflict(f"The project has {PER_PROJECT_MAX} images, and can have no more. Delete one first.")
        image = Image.objects.create(
            project=project,
            name=name,
            description=description,
            os=os,
            status=Image.Status.IMPORTING,
            min_disk_gib=min_disk_gib,
            min_memory_mib=min_memory_mib,
            source=source | ({"checksum": checksum} if checksum else {}),
        )
        events.publish(ctx.actor, "import", "image", image, detail=detail[:255])
        jobs.enqueue("import-image", image.id, actor=ctx.actor, project_id=project.id)
    return image


def _of_snapshot(ctx: Context, id: UUID) -> tuple[dict[str, str], str]:
    """Where its disk is and which snapshot of it, and the words for it."""
    ctx.require("snapshots.list")
    row = Snapshot.objects.filter(project=ctx.project, id=id).exclude(status=Snapshot.Status.DELETED).select_related("volume").first()
    if row is None:
        raise NotFound(f"There is no snapshot {id}.", field="snapshot_id")
    if row.status != Snapshot.Status.READY:
        raise Conflict(f"The snapshot {row.name} is {row.get_status_display().lower()}. Choose another.", field="snapshot_id")
    return {"disk": str(row.volume_id), "snapshot": str(row.id)}, f"from the snapshot {row.name} of {row.volume.name}"


def _of_instance_snapshot(ctx: Context, id: UUID) -> tuple[dict[str, str], str]:
    """The same, of the root disk of an instance."""
    ctx.require("snapshots.list")
    rows = InstanceSnapshot.objects.filter(project=ctx.project, id=id).exclude(status=InstanceSnapshot.Status.DELETED)
    row = rows.select_related("instance").first()
    if row is None:
        raise NotFound(f"There is no snapshot {id}.", field="instance_snapshot_id")
    if row.status != InstanceSnapshot.Status.READY:
        raise Conflict(f"The snapshot {row.name} is {row.get_status_display().lower()}. Choose another.", field="instance_snapshot_id")
    if not row.root_gib:
        raise Conflict(f"{row.instance.name} booted from a volume. Take that volume's snapshot.", field="instance_snapshot_id")
    return {"disk": str(row.instance_id), "snapshot": str(row.id)}, f"from the snapshot {row.name} of {row.instance.name}"


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _virtual_bytes(path: Path) -> int:
    """The size of the disk inside, from the qcow2 header (bytes 24 to 31, see QEMU's docs/interop/qcow2.txt)."""
    with path.open("rb") as stream:
        head = stream.read(32)
    return int.from_bytes(head[24:32], "big") if head[:4] == b"QFI\xfb" else path.stat().st_size


def rename(ctx: Context, id: UUID, name: str) -> Image:
    return update(ctx, id, name=name)


def update(
    ctx: Context,
    id: UUID,
    *,
    name: str | None = None,
    description: str | None = None,
    os: str | None = None,
    visibility: str | None = None,
    is_protected: bool | None = None,
    min_disk_gib: int | None = None,
    min_memory_mib: int | None = None,
    disk_bus: str | None = None,
    nic_model: str | None = None,
    config_drive: str | None = None,
) -> Image:
    """Change what is given. Only an administrator of the box makes one public; one that is private again has no members any more.

    The hardware is that of machines launched from now on. Raises Invalid for what is no choice.
    """
    own(ctx, id)
    check_amounts(min_disk_gib, min_memory_mib)
    asked = {
        "name": None if name is None else clean_name(name),
        "description": None if description is None else clean_text(description, field="description"),
        "os": None if os is None else clean_text(os, field="os", length_max=32),
        "visibility": check_choice(V, visibility, "visibility"),
        "is_protected": is_protected,
        "min_disk_gib": min_disk_gib,
        "min_memory_mib": min_memory_mib,
        "disk_bus": check_choice(Image.DiskBus, disk_bus, "disk_bus"),
        "nic_model": check_choice(Image.NicModel, nic_model, "nic_model"),
        "config_drive": config_drive and check_choice(ConfigDrive, config_drive, "config_drive"),
    }
    with transaction.atomic():
        image = Image.objects.select_for_update(of=("self",)).get(id=id)
        before, detail = image.name, []
        changed = {field: value for field, value in asked.items() if value is not None and value != getattr(image, field)}
        if V.PUBLIC in (changed.get("visibility"), image.visibility if "visibility" in changed else ""):
            ctx.require("images.catalogue")
        if image.project_id is None and changed.get("visibility", V.PUBLIC) not in (V.PUBLIC, V.COMMUNITY):
            raise Conflict(f"{image.name} belongs to the catalogue of the box. Deactivate it instead.", field="visibility")
        for field, value in changed.items():
            setattr(image, field, value)
            detail.append(f"{field.removeprefix('is_').replace('_', ' ')} {value}")
        if "visibility" in changed and image.visibility != V.SHARED:
            gone, _ = image.members.all().delete()
            detail += [f"withdrawn from {gone} project{'s' if gone != 1 else ''}"] if gone else []
        if changed:
            image.save(update_fields=[*changed])
            verb = _SINGLE.get((*changed.items(),)[0], "update") if len(changed) == 1 else "update"
            verb = "rename" if [*changed] == ["name"] else verb
            events.publish(ctx.actor, verb, "image", image, detail=f"from {before}" if verb == "rename" else ", ".join(detail))
    return get(ctx, id)


_SINGLE: dict[tuple[str, Any], str] = {("is_protected", True): "protect", ("is_protected", False): "unprotect"}


def check_choice(choices: Any, value: str | None, field: str) -> str | None:
    """The value, or Invalid when it is none of the choices."""
    if value is not None and value not in choices.values:
        raise Invalid(f"Choose one of {', '.join(choices.values)}.", field=field)
    return value


def check_amounts(disk_gib: int | None, memory_mib: int | None) -> None:
    """What an image may at least need. Raises Invalid."""
    for value, most, field in ((disk_gib, 65536, "min_disk_gib"), (memory_mib, 16 * 2**20, "min_memory_mib")):
        if value is not None and not 0 <= value <= most:
            raise Invalid(f"Write a number from 0 to {most}.", field=field)


def protect(ctx: Context, id: UUID) -> Image:
    """Nobody deletes it until it is unprotected."""
    return update(ctx, id, is_protected=True)


def unprotect(ctx: Context, id: UUID) -> Image:
    return update(ctx, id, is_protected=False)


def be_gentler(ctx: Context, id: UUID) -> Image:
    """A disk and a network card that every system of the last twenty years has drivers for."""
    return update(ctx, id, disk_bus=Image.DiskBus.SATA, nic_model=Image.NicModel.E1000E)


def deactivate(ctx: Context, id: UUID) -> Image:
    """No new instances from it; those that run are not touched."""
    return _set_status(ctx, id, Image.Status.DEACTIVATED, "deactivate")


def reactivate(ctx: Context, id: UUID) -> Image:
    return _set_status(ctx, id, Image.Status.READY, "reactivate")


def _set_status(ctx: Context, id: UUID, status: str, verb: str) -> Image:
    image = own(ctx, id)
    with transaction.atomic():
        if image.status not in (Image.Status.READY, Image.Status.DEACTIVATED):
            raise Conflict(f"{image.name} is {image.get_status_display().lower()}.")
        image.status = status
        image.save(update_fields=["status"])
        events.publish(ctx.actor, verb, "image", image)
    return image


def hold(image: Image) -> None:
    """In the transaction that writes who stands on it: nobody deletes it until that can be counted. Raises Conflict if somebody has.

    The lock is the one that PostgreSQL's foreign keys take; Django's are checked at the end of the transaction only.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT status FROM compute_image WHERE id = %s FOR KEY SHARE", [image.id])
        row = cursor.fetchone()
    if row is None or row[0] == Image.Status.DELETED:
        raise Conflict(f"The image {image.name} was deleted meanwhile. Choose another.", field="image_id")


def delete(ctx: Context, id: UUID) -> None:
    """Gone for good, unless instances stand on it: their disks are layers over its file. The worker removes the file."""
    image = own(ctx, id)
    # Its own disk, the one kept from before a rebuild, a rescue disk, the disc in its drive.
    stand = Q(image=image) | Q(reversals__image=image) | Q(rescue_image=image) | Q(cdrom_image=image)
    with transaction.atomic():
        held = Image.objects.select_for_update(of=("self",)).get(id=image.id)  # waits for who holds it
        if held.is_protected:
            raise Conflict(f"{image.name} is protected. Take the protection off first.")
        users = Instance.objects.filter(stand).exclude(status=Instance.Status.DELETED).distinct().count()
        if users:
            raise Conflict(
                f"{users} instance{'s' if users > 1 else ''} stand{'' if users > 1 else 's'} on {image.name}. Deactivate it instead."
            )
        copies = Volume.objects.filter(image=image, status=Volume.Status.CREATING).count()
        if copies:
            raise Conflict(f"A volume is being made from {image.name}. Try again when it is there.")
        if ImageExport.objects.filter(image=image, status=ImageExport.Status.EXPORTING).exists():
            raise Conflict(f"{image.name} is being exported. Wait until that is done, or cancel it.")
        Image.objects.filter(id=image.id).update(status=Image.Status.DELETED)
        events.publish(ctx.actor, "delete", "image", image)
        jobs.wake("images")


def own(ctx: Context, id: UUID) -> Image:
    """An image that the caller may change: the project's with the role, the catalogue's as administrator."""
    image = get(ctx, id)
    ctx.require("images.catalogue" if image.project_id is None else "images.manage")
    if image.project_id is not None and ctx.project is not None and image.project_id != ctx.project_id:
        raise Forbidden(f"{image.name} belongs to another project.")
    return image
