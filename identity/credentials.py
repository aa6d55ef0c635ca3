"""What programs sign in with: API tokens and access keys. Secrets are told once, at creation."""

from __future__ import annotations

import base64
import datetime as dt
import hmac
import secrets
from functools import cache
from uuid import UUID

from cryptography.fernet import Fernet
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from cloudbox.common import clock, events
from cloudbox.common.errors import AlreadyExists, Conflict, Forbidden, Invalid, NotFound, Unauthenticated
from cloudbox.common.models import Event
from identity.authn.tokens import digest_of, slow_digest_of
from identity.context import Context
from identity.models import AccessKey, ApiToken, BoxRole, Membership, Role, User
from identity.names import clean_name, clean_text

DAYS_MAX = 3650
PER_USER_MAX = 50
# What a client may choose itself; ours have 43.
SECRET_LENGTH_MIN, SECRET_LENGTH_MAX = 16, 255
_KEY_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


@cache
def _vault() -> Fernet:
    """Seals with the box's master key, which lies in a file that only the box's own users read."""
    return Fernet(settings.MASTER_KEY_FILE.read_bytes().strip())


def list_tokens(ctx: Context) -> QuerySet[ApiToken]:
    ctx.require("credentials.list")
    return ApiToken.objects.filter(user=ctx.user, project=ctx.project).order_by("name")


def create_token(
    ctx: Context,
    *,
    name: str,
    role: str = Role.MEMBER,
    days: int | None = None,
    reaches_box: bool = False,
    description: str = "",
    unrestricted: bool = False,
    secret: str = "",
    expires_at: dt.datetime | None = None,
) -> tuple[ApiToken, str]:
    """A token for this user in this project, and its text. It never may more than its user may today.

    With `reaches_box` it acts with the user's role on the box as well: for programs that administer. To OpenStack it is an application
    credential: it may then have a `secret` of the client's, a moment at which it ends, and be `unrestricted`, so that it can make others.
    """
    ctx.require("credentials.create")
    _not_restricted(ctx)
    name = clean_name(name)
    description = clean_text(description, field="description")
    if secret and not SECRET_LENGTH_MIN <= len(secret) <= SECRET_LENGTH_MAX:
        raise Invalid(f"A secret of your own has {SECRET_LENGTH_MIN} to {SECRET_LENGTH_MAX} characters.", field="secret")
    if expires_at is not None and expires_at <= clock.now():
        raise Invalid("That moment is over.", field="expires_at")
    if role not in Role.values:
        raise Invalid(f"A role is one of {', '.join(Role.values)}.", field="role")
    _at_most_own(ctx, role, reaches_box=reaches_box)
    if days is not None and not 1 <= days <= DAYS_MAX:
        raise Invalid(f"A token lives 1 to {DAYS_MAX} days, or for ever.", field="days")
    if list_tokens(ctx).count() >= PER_USER_MAX:
        raise Conflict(f"You have {PER_USER_MAX} tokens here. Revoke one first.")
    digest = slow_digest_of(secret) if secret else ""
    secret = secret or secrets.token_urlsafe(32)
    expires = clock.now() + dt.timedelta(days=days) if days else expires_at
    try:
        with transaction.atomic():
            token = ApiToken.objects.create(
                user=ctx.needed_user,
                project=ctx.needed_project,
                name=name,
                role=role,
                reaches_box=reaches_box,
                description=description,
                unrestricted=unrestricted,
                digest=digest or digest_of(secret),
                expires_at=expires,
            )
            events.publish(
                ctx.actor, "create", "token", token, project_id=ctx.project_id, detail=f"{name}, reaching the box" if reaches_box else name
            )
    except IntegrityError as error:
        raise AlreadyExists(f"You have a token called {name} in this project.", field="name") from error
    return token, f"cbx_{token.id.hex}_{secret}"


def _not_restricted(ctx: Context) -> None:
    if ctx.restricted:
        raise Forbidden("You signed in with an application credential that may not make or revoke credentials.")


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
    _not_restricted(ctx)
    token = list_tokens(ctx).filter(id=id).first()
    if token is None:
        raise NotFound("You have no such token.")
    with transaction.atomic():
        events.publish(ctx.actor, "revoke", "token", token, project_id=ctx.project_id, detail=token.name)
        token.delete()


def application_credentials(user: User) -> QuerySet[ApiToken]:
    """Everywhere, as OpenStack's clients list them."""
    return ApiToken.objects.filter(user=user).exclude(project__status="deleted").select_related("project").order_by("created_at")


def access_keys(user: User) -> QuerySet[AccessKey]:
    """The user's own in every project."""
    return AccessKey.objects.filter(user=user).exclude(project__status="deleted").select_related("project").order_by("created_at")


def list_access_keys(ctx: Context) -> QuerySet[AccessKey]:
    ctx.require("credentials.list")
    return AccessKey.objects.filter(user=ctx.user, project=ctx.project).order_by("created_at")


def create_access_key(ctx: Context, *, name: str) -> tuple[AccessKey, str]:
    """An access key and its secret, for S3 and EC2."""
    ctx.require("credentials.create")
    _not_restricted(ctx)
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
    _not_restricted(ctx)
    key = list_access_keys(ctx).filter(id=id).first()
    if key is None:
        raise NotFound("You have no such access key.")
    with transaction.atomic():
        events.publish(ctx.actor, "delete", "access-key", key, project_id=ctx.project_id, detail=f"{key.name} {key.id}")
        key.delete()


def set_access_key_active(ctx: Context, id: str, *, active: bool) -> None:
    """An inactive key opens nothing, and can be made active again."""
    ctx.require("credentials.revoke")
    _not_restricted(ctx)
    with transaction.atomic():
        key = list_access_keys(ctx).select_for_update().filter(id=id).first()
        if key is None:
            raise NotFound("You have no such access key.")
        key.is_active = active
        key.save(update_fields=["is_active"])
        events.publish(
            ctx.actor, "enable" if active else "disable", "access-key", key, project_id=ctx.project_id, detail=f"{key.name} {key.id}"
        )


def secret_of(key: AccessKey) -> str:
    """The secret of a key, for checking a signature."""
    return _vault().decrypt(bytes(key.sealed_secret)).decode()


def signed_key(*, access: str, signature: str, to_sign: str) -> AccessKey:
    """The key that made the signature over the text (Base64 of it), as S3 signs by version 4 or 2; Unauthenticated if none did.

    For services outside, which found the text to sign in a request of theirs.
    """
    row = AccessKey.objects.select_related("user", "project").filter(id=access, is_active=True).first()
    try:
        text = base64.b64decode(to_sign.replace("-", "+").replace("_", "/"), validate=True)
    except ValueError as error:
        raise Invalid("The text to sign must be in Base64.", field="token") from error
    # Work as much for a key that is not there.
    secret = secret_of(row) if row else "no key"
    if not hmac.compare_digest(_signature(secret, text).encode(), signature.encode("utf-8", "surrogateescape")) or row is None:
        raise Unauthenticated("There is no such key, or the signature is another's.")
    return row


def _signature(secret: str, text: bytes) -> str:
    if not text.startswith(b"AWS4-HMAC-SHA256"):
        return base64.b64encode(hmac.digest(secret.encode(), text, "sha1")).decode()
    lines = text.split(b"\n")
    scope = lines[2].split(b"/") if len(lines) > 2 else []
    key = b"AWS4" + secret.encode()
    for part in scope:
        key = hmac.digest(key, part, "sha256")
    return hmac.new(key, text, "sha256").hexdigest()
