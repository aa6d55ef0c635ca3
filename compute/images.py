"""Images: what instances start from. Those of the box's catalogue belong to no project."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Q, QuerySet

from cloudbox.common import events, jobs, outbound
from cloudbox.common.errors import Conflict, Invalid, NotFound
from compute import host
from compute.models import Image, Instance, Volume
from identity.context import Context
from identity.models import Project
from identity.names import clean_name, clean_text

PER_PROJECT_MAX = 200
KEY_BYTES_MAX = 1024
_CHECKSUM = re.compile(r"[0-9a-f]{64}|[0-9a-f]{128}")


def list(ctx: Context, *, all_projects: bool = False) -> QuerySet[Image]:
    """The project's own and the public ones."""
    ctx.require("box.look" if all_projects else "images.list")
    rows = Image.objects.exclude(status=Image.Status.DELETED).select_related("project").order_by("name", "created_at")
    return rows if all_projects else rows.filter(Q(project=ctx.project) | Q(visibility=Image.Visibility.PUBLIC))


def get(ctx: Context, id: UUID) -> Image:
    ctx.require("images.list")
    rows = list(ctx, all_projects=ctx.project is None and bool(ctx.box_role))
    image = rows.filter(id=id).first()
    if image is None:
        raise NotFound(f"There is no image {id}.", field="image_id")
    return image


def register(ctx: Context, *, name: str, source: Path, os: str = "", description: str = "", min_memory_mib: int = 0) -> Image:
    """Put a qcow2 file of this machine into the catalogue; the same bytes under the same name are there already."""
    ctx.require("images.catalogue")
    checksum, virtual = _sha256(source), _virtual_bytes(source)
    there = Image.objects.filter(project=None, name=name, checksum=checksum, status=Image.Status.READY).first()
    if there is not None and there.id in set(host.images().all()):
        return there
    image = there or Image.objects.create(name=clean_name(name), os=os, description=description, min_memory_mib=min_memory_mib)
    with source.open("rb") as stream:
        size = host.images().put(image.id, stream)
    with transaction.atomic():
        image.size_bytes, image.virtual_bytes, image.checksum = size, virtual, checksum
        image.status, image.visibility = Image.Status.READY, Image.Visibility.PUBLIC
        image.save()
        older = Image.objects.filter(project=None, name=name, status=Image.Status.READY).exclude(id=image.id)
        older.update(status=Image.Status.DEACTIVATED)
        events.publish(ctx.actor, "register", "image", image)
    return image


def create(
    ctx: Context,
    *,
    name: str,
    url: str = "",
    bucket: str = "",
    key: str = "",
    checksum: str = "",
    description: str = "",
    os: str = "",
    min_disk_gib: int = 0,
    min_memory_mib: int = 0,
) -> Image:
    """Bring a disk in: from an address, or from an object in a bucket of the project. A job fetches, checks and converts it.

    Raises Invalid for a source that cannot be one, Conflict when the project has as many images as it can have.
    """
    ctx.require("images.manage")
    if bool(url) == bool(bucket or key):
        raise Invalid("Name an address, or a bucket and an object in it: one of the two.", field="url")
    if url:
        outbound.parse(url)
    elif not bucket or not key or len(bucket) > 63 or len(key.encode()) > KEY_BYTES_MAX:
        raise Invalid("Name the bucket, and the object in it.", field="key" if bucket else "bucket")
    checksum = checksum.strip().lower()
    if checksum and not _CHECKSUM.fullmatch(checksum):
        raise Invalid("A checksum is SHA-256 or SHA-512: 64 or 128 letters and digits.", field="checksum")
    name, description, os = clean_name(name), clean_text(description, field="description"), clean_text(os, field="os")[:32]
    source = {"url": url} if url else {"bucket": bucket, "key": key}
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
        detail = f"from {outbound.parse(url).host}" if url else f"from {key} in {bucket}"
        events.publish(ctx.actor, "import", "image", image, detail=detail[:255])
        jobs.enqueue("import-image", image.id, actor=ctx.actor, project_id=project.id)
    return image


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _virtual_bytes(path: Path) -> int:
    """The size of the disk inside, from the qcow2 header (bytes 24 to 31, see QEMU's docs/interop/qcow2.txt)."""
    with path.open("rb") as stream:
        head = stream.read(32)
    return int.from_bytes(head[24:32], "big") if head[:4] == b"QFI\xfb" else path.stat().st_size


def rename(ctx: Context, id: UUID, name: str) -> Image:
    image = _own(ctx, id)
    with transaction.atomic():
        image.name = clean_name(name)
        image.save(update_fields=["name"])
        events.publish(ctx.actor, "rename", "image", image)
    return image


def deactivate(ctx: Context, id: UUID) -> Image:
    """No new instances from it; those that run are not touched."""
    return _set_status(ctx, id, Image.Status.DEACTIVATED, "deactivate")


def reactivate(ctx: Context, id: UUID) -> Image:
    return _set_status(ctx, id, Image.Status.READY, "reactivate")


def _set_status(ctx: Context, id: UUID, status: str, verb: str) -> Image:
    image = _own(ctx, id)
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
    image = _own(ctx, id)
    # Its own disk, the one kept from before a rebuild, a rescue disk, the disc in its drive.
    stand = Q(image=image) | Q(reversals__image=image) | Q(rescue_image=image) | Q(cdrom_image=image)
    with transaction.atomic():
        Image.objects.select_for_update(of=("self",)).get(id=image.id)  # waits for who holds it
        users = Instance.objects.filter(stand).exclude(status=Instance.Status.DELETED).distinct().count()
        if users:
            raise Conflict(
                f"{users} instance{'s' if users > 1 else ''} stand{'' if users > 1 else 's'} on {image.name}. Deactivate it instead."
            )
        copies = Volume.objects.filter(image=image, status=Volume.Status.CREATING).count()
        if copies:
            raise Conflict(f"A volume is being made from {image.name}. Try again when it is there.")
        Image.objects.filter(id=image.id).update(status=Image.Status.DELETED)
        events.publish(ctx.actor, "delete", "image", image)
        jobs.wake("images")


def _own(ctx: Context, id: UUID) -> Image:
    """An image that the caller may change: the project's with the role, the catalogue's as administrator."""
    image = get(ctx, id)
    ctx.require("images.catalogue" if image.project_id is None else "images.manage")
    if image.project_id is not None and ctx.project is not None and image.project_id != ctx.project_id:
        raise NotFound(f"There is no image {id}.", field="image_id")
    return image
