"""Roles by name, and who has which where: as OpenStack's clients see them.

Three roles are the house's own (reader, member, admin); each includes those before it. Administrators of the box hold `admin`, its
support `reader`, on the system and on the default domain. Whatever other name is wanted is a custom role: it can be granted in a
project and named in ACLs, and gives nothing by itself; but `ResellerAdmin` reaches every account of the object store.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from cloudbox.common import events
from cloudbox.common.errors import AlreadyExists, Conflict, Forbidden, Invalid, NotFound
from identity.context import Context
from identity.models import BoxRole, CustomGrant, CustomRole, Membership, Project, Role, User
from identity.names import clean_name, clean_text

_NAMESPACE = UUID("5d7c4f7e-8a64-4a4b-9a3a-4d9a5c1f3f10")
RESELLER_ADMIN = "ResellerAdmin"
# The others come with it: an admin is a member too.
INCLUDED = {Role.READER: [Role.READER], Role.MEMBER: [Role.MEMBER, Role.READER], Role.ADMIN: [Role.ADMIN, Role.MEMBER, Role.READER]}
_OF_BOX = {BoxRole.ADMIN: Role.ADMIN, BoxRole.SUPPORT: Role.READER}


@dataclass(frozen=True)
class NamedRole:
    """A role, the house's own or a custom one."""

    id: UUID
    name: str
    description: str = ""

    @property
    def is_own(self) -> bool:
        return self.name in Role.values


OWN = tuple(
    NamedRole(uuid.uuid5(_NAMESPACE, name), name, text)
    for name, text in (
        ("reader", "May look at everything of the project."),
        ("member", "May use the project: launch, store, change."),
        ("admin", "May also say who is in the project."),
    )
)
_BY_NAME = {role.name: role for role in OWN}


def own(name: str) -> NamedRole:
    return _BY_NAME[name]


def list(ctx: Context, *, name: str = "") -> Sequence[NamedRole]:
    """All roles; with a name, the one that is called so."""
    ctx.require("users.self")
    if not CustomRole.objects.filter(name=RESELLER_ADMIN).exists():
        CustomRole.objects.get_or_create(name=RESELLER_ADMIN, defaults={"description": "Reaches every account of the object store."})
    rows = [*OWN, *(_named(row) for row in CustomRole.objects.order_by("name"))]
    return [row for row in rows if not name or row.name.lower() == name.lower()]


def get(ctx: Context, id: UUID) -> NamedRole:
    for role in OWN:
        if role.id == id:
            return role
    ctx.require("users.self")
    row = CustomRole.objects.filter(id=id).first()
    if row is None:
        raise NotFound("There is no such role.")
    return _named(row)


def custom_ids(names: Sequence[str]) -> QuerySet[CustomRole, tuple[UUID, str]]:
    """(id, name) of the custom roles among the names."""
    return CustomRole.objects.filter(name__in=names).values_list("id", "name")


def _named(row: CustomRole) -> NamedRole:
    return NamedRole(row.id, row.name, row.description)


def create(ctx: Context, *, name: str, description: str = "") -> NamedRole:
    ctx.require("roles.manage")
    name = clean_name(name)
    if name.lower() in {*Role.values, RESELLER_ADMIN.lower()}:
        raise AlreadyExists(f"There is a role called {name}.", field="name")
    try:
        with transaction.atomic():
            row = CustomRole.objects.create(name=name, description=clean_text(description, field="description"))
            events.publish(ctx.actor, "create", "role", row)
    except IntegrityError as error:
        raise AlreadyExists(f"There is a role called {name}.", field="name") from error
    return _named(row)


def update(ctx: Context, id: UUID, *, name: str | None = None, description: str | None = None) -> NamedRole:
    row = _custom(ctx, id)
    row.name = row.name if name is None else clean_name(name)
    row.description = row.description if description is None else clean_text(description, field="description")
    if row.name.lower() in Role.values:
        raise AlreadyExists(f"There is a role called {name}.", field="name")
    try:
        with transaction.atomic():
            row.save()
            events.publish(ctx.actor, "update", "role", row)
    except IntegrityError as error:
        raise AlreadyExists(f"There is a role called {name}.", field="name") from error
    return _named(row)


def delete(ctx: Context, id: UUID) -> None:
    """Takes it from everybody who has it."""
    row = _custom(ctx, id)
    with transaction.atomic():
        events.publish(ctx.actor, "delete", "role", row)
        row.delete()


def _custom(ctx: Context, id: UUID) -> CustomRole:
    """A role that can be changed."""
    ctx.require("roles.manage")
    role = get(ctx, id)
    if role.is_own or role.name == RESELLER_ADMIN:
        raise Forbidden(f"{role.name} is a role of the house: it cannot be changed.")
    return CustomRole.objects.get(id=id)


# --- who has which where


@dataclass(frozen=True)
class Assignment:
    """A user's role in a project; without a project, on the system (the whole box)."""

    user: User
    role: NamedRole
    project: Project | None = None


