"""What programs sign in with: API tokens and access keys. Secrets are told once, at creation."""

from __future__ import annotations

import datetime as dt
import secrets
from functools import cache
from uuid import UUID

from cryptography.fernet import Fernet
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from cloudbox.common import clock, events
from cloudbox.common.errors import AlreadyExists, Conflict, Forbidden, Invalid, NotFound
from cloudbox.common.models import Event
from identity.authn.tokens import digest_of
from identity.context import Context
from identity.models import AccessKey, ApiToken, BoxRole, Membership, Role
from identity.names import clean_name

DAYS_MAX = 3650
PER_USER_MAX = 50
_KEY_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


@cache
def _vault() -> Fernet:
    """Seals with the box's master key, which lies in a file that only the box's own users read."""
    return Fernet(settings.MASTER_KEY_FILE.read_bytes().strip())


def list_tokens(ctx: Context) -> QuerySet[ApiToken]:
    ctx.require("credentials.list")
    return ApiToken.objects.filter(user=ctx.user, project=ctx.project).order_by("name")


def create_token(
    ctx: Context, *, name: str, role: str = Role.MEMBER, days: int | None = None, reaches_box: bool = False
) -> tuple[ApiToken, str]:
    """A token for this user in this project, and its text. It never may more than its user may today.

    With `reaches_box` it acts with the user's role on the box as well: for programs that administer.
    """
    ctx.require("credentials.create")
    name = clean_name(name)
    if role not in Role.values:
        raise Invalid(f"A role is one of {', '.join(Role.values)}.", field="role")
    _at_most_own(ctx, role, reaches_box=reaches_box)
    if days is not None and not 1 <= days <= DAYS_MAX:
        raise Invalid(f"A token lives 1 to {DAYS_MAX} days, or for ever.", field="days")
    if list_tokens(ctx).count() >= PER_USER_MAX:
        raise Conflict(f"You have {PER_USER_MAX} tokens here. Revoke one first.")
    secret = secrets.token_urlsafe(32)
    expires = clock.now() + dt.timedelta(days=days) if days else None
    try:
        with transaction.atomic():
            token = ApiToken.objects.create(
                user=ctx.needed_user,
                project=ctx.needed_project,
                name=name,
                role=role,
                reaches_box=reaches_box,
                digest=digest_of(secret),
                expires_at=expires,
            )
            detail = f"{name}, reaching the box" if reaches_box else name
            events.publish(ctx.actor, "create", "token", token, project_id=ctx.project_id, detail=detail)
    except IntegrityError as error:
        raise AlreadyExists(f"You have a token called {name} in this project.", field="name") from error
    return token, f"cbx_{token.id.hex}_{secret}"


def _at_most_own(ctx: Context, role: str | None, *, reaches_box: bool = False) -> None:
    """Who signed in with a small token must not make a larger one, or a key that acts with the user's whole role."""
    order = [None, *Role.values]
    reason = ""
    if reaches_box and not ctx.box_role:
        reason = "You have no role on the box here, and a credential may do no more than its maker."
    elif ctx.box_role != BoxRole.ADMIN and order.index(role) > order.index(ctx.role):
        reason = f"You act as {ctx.role or 'nobody'} here, and a credential may do no more than its maker."
    if reason:
        events.publish(ctx.actor, "create", "credentials", project_id=ctx.project_id, outcome=Event.Outcome.REFUSED, detail=reason)
        raise Forbidden(reason, field="reaches_box" if reaches_box and not ctx.box_role else "role")


def _role_of(ctx: Context) -> str | None:
    """What the user may do in the project when signed in with the password."""
    member = Membership.objects.filter(user=ctx.user, project=ctx.project).first()
    return member.role if member else None


def revoke_token(ctx: Context, id: UUID) -> None:
    """It stops to work at once."""
    ctx.require("credentials.revoke")
    token = list_tokens(ctx).filter(id=id).first()
    if token is None:
        raise NotFound("You have no such token.")
    with transaction.atomic():
        events.publish(ctx.actor, "revoke", "token", token, project_id=ctx.project_id, detail=token.name)
        token.delete()


def list_access_keys(ctx: Context) -> QuerySet[AccessKey]:
    ctx.require("credentials.list")
    return AccessKey.objects.filter(user=ctx.user, project=ctx.project).order_by("created_at")


def create_access_key(ctx: Context, *, name: str) -> tuple[AccessKey, str]:
    """An access key and its secret, for S3 and EC2."""
    ctx.require("credentials.create")
    _at_most_own(ctx, _role_of(ctx))
    name = clean_name(name)
    if list_access_keys(ctx).count() >= PER_USER_MAX:
        raise Conflict(f"You have {PER_USER_MAX} access keys here. Delete one first.")
    secret = secrets.token_urlsafe(30)
    with transaction.atomic():
        key = AccessKey.objects.create(
            id="CBX" + "".join(secrets.choice(_KEY_LETTERS) for _ in range(17)),
            user=ctx.needed_user,
            project=ctx.needed_project,
            name=name,
            sealed_secret=_vault().encrypt(secret.encode()),
        )
        events.publish(ctx.actor, "create", "access-key", key, project_id=ctx.project_id, detail=f"{name} {key.id}")
    return key, secret


def delete_access_key(ctx: Context, id: str) -> None:
    ctx.require("credentials.revoke")
    key = list_access_keys(ctx).filter(id=id).first()
    if key is None:
        raise NotFound("You have no such access key.")
    with transaction.atomic():
        events.publish(ctx.actor, "delete", "access-key", key, project_id=ctx.project_id, detail=f"{key.name} {key.id}")
        key.delete()


def secret_of(key: AccessKey) -> str:
    """The secret of a key, for checking a signature."""
    return _vault().decrypt(bytes(key.sealed_secret)).decode()
