"""From `Authorization: Bearer cbx_…` to a Context."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import re

from django.contrib.auth.hashers import check_password, make_password
from django.http import HttpRequest

from cloudbox.common import clock
from cloudbox.common.errors import Unauthenticated
from cloudbox.common.requests import client_address, request_id
from identity.context import Context
from identity.models import ApiToken, Membership, Project, Role

_TOKEN = re.compile(r"cbx_([0-9a-f]{32})_([A-Za-z0-9_-]{20,64})")
_USED_EVERY = dt.timedelta(minutes=1)
_ORDER = [Role.READER, Role.MEMBER, Role.ADMIN]


def digest_of(secret: str) -> str:
    """The secret half has 256 random bits: a plain hash is enough, and fast."""
    return hashlib.sha256(secret.encode()).hexdigest()


def slow_digest_of(secret: str) -> str:
    """For a secret that a client made up: it may be short, so guessing must be slow."""
    return make_password(secret)


def matches(token: ApiToken, secret: str) -> bool:
    """Is it the secret of the token?"""
    if "$" in token.digest:
        return check_password(secret, token.digest)
    return hmac.compare_digest(token.digest, digest_of(secret))


def text_matches(text: str) -> ApiToken | None:
    """The token whose text this is, if there is one."""
    found = _TOKEN.fullmatch(text)
    token = ApiToken.objects.select_related("user", "project").filter(id=found[1]).first() if found else None
    return token if found is not None and token is not None and matches(token, found[2]) else None


def context_for(request: HttpRequest) -> Context | None:
    """None when no bearer token is shown; Unauthenticated when it is not good."""
    scheme, _, value = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() != "bearer":
        return None
    token = text_matches(value.strip())
    if token is None:
        raise Unauthenticated("This API token is not known here. Create one under Credentials.")
    if token.expires_at is not None and token.expires_at <= clock.now():
        raise Unauthenticated("This API token has expired. Create a new one under Credentials.")
    if not token.user.is_active or token.project.status == Project.Status.DELETED:
        raise Unauthenticated("The user or the project of this API token is gone.")
    role = _role_of(token)
    if token.last_used_at is None or clock.now() - token.last_used_at > _USED_EVERY:
        ApiToken.objects.filter(id=token.id).update(last_used_at=clock.now())
    return Context(
        user=token.user,
        project=token.project,
        role=role,
        box_role=token.user.box_role if token.reaches_box else "",
        api="rest",
        address=client_address(request),
        request_id=request_id(request),
    )


def _role_of(token: ApiToken) -> str:
    """At most what the user is today: a token does not outlive its user's role."""
    member = Membership.objects.filter(user=token.user, project=token.project).first()
    if member is None and not token.user.is_staff:
        raise Unauthenticated("The user of this API token has left the project.")
    today = member.role if member else Role.ADMIN
    return min(token.role, today, key=lambda role: _ORDER.index(Role(role)))
