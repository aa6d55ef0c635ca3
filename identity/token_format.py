"""What a token of Keystone's looks like: a few facts, encrypted and signed with a key of the box (the public Fernet format).

It is self-contained, so that every process knows whether a token is one of ours, whose it is and until when, without a question to
anybody. What its user may do is not in it: that is looked up, so that a role that was taken away is gone at once.

The sealed bytes, big-endian: version 1, kind, methods (bits), scope's kind; user (16), scope's id (16), issued (8, microseconds since
1970), expires (8), audit id (16), first audit id of the chain (16) and, if the methods name one, the application credential (16).
A token has 228 characters at most, so it fits into any header.
"""

from __future__ import annotations

import base64
import datetime as dt
import enum
import secrets
import struct
from dataclasses import dataclass, field
from uuid import UUID

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

VERSION = 1
_HEAD = struct.Struct(">BBBB16s16sqq16s16s")
METHODS = ("password", "totp", "token", "application_credential", "ec2credential")
_NONE = UUID(int=0)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
TEXT_LENGTH_MAX = 255


class Kind(enum.IntEnum):
    TOKEN = 1
    RECEIPT = 2  # Some of the methods that the user needs were shown; the rest is to follow.


class ScopeKind(enum.IntEnum):
    UNSCOPED = 0
    PROJECT = 1
    DOMAIN = 2
    SYSTEM = 3


@dataclass(frozen=True, slots=True)
class Scope:
    """What a token is about: a project, a domain, the whole box (system), or nothing yet."""

    kind: ScopeKind = ScopeKind.UNSCOPED
    id: UUID = _NONE


def new_audit_id() -> str:
    """A random name of a token that is no secret."""
    return base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """The facts. Times are in UTC. `parent_audit_id` is that of the first token of a chain of rescopings, empty in that one itself."""

    user: UUID
    methods: tuple[str, ...]
    scope: Scope = Scope()
    issued_at: dt.datetime
    expires_at: dt.datetime
    audit_id: str = field(default_factory=new_audit_id)
    parent_audit_id: str = ""
    application_credential: UUID | None = None
    kind: Kind = Kind.TOKEN

    @property
    def audit_ids(self) -> list[str]:
        return [self.audit_id, *([self.parent_audit_id] if self.parent_audit_id else [])]


def key_of(master_key: bytes) -> Fernet:
    """The key of tokens, derived from the box's master key: nothing that is sealed with the one can be passed off for the other."""
    derived = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=b"cloudbox identity tokens 1").derive(master_key)
    return Fernet(base64.urlsafe_b64encode(derived))


def seal(token: Token, key: Fernet) -> str:
    """The token's text."""
    methods = sum(1 << METHODS.index(method) for method in token.methods)
    head = _HEAD.pack(
        VERSION,
        token.kind,
        methods,
        token.scope.kind,
        token.user.bytes,
        token.scope.id.bytes,
        _micros(token.issued_at),
        _micros(token.expires_at),
        _bytes_of(token.audit_id),
        _bytes_of(token.parent_audit_id),
    )
    text = key.encrypt(head + (token.application_credential.bytes if token.application_credential else b"")).decode().rstrip("=")
    assert len(text) <= TEXT_LENGTH_MAX
    return text


def unseal(text: str, key: Fernet) -> Token | None:
    """The facts of a token of ours, expired or not; None for any other text."""
    if not 0 < len(text) <= TEXT_LENGTH_MAX or not text.isascii():
        return None
    try:
        plain = key.decrypt(text + "=" * (-len(text) % 4))
    except InvalidToken:
        return None
    version, kind, methods, scope, user, scope_id, issued, expires, audit_id, parent = _HEAD.unpack_from(plain)
    if version != VERSION:
        return None
    credential = plain[_HEAD.size :]
    return Token(
        kind=Kind(kind),
        methods=tuple(method for bit, method in enumerate(METHODS) if methods & 1 << bit),
        scope=Scope(ScopeKind(scope), UUID(bytes=scope_id)),
        user=UUID(bytes=user),
        issued_at=_EPOCH + dt.timedelta(microseconds=issued),
        expires_at=_EPOCH + dt.timedelta(microseconds=expires),
        audit_id=_text_of(audit_id),
        parent_audit_id=_text_of(parent) if any(parent) else "",
        application_credential=UUID(bytes=credential) if credential else None,
    )


def _micros(moment: dt.datetime) -> int:
    return (moment - _EPOCH) // dt.timedelta(microseconds=1)


def _bytes_of(audit_id: str) -> bytes:
    return base64.urlsafe_b64decode(audit_id + "==") if audit_id else bytes(16)


def _text_of(audit_id: bytes) -> str:
    return base64.urlsafe_b64encode(audit_id).decode().rstrip("=")
