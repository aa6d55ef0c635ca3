"""Snippets of user data: the project's own, and those that the box brings."""

from __future__ import annotations

from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from cloudbox.common import events
from cloudbox.common.errors import AlreadyExists, Conflict, Invalid, NotFound, TooLarge
from compute import cloud_config
from compute.cloud_config import Verdict
from compute.models import Snippet
from compute.shipped_snippets import BY_ID, SNIPPETS, ShippedSnippet
from identity.context import Context
from identity.models import Project
from identity.names import clean_name, clean_text

PER_PROJECT_MAX = 100


def list(ctx: Context) -> QuerySet[Snippet]:
    """The project's own."""
    ctx.require("snippets.list")
    return Snippet.objects.filter(project=ctx.project).select_related("user").order_by("name")


def shipped(ctx: Context) -> tuple[ShippedSnippet, ...]:
    """Those that the box brings; nobody changes them."""
    ctx.require("snippets.list")
    return SNIPPETS


def get(ctx: Context, id: UUID) -> Snippet | ShippedSnippet:
    row = list(ctx).filter(id=id).first() or BY_ID.get(id)
    if row is None:
        raise NotFound(f"There is no snippet {id}.", resource=str(id))
    return row


def check(ctx: Context, content: str | bytes) -> Verdict:
    """What cloud-init would make of a text."""
    ctx.require("snippets.list")
    return cloud_config.check(content)


def create(ctx: Context, *, name: str, content: str, description: str = "", anyway: bool = False) -> Snippet:
    """Keep a text under a name. `anyway`: even if cloud-init would not do what it says."""
    ctx.require("snippets.manage")
    fields = {"name": clean_name(name), "description": clean_text(description, field="description"), "content": _clean(content, anyway)}
    try:
        with transaction.atomic():
            project = Project.objects.select_for_update(of=("self",), no_key=True).get(id=ctx.needed_project.id)
            if Snippet.objects.filter(project=project).count() >= PER_PROJECT_MAX:
                raise Conflict(f"A project keeps at most {PER_PROJECT_MAX} snippets. Delete one first.")
            row = Snippet.objects.create(project=project, user=ctx.needed_user, **fields)
            events.publish(ctx.actor, "create", "snippet", row)
    except IntegrityError as error:
        raise AlreadyExists(f"There is a snippet {name} in this project.", field="name") from error
    return row


def update(
    ctx: Context, id: UUID, *, name: str | None = None, content: str | None = None, description: str | None = None, anyway: bool = False
) -> Snippet:
    """Change what is given. Instances that were launched with it stay as they are."""
    ctx.require("snippets.manage")
    asked = {
        "name": None if name is None else clean_name(name),
        "description": None if description is None else clean_text(description, field="description"),
        "content": None if content is None else _clean(content, anyway),
    }
    try:
        with transaction.atomic():
            row = _own(ctx, id)
            changed = [key for key, value in asked.items() if value is not None and value != getattr(row, key)]
            for key in changed:
                setattr(row, key, asked[key])
            if changed:
                row.save(update_fields=[*changed, "changed_at"])
                events.publish(ctx.actor, "update", "snippet", row, detail=", ".join(changed))
    except IntegrityError as error:
        raise AlreadyExists(f"There is a snippet {name} in this project.", field="name") from error
    return row


def delete(ctx: Context, id: UUID) -> None:
    ctx.require("snippets.manage")
    with transaction.atomic():
        row = _own(ctx, id)
        events.publish(ctx.actor, "delete", "snippet", row)
        row.delete()


def _own(ctx: Context, id: UUID) -> Snippet:
    row = get(ctx, id)
    if isinstance(row, ShippedSnippet):
        raise Conflict(f"{row.name} comes with the box, and stays as it is. Copy it into the project, and change the copy.")
    return Snippet.objects.select_for_update(of=("self",)).get(id=id)


def _clean(content: str, anyway: bool) -> str:
    # Browsers send CR LF; a script with that in its first line does not run.
    text = content.replace("\r\n", "\n")
    if not text.strip():
        raise Invalid("Write what is to be done at the first boot.", field="content")
    if "\x00" in text:
        raise Invalid("A text has no NUL characters.", field="content")
    if len(text.encode()) > cloud_config.BYTES_MAX:
        raise TooLarge(f"The text has {len(text.encode())} bytes; {cloud_config.BYTES_MAX} is the most.", field="content")
    verdict = cloud_config.check(text)
    if verdict.errors and not anyway:
        raise Invalid(verdict.sentence(), field="content")
    return text
