"""Taking an image away: as a file of the format that others read, into a bucket of the project."""

from __future__ import annotations

from uuid import UUID, uuid4

from django.db import transaction
from django.db.models import QuerySet

from cloudbox.common import events, jobs
from cloudbox.common.errors import Conflict, Invalid, NotFound
from compute import images
from compute.models import Image, ImageExport
from identity.context import Context
from identity.names import slug_of

S, F = ImageExport.Status, ImageExport.Format
PER_PROJECT_MAX = 8  # under way
ENDINGS: dict[str, str] = {F.QCOW2: "qcow2", F.RAW: "raw", F.VMDK: "vmdk", F.VHD: "vhd", F.VHDX: "vhdx", F.OVA: "ova"}
# No VHD is larger: its header counts to there.
VHD_BYTES_MAX = 2040 * 2**30


def list(ctx: Context, image_id: UUID | None = None) -> QuerySet[ImageExport]:
    """The project's, the newest first."""
    ctx.require("images.list")
    rows = ImageExport.objects.filter(project=ctx.project).select_related("image").order_by("-created_at")
    return rows if image_id is None else rows.filter(image_id=image_id)


def get(ctx: Context, id: UUID) -> ImageExport:
    found = list(ctx).filter(id=id).first()
    if found is None:
        raise NotFound(f"There is no export {id}.", field="export_id")
    return found


def create(ctx: Context, image_id: UUID, *, format: str, bucket: str) -> ImageExport:
    """A job converts it and puts it into the bucket, under a name that tells the image's and is nobody else's."""
    ctx.require("images.manage")
    if format not in F.values:
        raise Invalid(f"Choose one of {', '.join(F.values)}.", field="format")
    if not bucket or len(bucket) > 63:
        raise Invalid("Name the bucket that it is to go to.", field="bucket")
    with transaction.atomic():
        image = images.get(ctx, image_id, to_use=True)
        if image.status not in (Image.Status.READY, Image.Status.DEACTIVATED):
            raise Conflict(f"{image.name} is {image.get_status_display().lower()}. Wait until it is ready.")
        if format == F.VHD and image.virtual_bytes > VHD_BYTES_MAX:
            raise Invalid("No VHD is larger than 2040 GiB. Take VHDX.", field="format")
        images.hold(image)
        if ImageExport.objects.filter(project=ctx.project, status=S.EXPORTING).count() >= PER_PROJECT_MAX:
            raise Conflict(f"{PER_PROJECT_MAX} exports of this project are under way. Wait until one is done.")
        id = uuid4()
        key = f"{slug_of(image.name, length_max=60) or 'image'}-{id.hex[:8]}.{ENDINGS[format]}"
        made = ImageExport.objects.create(
            id=id, image=image, project=ctx.needed_project, user=ctx.needed_user, format=format, bucket=bucket, key=key
        )
        events.publish(ctx.actor, "export", "image", image, project_id=ctx.project_id, detail=f"as {made.get_format_display()} to {bucket}")
        jobs.enqueue("export-image", made.id, actor=ctx.actor, project_id=ctx.project_id)
    return made


def delete(ctx: Context, id: UUID) -> None:
    """End one that is under way: nothing of it stays. One that is done is only forgotten: its file stays in the bucket."""
    ctx.require("images.manage")
    with transaction.atomic():
        row = get(ctx, id)
        ImageExport.objects.filter(id=row.id).delete()
        if row.status == S.EXPORTING:
            detail = f"as {row.get_format_display()} to {row.bucket}"
            events.publish(ctx.actor, "cancel-export", "image", row.image, project_id=ctx.project_id, detail=detail)
