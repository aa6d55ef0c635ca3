"""Images whose bytes come later, or from a disk that is here: begun, uploaded or staged, fetched, taken of an instance or a volume."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from django.db import transaction

from cloudbox.common import events, jobs, outbound
from cloudbox.common.errors import AlreadyExists, Conflict, Invalid, QuotaExceeded
from compute import host, images, instances, volumes
from compute.models import Image, Instance
from identity.context import Context
from identity.models import Project
from identity.names import clean_name, clean_text

S = Image.Status
V = Image.Visibility
TAGS_MAX, PROPERTIES_MAX = 128, 128
_CAPTURED = frozenset({Instance.Status.RUNNING, Instance.Status.STOPPED, Instance.Status.PAUSED, Instance.Status.SUSPENDED})


def clean_tags(tags: Sequence[str]) -> Sequence[str]:
    """Words to find it by, each once."""
    clean = sorted({clean_name(tag, field="tags", length_max=255) for tag in tags})
    if len(clean) > TAGS_MAX:
        raise QuotaExceeded(f"An image has {TAGS_MAX} tags at most, not {len(clean)}.", field="tags")
    return clean


def clean_properties(pairs: Mapping[str, Any]) -> dict[str, str]:
    """Pairs of text that people and programs noted."""
    if len(pairs) > PROPERTIES_MAX:
        raise QuotaExceeded(f"An image has {PROPERTIES_MAX} properties at most, not {len(pairs)}.", field="properties")
    clean = {}
    for key, value in pairs.items():
        if not isinstance(value, str):
            raise Invalid(f"The property {key[:64]} must be text.", field=key[:64])
        clean[clean_name(key, field="properties", length_max=255)] = clean_text(value, field=key[:64], length_max=4096)
    return clean


def begin(
    ctx: Context,
    *,
    name: str,
    id: UUID | None = None,
    visibility: str = V.SHARED,
    is_protected: bool = False,
    min_disk_gib: int = 0,
    min_memory_mib: int = 0,
    disk_format: str = "",
    tags: Sequence[str] = (),
    properties: Mapping[str, str] | None = None,
    source: Mapping[str, Any] | None = None,
    status: str = S.QUEUED,
    detail: str = "",
) -> Image:
    """An image without bytes. `disk_format`: what whoever uploads says that they are; what they are is told from them."""
    ctx.require("images.manage")
    if visibility == V.PUBLIC:
        ctx.require("images.catalogue")
    if visibility not in V.values:
        raise Invalid(f"Choose one of {', '.join(V.values)}.", field="visibility")
    with transaction.atomic():
        project = Project.objects.select_for_update(of=("self",), no_key=True).get(id=ctx.needed_project.id)
        if project.images.exclude(status=S.DELETED).count() >= images.PER_PROJECT_MAX:
            raise Conflict(f"The project has {images.PER_PROJECT_MAX} images, and can have no more. Delete one first.")
        if id is not None and Image.objects.filter(id=id).exists():
            raise AlreadyExists(f"There is an image {id}.", field="id")
        image = Image.objects.create(
            id=id or uuid4(),
            project=project,
            name=clean_name(name, length_max=255),
            visibility=visibility,
            is_protected=is_protected,
            min_disk_gib=min_disk_gib,
            min_memory_mib=min_memory_mib,
            status=status,
            tags=[*clean_tags(tags)],
            properties=clean_properties(properties or {}),
            source={**(source or {}), **({"disk_format": disk_format} if disk_format else {})},
        )
        events.publish(ctx.actor, "create" if status == S.QUEUED else "import", "image", image, detail=detail[:255])
        if status == S.IMPORTING:
            jobs.enqueue("import-image", image.id, actor=ctx.actor, project_id=project.id)
    return image


def note(ctx: Context, id: UUID, *, tags: Sequence[str] | None = None, properties: Mapping[str, str] | None = None) -> Image:
    """Other tags, other properties; None: as they are."""
    image = images.own(ctx, id)
    with transaction.atomic():
        fields: dict[str, Any] = {}
        if tags is not None:
            fields["tags"] = [*clean_tags(tags)]
        if properties is not None:
            fields["properties"] = clean_properties(properties)
        Image.objects.filter(id=image.id).update(**fields)
        events.publish(ctx.actor, "update", "image", image, detail=", ".join(fields))
    return images.get(ctx, id)


def where(ctx: Context, id: UUID) -> Path:
    """Where bytes for it can be written; Conflict when it has some."""
    image = images.own(ctx, id)
    _need_none(image)
    return host.uploads().part(image.id)


def _need_none(image: Image) -> None:
    if image.status != S.QUEUED or "upload" in image.source:
        raise Conflict(f"{image.name} has its bytes already, or is getting them. Make another image for others.")


def take(ctx: Context, id: UUID, part: Path, *, size: int, md5: str, sha512: str, stage: bool = False) -> Image:
    """The file is its bytes from now on; a job makes a disk of them, or `stage`: once that is asked for (`convert`)."""
    with transaction.atomic():
        image = Image.objects.select_for_update(of=("self",)).get(id=images.own(ctx, id).id)
        _need_none(image)
        if not size:
            raise Invalid("There is nothing in it: no byte came.")
        image.source |= {"upload": {"size": size, "md5": md5, "sha512": sha512}}
        image.save(update_fields=["source"])
        events.publish(ctx.actor, "upload", "image", image, detail=f"{size} bytes")
        host.uploads().keep(part, image.id)
        if not stage:
            _enqueue(ctx, image)
    return images.get(ctx, id)


def convert(ctx: Context, id: UUID) -> Image:
    """What was staged becomes the disk."""
    with transaction.atomic():
        image = Image.objects.select_for_update(of=("self",)).get(id=images.own(ctx, id).id)
        if image.status != S.QUEUED or "upload" not in image.source:
            raise Conflict(f"Nothing is staged for {image.name}. Stage its bytes first.")
        _enqueue(ctx, image)
    return images.get(ctx, id)


def fetch(ctx: Context, id: UUID, *, url: str) -> Image:
    """Its bytes are at an address; a job brings them."""
    outbound.parse(url)
    with transaction.atomic():
        image = Image.objects.select_for_update(of=("self",)).get(id=images.own(ctx, id).id)
        _need_none(image)
        image.source |= {"url": url}
        image.save(update_fields=["source"])
        _enqueue(ctx, image)
    return images.get(ctx, id)


def _enqueue(ctx: Context, image: Image) -> None:
    image.status = S.IMPORTING
    image.save(update_fields=["status"])
    jobs.enqueue("import-image", image.id, actor=ctx.actor, project_id=image.project_id)


def of_instance(ctx: Context, instance_id: UUID, *, name: str, properties: Mapping[str, str] | None = None) -> Image:
    """What the instance boots from, as it is now, in use or not; it goes on. Its guest writes out what it has in memory, if it can."""
    ctx.require("images.manage")
    row = instances.get(ctx, instance_id)
    if row.status not in _CAPTURED:
        raise Conflict(f"{row.name} is {row.get_status_display().lower()}. An image is made of one that runs, is paused or is stopped.")
    boot = row.volumes.filter(is_boot=True).first()
    system = row.image
    return _of_disk(
        ctx,
        name=name,
        disk=boot.id if boot is not None else row.id,
        instance=row.id,
        size_gib=boot.size_gib if boot is not None else row.disk_gib,
        system=system,
        properties=properties,
        detail=f"of {row.name}",
    )


def of_volume(ctx: Context, volume_id: UUID, *, name: str, visibility: str = V.PRIVATE, disk_format: str = "") -> Image:
    """The volume as it is now, in use or not."""
    ctx.require("images.manage")
    row = volumes.get(ctx, volume_id)
    reason = volumes.why_not_now(row, "copy")
    if reason:
        raise Conflict(reason, resource=str(row.id))
    return _of_disk(
        ctx,
        name=name,
        disk=row.id,
        instance=row.instance_id,
        size_gib=row.size_gib,
        system=row.image,
        visibility=visibility,
        disk_format=disk_format,
        detail=f"of {row.name}",
    )


def _of_disk(ctx: Context, *, disk: UUID, instance: UUID | None, size_gib: int, system: Image | None, **more: Any) -> Image:
    """`system`: the image that the disk began as, whose hardware suits it."""
    source = {"disk": str(disk), "held": str(instance or "")}
    with transaction.atomic():
        image = begin(ctx, source=source, status=S.IMPORTING, min_disk_gib=size_gib, **({"visibility": V.PRIVATE} | more))
        if system is not None:
            # What the system needs, its copy needs.
            for name in (needs := ("os", "disk_bus", "nic_model", "min_memory_mib")):
                setattr(image, name, getattr(system, name))
            image.save(update_fields=needs)
    return image
