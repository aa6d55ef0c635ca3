"""Credentials for a while: what a page, a service of the box or a program that asks STS signs S3 requests with.

Nothing is stored. The session token *is* the credential: sealed with a key of the box, it says whose it is, where, how much it may at most
and until when; the secret is derived from it. What its user may do today is looked up at use, as with Keystone's tokens, so that a role
that was taken away, or a user who was switched off, ends it at once. Nothing else revokes one before its time: make it short.

Public document: "Temporary security credentials in IAM" (the three parts, and that a request names the token in x-amz-security-token).
"""

from __future__ import annotations

import base64
import hmac
import json
import secrets
import time
from dataclasses import dataclass
from functools import cache
from uuid import UUID

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from cloudbox.common.errors import Invalid, Unauthenticated
from identity.models import Role

SECONDS_MIN = 60
SECONDS_MAX = 7 * 24 * 3600  # As long as a presigned address may live.
TOKEN_LENGTH_MAX = 4096
POLICY_LENGTH_MAX = 2048  # AWS's limit for the policy of a session.
PREFIX = "CBT"
_KEY_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


@dataclass(frozen=True, slots=True)
class Temporary:
    """What a client signs with. `expires_at` is in seconds since 1970."""

    access_key: str
    secret_key: str
    session_token: str
    expires_at: float


@dataclass(frozen=True, slots=True)
class Grant:
    """What a session token says. Without a `user` it is a service of the box that acts, as an admin of the project."""

    access_key: str
    user: UUID | None
    project: UUID
    role: str  # At most this; "" is whatever the user has.
    expires_at: float
    session: str = ""  # A name that its maker gave it.
    policy: str = ""  # A further limit, in the language of bucket policies.


def issue(*, user: UUID, project: UUID, seconds: float, role: str = "", session: str = "", policy: str = "") -> Temporary:
    """For a user in a project, who has been authorised by the caller. Raises Invalid."""
    if role and role not in Role.values:
        raise Invalid(f"A role is one of {', '.join(Role.values)}.", field="role")
    if len(policy) > POLICY_LENGTH_MAX:
        raise Invalid(f"The policy of a session has at most {POLICY_LENGTH_MAX} characters.", field="policy")
    return _sealed({"u": user.hex, "p": project.hex, "r": role, "s": session, "l": policy}, seconds)


def issue_for_service(*, project: UUID, seconds: float) -> Temporary:
    """For a part of the box itself: it acts as an admin of the project, which nobody else has to be."""
    return _sealed({"u": "", "p": project.hex, "r": Role.ADMIN.value, "s": "", "l": ""}, seconds)


def _sealed(facts: dict[str, str], seconds: float) -> Temporary:
    if not SECONDS_MIN <= seconds <= SECONDS_MAX:
        raise Invalid(f"Temporary credentials live {SECONDS_MIN} to {SECONDS_MAX} seconds.", field="seconds")
    expires_at = float(int(time.time() + seconds))
    key = PREFIX + "".join(secrets.choice(_KEY_LETTERS) for _ in range(17))
    text = json.dumps(facts | {"k": key, "e": int(expires_at)}, separators=(",", ":"))
    token = _fernet().encrypt(text.encode()).decode()
    return Temporary(key, secret_of(token), token, expires_at)


def read(token: str) -> Grant:
    """What it says, whether or not its time is over. Raises Unauthenticated if this box did not make it. Costs no look-up."""
    if len(token) > TOKEN_LENGTH_MAX:
        raise Unauthenticated("The session token is not one of this box.")
    try:
        facts = json.loads(_fernet().decrypt(token.encode("ascii")))
    except (InvalidToken, UnicodeEncodeError) as error:
        raise Unauthenticated("The session token is not one of this box.") from error
    return Grant(
        access_key=facts["k"],
        user=UUID(facts["u"]) if facts["u"] else None,
        project=UUID(facts["p"]),
        role=facts["r"],
        expires_at=float(facts["e"]),
        session=facts["s"],
        policy=facts["l"],
    )


def secret_of(token: str) -> str:
    """The secret that belongs to a session token."""
    return base64.urlsafe_b64encode(hmac.digest(_derived("secret"), token.encode(), "sha256"))[:40].decode()


@cache
def _fernet() -> Fernet:
    return Fernet(base64.urlsafe_b64encode(_derived("token")))


@cache
def _derived(purpose: str) -> bytes:
    """A key of the master key's, for this purpose only."""
    master = base64.urlsafe_b64decode(settings.MASTER_KEY_FILE.read_bytes().strip())
    return HKDF(hashes.SHA256(), 32, salt=None, info=f"cloudbox identity temporary {purpose}".encode()).derive(master)
