"""Handing a volume to another project: one side offers and gets a key, which the other side gives to accept. Quota and bills go along."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import secrets
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from cloudbox.common import clock, events
from cloudbox.common.errors import AlreadyExists, Conflict, NotFound
from compute import charges, volumes
from compute.models import Snapshot, Volume, VolumeTransfer
from compute.volume_lifecycle import machine, note_size
from identity import quotas
from identity.context import Context
from identity.names import clean_name, clean_text

S = Volume.Status
VALID = dt.timedelta(days=7)
KEY_LENGTH_MAX = 128


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def of(ctx: Context, volume_id: UUID) -> VolumeTransfer | None:
    """The open offer of a volume."""
    return VolumeTransfer.objects.filter(volume=volumes.get(ctx, volume_id)).first()


def list(ctx: Context) -> QuerySet[VolumeTransfer]:
    """The open offers of the project."""
    ctx.require("volumes.list")
    return VolumeTransfer.objects.filter(project=ctx.project, expires_at__gt=clock.now()).select_related("volume")


def offer(ctx: Context, volume_id: UUID, *, name: str = "") -> tuple[VolumeTransfer, str]:
    """Returns the offer and its key, which is told this once. Until it is accepted, withdrawn or over, nothing else can be done to the
    volume."""
    ctx.require("volumes.manage")
    name = clean_text(name, field="name")
    with transaction.atomic():
        volume = volumes.locked(ctx, volume_id, "offer")
        secret = secrets.token_urlsafe(24)
        made = VolumeTransfer.objects.create(
            volume=volume, project_id=volume.project_id, name=name, digest=_digest(secret), expires_at=clock.now() + VALID
        )
        machine.move(volume, S.OFFERED, actor=ctx.actor, verb="offer", error="")
    return made, f"{made.id.hex}.{secret}"


def withdraw(ctx: Context, volume_id: UUID) -> Volume:
    """The key is worth nothing from now on."""
    ctx.require("volumes.manage")
    with transaction.atomic():
        volume = volumes.locked(ctx, volume_id, "withdraw")
        VolumeTransfer.objects.filter(volume=volume).delete()
        machine.move(volume, S.AVAILABLE, actor=ctx.actor, verb="withdraw")
    return volumes.get(ctx, volume_id)


def accept(ctx: Context, *, key: str, name: str = "") -> Volume:
    """Take over the volume of this key, with its snapshots, under its name or another one. Whoever has no valid key learns nothing."""
    ctx.require("volumes.manage")
    try:
        with transaction.atomic():
            found = _find(key.strip())
            volume = Volume.objects.select_for_update(of=("self",)).select_related("type").get(id=found.volume_id)
            if volume.project_id == ctx.project_id:
                raise Conflict(f"{volume.name} belongs to this project. Withdraw the offer to keep it.", field="key")
            _move_books(volume, ctx.project_id)
            events.publish(ctx.actor, "hand-over", "volume", volume, detail="to another project")
            was = volume.project_id
            volume.project_id, volume.name = ctx.project_id, clean_name(name) if name else volume.name
            volume.user, volume.image, volume.source_volume, volume.source_snapshot = ctx.needed_user, volume.image, None, None
            volume.save()
            Snapshot.objects.filter(volume=volume).update(project_id=ctx.project_id)
            found.delete()
            note_size(volume)
            machine.move(volume, S.AVAILABLE, actor=ctx.actor, verb="accept")
            events.touch("volume", volume.id, was)
    except IntegrityError as error:
        raise AlreadyExists("There is a volume of that name in this project. Give it another one.", field="name") from error
    return volumes.get(ctx, volume.id)


def _find(key: str) -> VolumeTransfer:
    id, _, secret = key.partition(".")
    refused = NotFound("This key opens no offer. It may have been withdrawn or accepted, or be over.", field="key")
    if len(key) > KEY_LENGTH_MAX:
        raise refused
    try:
        found = VolumeTransfer.objects.select_for_update().filter(id=UUID(id), expires_at__gt=clock.now()).first()
    except ValueError:
        raise refused from None
    if found is None or not hmac.compare_digest(found.digest, _digest(secret)):
        raise refused
    return found


def _move_books(volume: Volume, project_id: UUID) -> None:
    """The quota of the volume and its snapshots, from one project to the other."""
    amounts = charges.of_volume(volume.size_gib)
    kept = Snapshot.objects.filter(volume=volume).exclude(status=Snapshot.Status.DELETED).values_list("size_gib", flat=True)
    amounts |= {"snapshots": len(kept), "snapshot_gib": sum(kept)} if kept else {}
    quotas.charge(project_id, amounts)
    quotas.release(volume.project_id, amounts)
