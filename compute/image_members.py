"""Who else may use an image: projects that its owner offers it to, and what they say to that. The words are those of Glance's members."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from cloudbox.common import events
from cloudbox.common.errors import AlreadyExists, Conflict, NotFound
from compute import images
from compute.models import Image, ImageMember
from identity.context import Context
from identity.models import Project

S, V = ImageMember.Status, Image.Visibility
PER_IMAGE_MAX = 128


def list(ctx: Context, image_id: UUID) -> QuerySet[ImageMember]:
    """To its owner all of them; to a member itself."""
    image = images.get(ctx, image_id)
    rows = ImageMember.objects.filter(image=image).select_related("project")
    return rows if image.project_id == ctx.project_id else rows.filter(project=ctx.project)


def offer(ctx: Context, image_id: UUID, *, project_id: UUID) -> ImageMember:
    """Offer it to another project, named by its ID; a private image is shared from then on.

    Raises Conflict for an image that cannot be shared, AlreadyExists if it was offered there before.
    """
    with transaction.atomic():
        image = _locked(ctx, image_id)
        if image.visibility not in (V.PRIVATE, V.SHARED):
            raise Conflict(f"{image.name} is for every project already.")
        project = Project.objects.filter(id=project_id).first()
        if project is None:
            raise NotFound(f"There is no project {project_id}. Its people find its ID in its settings.", field="project_id")
        if project.id == image.project_id:
            raise Conflict(f"{image.name} belongs to this project.", field="project_id")
        if ImageMember.objects.filter(image=image, project=project).exists():
            raise AlreadyExists(f"{image.name} was offered to that project before.", field="project_id")
        if ImageMember.objects.filter(image=image).count() >= PER_IMAGE_MAX:
            raise Conflict(f"{image.name} is shared with {PER_IMAGE_MAX} projects, and can be with no more.")
        member = ImageMember.objects.create(image=image, project=project)
        Image.objects.filter(id=image.id).update(visibility=V.SHARED)
        events.publish(ctx.actor, "share", "image", image, detail=f"with project {project.id}")
        events.touch("image", image.id, project.id)
    return member


def withdraw(ctx: Context, image_id: UUID, *, project_id: UUID) -> None:
    """That project can launch nothing new from it; what it launched keeps running."""
    with transaction.atomic():
        image = _locked(ctx, image_id)
        gone, _ = ImageMember.objects.filter(image=image, project_id=project_id).delete()
        if not gone:
            raise NotFound(f"{image.name} was not offered to a project {project_id}.", field="project_id")
        events.publish(ctx.actor, "withdraw", "image", image, detail=f"from project {project_id}")
        events.touch("image", image.id, project_id)


def accept(ctx: Context, image_id: UUID) -> ImageMember:
    """It is in this project's list from now on."""
    return _say(ctx, image_id, S.ACCEPTED, "accept")


def reject(ctx: Context, image_id: UUID) -> ImageMember:
    """It is not in this project's list; who changes their mind can accept it while it is offered."""
    return _say(ctx, image_id, S.REJECTED, "reject")


def _say(ctx: Context, image_id: UUID, status: str, verb: str) -> ImageMember:
    ctx.require("images.manage")
    image = images.get(ctx, image_id)
    with transaction.atomic():
        rows = ImageMember.objects.select_for_update(of=("self",)).filter(image=image, image__visibility=V.SHARED, project=ctx.project)
        member = rows.first()
        if member is None:
            raise Conflict(f"{image.name} was not offered to this project.")
        if member.status != status:
            member.status = status
            member.save(update_fields=["status", "changed_at"])
            events.publish(ctx.actor, verb, "image", image, project_id=ctx.project_id)
            if image.project_id is not None:
                events.touch("image", image.id, image.project_id)
    return member


def _locked(ctx: Context, id: UUID) -> Image:
    """Of this project, to be shared by it."""
    ctx.require("images.manage")
    image = images.get(ctx, id)
    if image.project_id is None or image.project_id != ctx.project_id:
        owner = "the catalogue of the box" if image.project_id is None else "another project"
        raise Conflict(f"{image.name} belongs to {owner}. Only its owner shares it.")
    return Image.objects.select_for_update(of=("self",)).get(id=id)
