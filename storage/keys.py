"""Encryption keys of a project (SSE-KMS): made, rotated, disabled. What they encrypted before a rotation stays readable."""

from __future__ import annotations

import os
import re
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Max, QuerySet

from cloudbox.common import events
from cloudbox.common.errors import AlreadyExists, Invalid, NotFound
from identity.context import Context
from storage import vault
from storage.models import EncryptionKey, EncryptionKeyVersion

SECRET_BYTES = 32
_NAME = re.compile(r"[A-Za-z0-9/_.:-]{1,128}")


def list_keys(ctx: Context) -> QuerySet[EncryptionKey]:
    """By name, each with the number of its `newest_version`."""
    ctx.require("buckets.list")
    return EncryptionKey.objects.filter(project=ctx.project).annotate(newest_version=Max("versions__number")).order_by("name")


def get(ctx: Context, id: UUID) -> EncryptionKey:
    """Raises NotFound."""
    key = list_keys(ctx).filter(id=id).first()
    if key is None:
        raise NotFound("There is no such key in this project.")
    return key


def create(ctx: Context, *, name: str) -> EncryptionKey:
    ctx.require("encryption_keys.manage")
    if not _NAME.fullmatch(name):
        raise Invalid("A key's name has 1 to 128 letters, digits or any of / _ . : -", field="name")
    try:
        with transaction.atomic():
            key = EncryptionKey.objects.create(project=ctx.needed_project, name=name)
            _add_version(key, 1)
            events.publish(ctx.actor, "create", "encryption-key", key, project_id=ctx.project_id, detail=name)
    except IntegrityError as error:
        raise AlreadyExists(f"There is a key called {name} in this project.", field="name") from error
    return key


def rotate(ctx: Context, id: UUID) -> EncryptionKey:
    """New objects get a new secret; the old ones keep theirs."""
    ctx.require("encryption_keys.manage")
    with transaction.atomic():
        key = _locked(ctx, id)
        newest = key.versions.order_by("-number").first()
        _add_version(key, newest.number + 1 if newest else 1)
        events.publish(ctx.actor, "rotate", "encryption-key", key, project_id=ctx.project_id, detail=key.name)
    return key


def set_enabled(ctx: Context, id: UUID, enabled: bool) -> EncryptionKey:
    """A disabled key neither encrypts nor decrypts."""
    ctx.require("encryption_keys.manage")
    with transaction.atomic():
        key = _locked(ctx, id)
        if key.is_enabled != enabled:
            key.is_enabled = enabled
            key.save(update_fields=["is_enabled"])
            events.publish(ctx.actor, "enable" if enabled else "disable", "encryption-key", key, project_id=ctx.project_id, detail=key.name)
    return key


def _locked(ctx: Context, id: UUID) -> EncryptionKey:
    key = EncryptionKey.objects.select_for_update().filter(id=id, project=ctx.project).first()
    if key is None:
        raise NotFound("There is no such key in this project.")
    return key


def _add_version(key: EncryptionKey, number: int) -> None:
    sealed = vault.seal("encryption keys", os.urandom(SECRET_BYTES), about=key.id.bytes)
    EncryptionKeyVersion.objects.create(key=key, number=number, sealed_secret=sealed)
