"""Tokens of Keystone's: issued to who has shown who they are, looked at by every service, given back when done."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from uuid import UUID

from cryptography.fernet import Fernet
from django.conf import settings
from django.db import transaction

from cloudbox.common import clock, events
from cloudbox.common.errors import Unauthenticated
from identity import projects, roles, token_format
from identity.context import Context
from identity.models import ApiToken, BoxRole, Domain, Project, RevokedToken, Role, User
from identity.token_format import Kind, Scope, ScopeKind, Token

LIFETIME = dt.timedelta(hours=8)
RECEIPT_LIFETIME = dt.timedelta(minutes=5)


@cache
def _key() -> Fernet:
    return token_format.key_of(settings.MASTER_KEY_FILE.read_bytes().strip())


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A token that is good, and what it is worth at this moment."""

    token: Token
    user: User
    domain: Domain  # of the user
    project: Project | None = None
    scope_domain: Domain | None = None
    role: str | None = None  # in the project
    box_role: str = ""
    custom: Sequence[str] = field(default=())  # names of custom roles in the project
    credential: ApiToken | None = None

    @property
    def role_names(self) -> list[str]:
        """All that the user has in the scope, with those that are included in others."""
        kind = self.token.scope.kind
        if kind == ScopeKind.UNSCOPED:
            return []
        effective = self.role if kind == ScopeKind.PROJECT else None
        if self.box_role and (effective is None or self.box_role == BoxRole.ADMIN):
            effective = roles.of_box_role(self.box_role)
        return [*(roles.INCLUDED[Role(effective)] if effective else []), *self.custom]


def issue(
    user: User,
    *,
    methods: Sequence[str],
    scope: Scope,
    parent: Token | None = None,
    credential: ApiToken | None = None,
    password_was: str | None = None,
) -> tuple[str, Standing]:
    """A token for somebody who has just shown who they are, and its text; Unauthenticated if the scope is not theirs.

    `parent` is the token that was shown, if one was: the new one lives no longer. `password_was` is the stored hash that a password
    was checked against: the row is locked and compared, so that no token is made with a password that is being changed.
    """
    with transaction.atomic():
        fresh = User.objects.select_for_update(no_key=True, of=("self",)).filter(id=user.id, is_active=True).first()
        if fresh is None or (password_was is not None and fresh.password != password_was):
            raise Unauthenticated("That user, name or password is not right.")
        now = clock.now()
        ends = [now + LIFETIME, *([parent.expires_at] if parent else [])]
        if credential is not None and credential.expires_at is not None:
            ends.append(credential.expires_at)
        token = Token(
            user=user.id,
            methods=tuple(methods),
            scope=scope,
            issued_at=now,
            expires_at=min(ends),
            parent_audit_id=(parent.parent_audit_id or parent.audit_id) if parent else "",
            application_credential=credential.id if credential else None,
        )
        return token_format.seal(token, _key()), stand(token)


def read(text: str) -> Token:
    """The facts of a token by its text alone, without a look at any table; Unauthenticated unless it is one of ours and not expired."""
    token = token_format.unseal(text, _key())
    if token is None or token.kind != Kind.TOKEN:
        raise Unauthenticated("This token is not known here. Sign in again.")
    if token.expires_at <= clock.now():
        raise Unauthenticated("This token has expired. Sign in again.")
    return token


def stand(token: Token) -> Standing:
    """What the token is worth now: its user, scope and roles of today. Unauthenticated when any of it is gone."""
    user = User.objects.select_related("domain").filter(id=token.user, is_active=True).first()
    if user is None or token.issued_at < user.tokens_since:
        raise Unauthenticated("The user of this token is suspended, gone, or has a new password. Sign in again.")
    if RevokedToken.objects.filter(audit_id__in=token.audit_ids).exists():
        raise Unauthenticated("This token was given back. Sign in again.")
    credential = _credential(token)
    box_role = user.box_role if credential is None or credential.reaches_box else ""
    plain = Standing(token=token, user=user, domain=user.domain or projects.default_domain(), credential=credential)
    scope = token.scope
    if scope.kind == ScopeKind.PROJECT:
        project = Project.objects.select_related("domain").filter(id=scope.id).exclude(status=Project.Status.DELETED).first()
        role, custom = roles.in_project(user, project) if project else (None, [])
        # Administrators reach every project; so they do in the portal.
        if project is None or not (role or custom or user.box_role) or not project.domain.is_enabled:
            raise Unauthenticated("There is no such project, or you have no role in it.")
        if credential is not None:
            role, custom = _at_most(credential.role, role or (Role.ADMIN if user.is_staff else None)), []
        return replace(plain, project=project, role=role, box_role=box_role, custom=custom)
    if scope.kind == ScopeKind.UNSCOPED:
        return plain
    domain = Domain.objects.filter(id=scope.id).first() if scope.kind == ScopeKind.DOMAIN else None
    if not box_role or (scope.kind == ScopeKind.DOMAIN and domain is None):
        raise Unauthenticated("You have no role there. Ask for a token in one of your projects.")
    return replace(plain, scope_domain=domain, box_role=box_role)


def _credential(token: Token) -> ApiToken | None:
    if token.application_credential is None:
        return None
    row = ApiToken.objects.filter(id=token.application_credential, user_id=token.user).first()
    if row is None or (row.expires_at is not None and row.expires_at <= clock.now()):
        raise Unauthenticated("The application credential of this token was revoked or has expired.")
    return row


def _at_most(role: str, today: str | None) -> str:
    """A credential gives no more than its user has today."""
    if today is None:
        raise Unauthenticated("The user of this application credential has left the project.")
    return role if role in roles.INCLUDED[Role(today)] else today


def revoke(ctx: Context, token: Token) -> None:
    """It, and those that were made with it, stop to work at once. Asking twice is no mistake."""
    ctx.require("users.self")
    with transaction.atomic():
        RevokedToken.objects.get_or_create(audit_id=token.audit_id, defaults={"expires_at": token.expires_at})
        events.publish(ctx.actor, "revoke", "session", detail=f"token {token.audit_id}")


def prune() -> int:
    """Forget the given-back tokens whose time is over."""
    return RevokedToken.objects.filter(expires_at__lt=clock.now()).delete()[0]


def receipt(user: UUID, methods: Sequence[str]) -> tuple[str, Token]:
    """A note that the user has shown these methods, for who must show another."""
    now = clock.now()
    token = Token(user=user, methods=tuple(methods), issued_at=now, expires_at=now + RECEIPT_LIFETIME, kind=Kind.RECEIPT)
    return token_format.seal(token, _key()), token


def read_receipt(text: str) -> Token:
    token = token_format.unseal(text, _key())
    if token is None or token.kind != Kind.RECEIPT or token.expires_at <= clock.now():
        raise Unauthenticated("The receipt is not good any more. Show all methods again.")
    return token
