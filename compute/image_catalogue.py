"""The catalogue's shopping list: cloud images by address, with the digest that they must have. Fetching one makes a public image of it.

What was fetched is there without the address, and stays when its entry goes.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from cloudbox.common import events, jobs, outbound
from cloudbox.common.errors import AlreadyExists, Conflict, Invalid, NotFound
from compute import images
from compute.models import CatalogueEntry, Image
from identity.context import Context
from identity.names import clean_name, clean_text

S = Image.Status
ENTRIES_MAX = 500
ARCHITECTURE = "x86_64"  # that this box runs
FIELDS = (
    "name", "version", "os", "architecture", "description", "url", "checksum", "checksums_url", "min_disk_gib", "min_memory_mib",
    "disk_bus", "nic_model",
)  # fmt: skip


def list(ctx: Context) -> QuerySet[CatalogueEntry]:
    ctx.require("box.look")
    return CatalogueEntry.objects.order_by("name", "version", "architecture")


def get(ctx: Context, id: UUID) -> CatalogueEntry:
    found = list(ctx).filter(id=id).first()
    if found is None:
        raise NotFound(f"There is no entry {id} in the catalogue.", field="entry_id")
    return found


def newest(entries: Any) -> dict[UUID, Image]:
    """Of each entry the image that was asked for last, whatever became of it; those that were deleted are left out."""
    rows = Image.objects.filter(entry__in=[each.id for each in entries]).exclude(status=S.DELETED).order_by("created_at")
    return {row.entry_id: row for row in rows if row.entry_id is not None}


def create(ctx: Context, **fields: Any) -> CatalogueEntry:
    """`fields` of FIELDS; name, url and one of checksum (SHA-256 or SHA-512) and checksums_url (a list of them) are needed."""
    ctx.require("images.catalogue")
    row = CatalogueEntry()
    _fill(row, fields)
    if CatalogueEntry.objects.count() >= ENTRIES_MAX:
        raise Conflict(f"The catalogue has {ENTRIES_MAX} entries, and can have no more. Delete one first.")
    return _save(ctx, row, "create")


def update(ctx: Context, id: UUID, **fields: Any) -> CatalogueEntry:
    """What is left out stays. Images that were fetched do not change."""
    ctx.require("images.catalogue")
    with transaction.atomic():
        row = CatalogueEntry.objects.select_for_update().get(id=get(ctx, id).id)
        _fill(row, fields)
        return _save(ctx, row, "update")


def _fill(row: CatalogueEntry, fields: dict[str, Any]) -> None:
    assert fields.keys() <= set(FIELDS), fields
    for field, value in fields.items():
        setattr(row, field, value.strip() if isinstance(value, str) else value)
    row.name, row.version = clean_name(row.name), clean_text(row.version, field="version", length_max=32)
    row.os = clean_text(row.os, field="os", length_max=32)
    row.description = clean_text(row.description, field="description")
    row.architecture = clean_text(row.architecture, field="architecture", length_max=16) or ARCHITECTURE
    row.checksum = row.checksum.lower()
    images.check_choice(Image.DiskBus, row.disk_bus, "disk_bus")
    images.check_choice(Image.NicModel, row.nic_model, "nic_model")
    images.check_amounts(row.min_disk_gib, row.min_memory_mib)
    _check_address(row.url, "url")
    if row.checksums_url:
        _check_address(row.checksums_url, "checksums_url")
    if row.checksum and not images.CHECKSUM.fullmatch(row.checksum):
        raise Invalid("A checksum is SHA-256 or SHA-512: 64 or 128 letters and digits.", field="checksum")
    if bool(row.checksum) == bool(row.checksums_url):
        raise Invalid("Write its checksum, or the address of its publisher's list of them: one of the two.", field="checksum")


def _check_address(url: str, field: str) -> None:
    try:
        outbound.parse(url)
    except Invalid as error:
        raise Invalid(error.message, field=field) from error


def _save(ctx: Context, row: CatalogueEntry, verb: str) -> CatalogueEntry:
    try:
        with transaction.atomic():
            row.save()
            events.publish(ctx.actor, verb, "catalogue-entry", row)
    except IntegrityError as error:
        raise AlreadyExists(f"The catalogue has {row} already.", field="name") from error
    return row


def delete(ctx: Context, id: UUID) -> None:
    """The entry only: images that were fetched stay."""
    ctx.require("images.catalogue")
    with transaction.atomic():
        row = get(ctx, id)
        events.publish(ctx.actor, "delete", "catalogue-entry", row)
        row.delete()


def why_not_fetch(ctx: Context, row: CatalogueEntry) -> str:
    """Empty: it can be fetched."""
    if reason := ctx.why_not("images.catalogue"):
        return reason
    if row.architecture != ARCHITECTURE:
        return f"{row} is for {row.architecture}; this box runs {ARCHITECTURE}."
    latest = newest([row]).get(row.id)
    if latest is not None and latest.status == S.IMPORTING:
        return f"{row} is on its way: {latest.progress} %."
    if latest is not None and latest.status == S.READY and row.checksum and latest.source.get("checksum") == row.checksum:
        return f"{row} is there already, with this checksum."
    return ""


def fetch(ctx: Context, id: UUID) -> Image:
    """A job fetches it, compares it with the digest, and makes it public; older ones of the entry are deactivated then."""
    ctx.require("images.catalogue")
    with transaction.atomic():
        row = CatalogueEntry.objects.select_for_update().get(id=get(ctx, id).id)
        if reason := why_not_fetch(ctx, row):
            raise Conflict(reason)
        image = Image.objects.create(
            name=str(row)[:255],
            description=row.description,
            os=row.os,
            status=S.IMPORTING,
            visibility=Image.Visibility.PUBLIC,
            min_disk_gib=row.min_disk_gib,
            min_memory_mib=row.min_memory_mib,
            disk_bus=row.disk_bus,
            nic_model=row.nic_model,
            entry=row,
            source={"url": row.url} | ({"checksum": row.checksum} if row.checksum else {"checksums_url": row.checksums_url}),
        )
        events.publish(ctx.actor, "fetch", "catalogue-entry", row, detail=f"from {outbound.parse(row.url).host}"[:255])
        jobs.enqueue("import-image", image.id, actor=ctx.actor, project_id=None)
    return image
