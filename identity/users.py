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
from cloudbox.common.errors import AlreadyExists, Conflict, Forbidden, Invalid, NotFound
from identity.context import Context
from identity.models import BoxRole, Domain, Project, User
from identity.names import clean_name, clean_text, slug_of
from identity.projects import default_domain

EMAIL_LENGTH_MAX = 254  # as RFC 5321 has it, and our column
LOGIN_LENGTH_MAX = 255  # as Keystone's names of users


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


def find(*, login: str, domain: Domain | None = None) -> User | None:
    """Who signs in under this name (or e-mail) in the domain; for doors that are about to check a password."""
    rows = User.objects.filter(Q(login__iexact=login) | Q(email__iexact=login))
    if domain is not None:
        alone = Q(domain=domain) if domain.id != default_domain().id else Q(domain=domain) | Q(domain=None)
        rows = rows.filter(alone)
    # A login goes before another's e-mail, which `create` keeps from being the same anyway.
    return sorted(rows[:4], key=lambda user: user.login.lower() != login.lower())[0] if rows else None


def create(
    ctx: Context,
    *,
    email: str = "",
    name: str = "",
    password: str = "",
    box_role: str = BoxRole.NONE,
    login: str = "",
    domain: Domain | None = None,
    description: str = "",
    default_project: Project | None = None,
    is_active: bool = True,
) -> tuple[User, str]:
    """A new account, and its password: the given one, or a generated one.

    With a `login` it has that name for OpenStack's clients, and may go without an e-mail.
    """
    ctx.require("users.manage")
    domain = domain or default_domain()
    login = _free_login(login, domain) if login else ""
    if login and not email:
        # A robot. RFC 2606 keeps .invalid from ever being delivered to.
        email = f"{slug_of(login) or 'user'}-{secrets.token_hex(4)}@users.invalid"
        name = name or login[:120]
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
            user = User.objects.create_user(
                email,
                password,
                name=name,
                box_role=box_role,
                domain=domain,
                login=login,
                description=clean_text(description, field="description"),
                default_project=default_project,
                is_active=is_active,
            )
            events.publish(ctx.actor, "create", "user", user, detail=f"box role {box_role}" if box_role else "")
    except IntegrityError as error:
        raise AlreadyExists(f"{email} has an account already.", field="email") from error
    return user, password


def _free_login(login: str, domain: Domain, *, but: User | None = None) -> str:
    login = clean_name(login, length_max=LOGIN_LENGTH_MAX)
    other = find(login=login, domain=domain)
    if other is not None and other != but:
        raise AlreadyExists(f"There is a user called {login} in the domain {domain.name}.", field="name")
    return login


def update(
    ctx: Context,
    user: User,
    *,
    login: str | None = None,
    email: str | None = None,
    description: str | None = None,
    default_project: Project | None = None,
) -> User:
    """What an administrator may change about an account; what is None stays."""
    ctx.require("users.manage")
    if login is not None and login.lower() != user.login_name.lower():
        user.login = _free_login(login, user.domain or default_domain(), but=user)
    if email is not None:
        try:
            validate_email(email)
        except ValidationError as error:
            raise Invalid("That is not an e-mail address.", field="email") from error
        user.email = email.strip().lower()
    if description is not None:
        user.description = clean_text(description, field="description")
    user.default_project = default_project or user.default_project
    try:
        with transaction.atomic():
            user.save(update_fields=["login", "email", "description", "default_project"])
            events.publish(ctx.actor, "update", "user", user)
    except IntegrityError as error:
        raise AlreadyExists(f"{user.email} has an account already.", field="email") from error
    return user


def delete(ctx: Context, user: User) -> None:
    """The account, its credentials and memberships. What it made stays with the projects."""
    ctx.require("users.manage")
    if ctx.user is not None and user.id == ctx.user.id:
        raise Conflict("You cannot delete yourself.")
    with transaction.atomic():
        events.publish(ctx.actor, "delete", "user", user)
        user.delete()


def change_password(ctx: Context, user: User, password: str) -> None:
    """One's own, after the present one was shown; ends every session and voids every token of before."""
    ctx.require("users.self")
    if ctx.user is None or ctx.user.id != user.id:
        raise Forbidden("Only users themselves change their password; an administrator can reset it.")
    password = check_password(password, email=user.email)
    if user.check_password(password):
        raise Invalid("That is the present password. Choose another.", field="password")
    with transaction.atomic():
        user.set_password(password)
        user.save(update_fields=["password"])
        events.publish(ctx.actor, "change-password", "user", user)


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
