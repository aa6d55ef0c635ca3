"""Projects and their members."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Count, Q, QuerySet

from cloudbox.common import events
from cloudbox.common.errors import AlreadyExists, Conflict, Invalid, NotFound
from identity import quotas
from identity.context import SYSTEM, Context
from identity.models import Domain, Membership, Project, Role, User
from identity.names import clean_name, clean_text, slug_of

# What else a new project needs (its default security group, say): other apps register here.
on_create: list[Callable[[Project], None]] = []
# What a project still holds, in words ("2 buckets"); other apps register here. A project that holds something is not deleted.
holdings: list[Callable[[Project], list[str]]] = []


# Resources that keep a project from being deleted.
_KEEPS = ("instances", "networks", "routers", "floating_ips", "load_balancers", "ports", "disk_gib")


# The project of the box itself, which nobody is a member of: it holds the bucket of images.
OWN_SLUG = "cloudbox-system"


def default_domain() -> Domain:
    return Domain.objects.get_or_create(name="default")[0]


def of_the_box() -> Project:
    """What the box keeps for itself in its own object store belongs to this; made when it is first asked for, without limits."""
    there = Project.objects.filter(slug=OWN_SLUG).first()
    if there is not None:
        return there
    with transaction.atomic():
        project = create(SYSTEM, name="Cloudbox system", slug=OWN_SLUG, description="Of the box itself: the files of images")
        quotas.set_limits(SYSTEM, project, dict.fromkeys(quotas.RESOURCES))
    return project


def list(ctx: Context, *, all: bool = False, q: str = "") -> QuerySet[Project]:
    """My projects; with `all`, every one of the box."""
    rows = Project.objects.exclude(status=Project.Status.DELETED).order_by("name")
    if all:
        ctx.require("projects.list_all")
        rows = rows.annotate(member_count=Count("memberships"))
    else:
        rows = rows.filter(memberships__user=ctx.user)
    return rows.filter(Q(name__icontains=q) | Q(slug__icontains=q)) if q else rows


def get(ctx: Context, key: str | UUID) -> Project:
    """By slug or id; strangers learn nothing."""
    rows = Project.objects.exclude(status=Project.Status.DELETED)
    try:
        rows = rows.filter(id=UUID(str(key)))
    except ValueError:
        rows = rows.filter(slug=str(key))
    if not ctx.box_role:
        rows = rows.filter(memberships__user=ctx.user)
    project = rows.first()
    if project is None:
        raise NotFound(f"There is no project {key}.")
    return project


def create(
    ctx: Context, *, name: str, slug: str = "", owner_email: str = "", description: str = "", domain: Domain | None = None
) -> Project:
    """A new project with quotas and defaults; the owner, if named, becomes its admin."""
    ctx.require("projects.create")
    name = clean_name(name)
    slug = slug_of(slug or name)
    domain = domain or default_domain()
    if not slug:
        raise Invalid("The name needs at least one letter or digit of the Latin alphabet, or give a short name.", field="slug")
    owner = None
    if owner_email:
        owner = User.objects.filter(email__iexact=owner_email.strip()).first()
        if owner is None:
            raise NotFound(f"Nobody here has the e-mail {owner_email}.", field="owner_email")
    try:
        with transaction.atomic():
            project = Project.objects.create(domain=domain, name=name, slug=slug, description=clean_text(description, field="description"))
            quotas.open_for(project)
            for prepare in on_create:
                prepare(project)
            if owner is not None:
                Membership.objects.create(user=owner, project=project, role=Role.ADMIN)
            events.publish(ctx.actor, "create", "project", project, project_id=project.id)
    except IntegrityError as error:
        raise AlreadyExists(f"The name {name} or the short name {slug} is taken by another project.", field="name") from error
    return project


def update(ctx: Context, project: Project, *, name: str | None = None, description: str | None = None) -> Project:
    ctx.require("projects.update")
    if name is not None:
        project.name = clean_name(name)
    if description is not None:
        project.description = clean_text(description, field="description")
    try:
        with transaction.atomic():
            project.save(update_fields=["name", "description"])
            events.publish(ctx.actor, "update", "project", project, project_id=project.id)
    except IntegrityError as error:
        raise AlreadyExists(f"The name {name} is taken by another project.", field="name") from error
    return project


def suspend(ctx: Context, project: Project) -> None:
    """Nothing in it can be changed until it is resumed; what runs goes on."""
    if project.slug == OWN_SLUG:
        raise Conflict("This project is the box’s own: images of all projects lie in it. It cannot be suspended.")
    _set_status(ctx, project, Project.Status.SUSPENDED, "suspend")


def resume(ctx: Context, project: Project) -> None:
    _set_status(ctx, project, Project.Status.ACTIVE, "resume")


def delete(ctx: Context, project: Project) -> None:
    """An empty project. Its row stays for the books, under another name; its members and credentials go."""
    ctx.require("projects.delete")
    left = [text for of in holdings for text in of(project)]
    counted: dict[str, int] = {}
    for count in quotas.counters:
        counted |= count(project.id)
    # Every project is made with one security group, and keys are nobody's data.
    left += [f"{number} {quotas.RESOURCES[name].noun}" for name, number in counted.items() if number and name in _KEEPS]
    if left:
        raise Conflict(f"The project {project.name} still holds {', '.join(left)}. Delete these first.")
    with transaction.atomic():
        events.publish(ctx.actor, "delete", "project", project, project_id=project.id)
        for rows in (project.memberships, project.custom_grants, project.api_tokens, project.access_keys):
            rows.all().delete()
        project.status = Project.Status.DELETED
        project.slug, project.name = f"gone-{project.id.hex}", f"{project.name[:40]} ({project.id.hex[:12]})"
        project.save(update_fields=["status", "slug", "name"])


def free_slug(name: str) -> str:
    """A short name that no project has, near to the name; for doors that know no short names."""
    slug = slug_of(name) or "project"
    if not Project.objects.filter(slug=slug).exists():
        return slug
    return f"{slug[:33].rstrip('-')}-{secrets.token_hex(3)}"


def _set_status(ctx: Context, project: Project, status: str, verb: str) -> None:
    ctx.require("projects.suspend")
    with transaction.atomic():
        Project.objects.filter(id=project.id).update(status=status)
        project.status = status
        events.publish(ctx.actor, verb, "project", project, project_id=project.id)


def members(ctx: Context) -> QuerySet[Membership]:
    ctx.require("members.list")
    return Membership.objects.filter(project=ctx.project).select_related("user").order_by("user__email")


def add_member(ctx: Context, *, email: str, role: str = Role.MEMBER) -> Membership:
    """Bring somebody who has an account here into the project."""
    ctx.require("members.manage")
    user = User.objects.filter(email__iexact=email.strip(), is_active=True).first()
    if user is None:
        raise NotFound(f"Nobody here has the e-mail {email.strip()}. Ask your provider to create the account first.", field="email")
    try:
        with transaction.atomic():
            row = Membership.objects.create(user=user, project=ctx.needed_project, role=_role(role))
            events.publish(ctx.actor, "add", "member", user, project_id=ctx.project_id, detail=f"as {role}")
    except IntegrityError as error:
        raise AlreadyExists(f"{user.email} is a member already.", field="email") from error
    return row


def set_role(ctx: Context, user_id: UUID, role: str) -> None:
    ctx.require("members.manage")
    with transaction.atomic():
        row = _member(ctx, user_id)
        if row.role == Role.ADMIN and role != Role.ADMIN:
            _keep_an_admin(ctx, row)
        row.role = _role(role)
        row.save(update_fields=["role"])
        events.publish(ctx.actor, "set-role", "member", row.user, project_id=ctx.project_id, detail=f"to {role}")


def remove_member(ctx: Context, user_id: UUID) -> None:
    ctx.require("members.manage")
    with transaction.atomic():
        row = _member(ctx, user_id)
        if row.role == Role.ADMIN:
            _keep_an_admin(ctx, row)
        row.delete()
        events.publish(ctx.actor, "remove", "member", row.user, project_id=ctx.project_id)


def _member(ctx: Context, user_id: UUID) -> Membership:
    rows = Membership.objects.select_for_update().filter(project=ctx.project).select_related("user")
    row = rows.filter(user_id=user_id).first()
    if row is None:
        raise NotFound("That person is not a member of this project.")
    return row


def _keep_an_admin(ctx: Context, row: Membership) -> None:
    others = Membership.objects.filter(project=ctx.project, role=Role.ADMIN).exclude(pk=row.pk)
    if not others.exists():
        raise Conflict(f"{row.user.email} is the last admin of this project. Make somebody else an admin first.")


def _role(role: str) -> str:
    if role not in Role.values:
        raise Invalid(f"A role is one of {', '.join(Role.values)}.", field="role")
    return role
