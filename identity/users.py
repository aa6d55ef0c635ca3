"""The people of the box."""

from __future__ import annotations

import secrets
from uuid import UUID

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet

from cloudbox.common import events
from cloudbox.common.errors import AlreadyExists, Conflict, Invalid, NotFound
from identity.context import Context
from identity.models import BoxRole, User
from identity.names import clean_text
from identity.projects import default_domain

EMAIL_LENGTH_MAX = 254  # as RFC 5321 has it, and our column


def list(ctx: Context, *, q: str = "") -> QuerySet[User]:
    ctx.require("users.list")
    rows = User.objects.order_by("email").prefetch_related("memberships__project")
    return rows.filter(Q(email__icontains=q) | Q(name__icontains=q)) if q else rows


def get(ctx: Context, id: UUID) -> User:
    ctx.require("users.list")
    user = User.objects.filter(id=id).first()
    if user is None:
        raise NotFound("There is no such user.")
    return user


def new_password() -> str:
    """A password that can be read aloud: 24 letters and digits in groups, 119 bits."""
    letters = "abcdefghijkmnpqrstuvwxyz23456789"
    return "-".join("".join(secrets.choice(letters) for _ in range(6)) for _ in range(4))


def create(ctx: Context, *, email: str, name: str = "", password: str = "", box_role: str = BoxRole.NONE) -> tuple[User, str]:
    """A new account, and its password: the given one, or a generated one."""
    ctx.require("users.manage")
    email = email.strip().lower()
    try:
        validate_email(email)
    except ValidationError as error:
        raise Invalid("That is not an e-mail address.", field="email") from error
    if len(email) > EMAIL_LENGTH_MAX:
        raise Invalid(f"An e-mail address has at most {EMAIL_LENGTH_MAX} characters.", field="email")
    if box_role not in BoxRole.values:
        raise Invalid("A role of the box is empty, support or admin.", field="box_role")
    name = clean_text(name, field="name", length_max=120)
    password = check_password(password, email=email) if password else new_password()
    try:
        with transaction.atomic():
            user = User.objects.create_user(email, password, name=name, box_role=box_role, domain=default_domain())
            events.publish(ctx.actor, "create", "user", user, detail=f"box role {box_role}" if box_role else "")
    except IntegrityError as error:
        raise AlreadyExists(f"{email} has an account already.", field="email") from error
    return user, password


def check_password(password: str, *, email: str) -> str:
    try:
        validate_password(password, User(email=email))
    except ValidationError as error:
        raise Invalid(" ".join(error.messages), field="password") from error
    return password


def reset_password(ctx: Context, user: User, password: str = "") -> str:
    """A new password, from the command line or an administrator; ends every session of the user."""
    ctx.require("users.manage")
    password = check_password(password, email=user.email) if password else new_password()
    with transaction.atomic():
        user.set_password(password)
        user.save(update_fields=["password"])
        events.publish(ctx.actor, "reset-password", "user", user)
    return password


def suspend(ctx: Context, user: User) -> None:
    """No more sign-in; sessions and tokens stop to work at once."""
    if ctx.user is not None and user.id == ctx.user.id:
        raise Conflict("You cannot suspend yourself.")
    _set_active(ctx, user, active=False, verb="suspend")


def resume(ctx: Context, user: User) -> None:
    _set_active(ctx, user, active=True, verb="resume")


def _set_active(ctx: Context, user: User, *, active: bool, verb: str) -> None:
    ctx.require("users.manage")
    with transaction.atomic():
        User.objects.filter(id=user.id).update(is_active=active)
        user.is_active = active
        events.publish(ctx.actor, verb, "user", user)


def update_me(ctx: Context, *, name: str | None = None, theme: str | None = None, single_keys: bool | None = None) -> User:
    """What a person may change about themselves."""
    ctx.require("users.self")
    assert ctx.user is not None
    if name is not None:
        ctx.user.name = clean_text(name, field="name", length_max=120)
    if theme is not None:
        if theme not in ("", "light", "dark"):
            raise Invalid("A theme is light, dark, or empty for that of the system.", field="theme")
        ctx.user.theme = theme
    if single_keys is not None:
        ctx.user.single_keys = single_keys
    with transaction.atomic():
        ctx.user.save(update_fields=["name", "theme", "single_keys"])
        events.publish(ctx.actor, "update", "user", ctx.user)
    return ctx.user