def assignments(ctx: Context, *, user: UUID | None = None, project: UUID | None = None) -> Iterator[Assignment]:
    """Everybody's; those who only belong to a project may ask for its own, and everybody for their own."""
    if not ctx.may("users.list") and not (ctx.user is not None and user == ctx.user.id):
        if project is None or ctx.project is None or project != ctx.project.id:
            ctx.require("users.list")
        ctx.require("members.list")
    members = Membership.objects.select_related("user__domain", "project__domain").order_by("id").exclude(project__status="deleted")
    grants = CustomGrant.objects.select_related("user__domain", "project__domain", "role").order_by("id")
    if user is not None:
        members, grants = members.filter(user_id=user), grants.filter(user_id=user)
    if project is not None:
        members, grants = members.filter(project_id=project), grants.filter(project_id=project)
    yield from (Assignment(row.user, own(row.role), row.project) for row in members)
    yield from (Assignment(row.user, _named(row.role), row.project) for row in grants)
    if project is None:
        of_box = User.objects.exclude(box_role="").select_related("domain").order_by("email")
        rows: QuerySet[User] = of_box if user is None else of_box.filter(id=user)
        yield from (Assignment(row, own(of_box_role(row.box_role)), None) for row in rows)


def of_box_role(box_role: str) -> str:
    """The role that somebody of this box role has on the system."""
    return _OF_BOX[BoxRole(box_role)]


def in_project(user: User, project: Project) -> tuple[str | None, Sequence[str]]:
    """The user's role by membership, and the names of custom ones."""
    member = Membership.objects.filter(user=user, project=project).first()
    custom = CustomGrant.objects.filter(user=user, project=project).values_list("role__name", flat=True)
    return (member.role if member else None), [*custom]


def grant(ctx: Context, *, user: User, project: Project, role: NamedRole) -> None:
    """Of the house's own roles a member has one, the greatest that was granted. What is granted already stays so."""
    ctx = _inside(ctx, project)
    ctx.require("members.manage")
    if not role.is_own:
        ctx.require("roles.grant_custom")
        with transaction.atomic():
            if CustomGrant.objects.get_or_create(user=user, project=project, role_id=role.id)[1]:
                events.publish(ctx.actor, "set-role", "member", user, project_id=project.id, detail=f"also {role.name}")
        return
    with transaction.atomic():
        row = Membership.objects.select_for_update().filter(user=user, project=project).first()
        if row is None:
            Membership.objects.create(user=user, project=project, role=role.name)
            events.publish(ctx.actor, "add", "member", user, project_id=project.id, detail=f"as {role.name}")
        elif role.name not in INCLUDED[Role(row.role)]:
            row.role = role.name
            row.save(update_fields=["role"])
            events.publish(ctx.actor, "set-role", "member", user, project_id=project.id, detail=f"to {role.name}")


def has(*, user: User, project: Project, role: NamedRole) -> bool:
    """Is it the user's by itself or within a greater one?"""
    own_role, custom = in_project(user, project)
    return role.name in (INCLUDED[Role(own_role)] if own_role else []) or role.name in custom


def withdraw(ctx: Context, *, user: User, project: Project, role: NamedRole) -> None:
    """The role that the member has. One that is included in a greater one cannot be taken away alone."""
    ctx = _inside(ctx, project)
    ctx.require("members.manage")
    with transaction.atomic():
        if role.is_own:
            row = Membership.objects.select_for_update().filter(user=user, project=project).first()
            if row is None or row.role != role.name:
                raise NotFound(f"{user.login_name} has not been given the role {role.name} here.")
            if row.role == Role.ADMIN and not ctx.box_role and not _another_admin(row):
                raise Conflict(f"{user.login_name} is the last admin of this project. Make somebody else an admin first.")
            row.delete()
            events.publish(ctx.actor, "remove", "member", user, project_id=project.id)
            return
        ctx.require("roles.grant_custom")
        if not CustomGrant.objects.filter(user=user, project=project, role_id=role.id).delete()[0]:
            raise NotFound(f"{user.login_name} has not been given the role {role.name} here.")
        events.publish(ctx.actor, "set-role", "member", user, project_id=project.id, detail=f"no longer {role.name}")


def _another_admin(row: Membership) -> bool:
    return Membership.objects.filter(project=row.project, role=Role.ADMIN).exclude(pk=row.pk).exists()


def _inside(ctx: Context, project: Project) -> Context:
    """The same person about that project: their role counts where it was given."""
    same = ctx.project is not None and ctx.project.id == project.id
    return replace(ctx, project=project, role=ctx.role if same else None)


def set_box_role(ctx: Context, user: User, box_role: str) -> None:
    """Make somebody an administrator or the support of the box, or neither. Nobody takes it from themselves: one must be left."""
    ctx.require("users.manage")
    if box_role not in BoxRole.values:
        raise Invalid("A role of the box is empty, support or admin.", field="box_role")
    if ctx.user is not None and user.id == ctx.user.id and box_role != user.box_role:
        raise Conflict("You cannot change your own role on the box. Ask another administrator.")
    if user.box_role == box_role:
        return
    with transaction.atomic():
        User.objects.filter(id=user.id).update(box_role=box_role)
        user.box_role = box_role
        events.publish(ctx.actor, "set-role", "user", user, detail=f"box role {box_role or 'none'}")
