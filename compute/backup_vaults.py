"""Vaults: the places in the tenant's own buckets where backups lie. A vault that another box made is taken up as it is."""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID, uuid4

from django.db import IntegrityError, transaction
from django.db.models import Count, Max, Q, QuerySet, Sum

from cloudbox.common import clock, events, jobs
from cloudbox.common.errors import AlreadyExists, Conflict, Invalid, NotFound
from compute.backup_lifecycle import open_vault, sealed
from compute.backup_store import format as backup_format
from compute.backup_store import repository as repositories
from compute.backup_store.format import Codec, Damaged, Manifest
from compute.models import Backup, BackupSchedule, BackupVault
from identity.context import Context
from identity.names import clean_name, clean_text

T = TypeVar("T")
S = Backup.Status
PER_PROJECT_MAX = 50
PREFIX_LENGTH_MAX = 200
GIB = 2**30
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that look alike


@dataclass(frozen=True)
class Made:
    """A vault that was added. `passphrase` is the one that the box made up, to be shown once; `found`: the backups that lay there."""

    vault: BackupVault
    passphrase: str = ""
    found: int = 0


def list(ctx: Context, *, q: str = "") -> QuerySet[BackupVault]:
    """The vaults of the project, with `count`, `stored` (bytes) and `newest` of their backups."""
    ctx.require("backups.list")
    ready = Q(backups__status=S.READY)
    rows = BackupVault.objects.filter(project=ctx.project).annotate(
        count=Count("backups", filter=ready), stored=Sum("backups__new_bytes", filter=ready), newest=Max("backups__taken_at", filter=ready)
    )
    return (rows.filter(Q(name__icontains=q) | Q(bucket__icontains=q)) if q else rows).order_by("name")


def get(ctx: Context, id: UUID) -> BackupVault:
    """The one way to a vault. A stranger's is NotFound, like one that never was."""
    found = list(ctx).filter(id=id).first()
    if found is None:
        raise NotFound(f"There is no backup vault {id}.", resource=str(id))
    return found


def create(
    ctx: Context,
    *,
    name: str,
    bucket: str,
    prefix: str = "",
    description: str = "",
    encrypted: bool = False,
    passphrase: str = "",
) -> Made:
    """Begin a vault in a bucket, or take up one that is there already: then its own encryption counts, and an encrypted one needs its
    passphrase. A new encrypted one without a passphrase gets one made up. Asks the object store, so not to be called in a transaction."""
    ctx.require("backups.manage")
    name, description = clean_name(name), clean_text(description, field="description")
    prefix = _clean_prefix(prefix)
    if not bucket:
        raise Invalid("In which bucket?", field="bucket")
    if BackupVault.objects.filter(project=ctx.project).count() >= PER_PROJECT_MAX:
        raise Conflict(f"The project has {PER_PROJECT_MAX} backup vaults, and can have no more. Forget one first.")
    if BackupVault.objects.filter(project=ctx.project, bucket=bucket, prefix=prefix).exists():
        raise AlreadyExists(f"There is a vault at {bucket}/{prefix} already.", field="bucket")
    store = repositories.store_of(ctx.needed_project.id)
    there = _asked(lambda: repositories.Repository(store, bucket, prefix, Codec()).vault(), bucket)
    made_up = ""
    if there is not None:
        id, key = backup_format.vault_key(there, passphrase)
        if BackupVault.objects.filter(id=id).exists():
            id = uuid4()  # a copy of a vault that this box has, too: its name in the bucket stays as it is
    else:
        id, key = uuid4(), (secrets.token_bytes(32) if encrypted or passphrase else None)
        if key is not None and not passphrase:
            passphrase = made_up = "-".join("".join(secrets.choice(_LETTERS) for _ in range(5)) for _ in range(5))
        if key is not None and len(passphrase) < backup_format.PASSPHRASE_MIN:
            raise Invalid(f"A passphrase has at least {backup_format.PASSPHRASE_MIN} characters.", field="passphrase")
        text = backup_format.vault_text(id, key, passphrase)
        _asked(lambda: repositories.Repository(store, bucket, prefix, Codec()).put_vault(text), bucket)
    try:
        with transaction.atomic():
            vault = BackupVault.objects.create(
                id=id,
                project=ctx.needed_project,
                user=ctx.needed_user,
                name=name,
                description=description,
                bucket=bucket,
                prefix=prefix,
                sealed_key=sealed(key) if key is not None else None,
            )
            detail = f"in {bucket}/{prefix}" + (", encrypted" if key is not None else "") + (", as it was there" if there else "")
            events.publish(ctx.actor, "create", "backup-vault", vault, detail=detail)
    except IntegrityError as error:
        raise AlreadyExists(f"There is a vault {name} in this project.", field="name") from error
    return Made(get(ctx, id), made_up, refresh(ctx, id) if there is not None else 0)


def _asked(ask: Callable[[], T], bucket: str) -> T:
    try:
        return ask()
    except NotFound as error:
        raise NotFound(f"There is no bucket {bucket} in this project. Make it first.", field="bucket") from error


def _clean_prefix(prefix: str) -> str:
    prefix = prefix.strip().strip("/")
    if not prefix:
        return ""
    if len(prefix) > PREFIX_LENGTH_MAX - 1 or not prefix.isprintable() or ".." in prefix.split("/") or "//" in prefix:
        raise Invalid(f"A folder has at most {PREFIX_LENGTH_MAX - 1} printable characters.", field="prefix")
    return prefix + "/"


def refresh(ctx: Context, id: UUID) -> int:
    """Read the bucket, and make known what lies there that this box does not know of; gives how many backups that is."""
    ctx.require("backups.manage")
    row = get(ctx, id)
    vault = open_vault(row)
    known = set(Backup.objects.filter(vault=row).exclude(status=S.DELETED).values_list("id", flat=True))
    elsewhere = set(Backup.objects.exclude(vault=row).values_list("id", flat=True))
    found = 0
    for disk_id in _asked(vault.disks, row.bucket):
        for backup_id in vault.backups(disk_id):
            # One that another vault of this box has is a copy of it: one row cannot stand for both.
            if backup_id in known or backup_id in elsewhere:
                continue
            try:
                manifest = vault.manifest(disk_id, backup_id)
            except Damaged:
                continue
            with transaction.atomic():
                _take_up(row, manifest)
            found += 1
    BackupVault.objects.filter(id=id).update(listed_at=clock.now())
    events.publish(ctx.actor, "refresh", "backup-vault", row, detail=f"{found} found")
    return found


def _take_up(row: BackupVault, manifest: Manifest) -> None:
    id = manifest.backup_id
    gone = Backup.objects.filter(id=id, status=S.DELETED).first()
    facts = {key: value for key, value in manifest.facts.items() if isinstance(key, str)}
    fields = {
        "project_id": row.project_id,
        "vault": row,
        "disk_id": manifest.disk_id,
        "disk": manifest.disk,
        "group": manifest.group,
        "source_name": manifest.source_name[:64],
        "name": manifest.name[:64],
        "description": manifest.description[:255],
        "size_gib": -(-manifest.size_bytes // GIB),
        "facts": facts,
        "is_full": manifest.is_full,
        "is_consistent": manifest.is_consistent,
        "status": S.READY,
        "error": "",
        "holds_chunks": True,
        "done_bytes": manifest.size_bytes,
        "read_bytes": manifest.read_bytes,
        "new_bytes": manifest.new_bytes,
        "stored_bytes": manifest.stored_bytes,
        "taken_at": _time(manifest.taken_at),
        "finished_at": clock.now(),
        "deleted_at": None,
    }
    if gone is not None:
        Backup.objects.filter(id=id).update(**fields)
    else:
        Backup.objects.create(id=id, **fields)


def _time(text: str) -> dt.datetime:
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise Damaged("The manifest of a backup tells no time that can be read.") from error
    return found if found.tzinfo else found.replace(tzinfo=dt.UTC)


def update(ctx: Context, id: UUID, *, name: str | None = None, description: str | None = None) -> BackupVault:
    ctx.require("backups.manage")
    try:
        with transaction.atomic():
            get(ctx, id)
            row = BackupVault.objects.select_for_update(of=("self",)).get(id=id)
            before = row.name
            row.name = clean_name(name) if name is not None else row.name
            row.description = clean_text(description, field="description") if description is not None else row.description
            row.save(update_fields=["name", "description"])
            events.publish(ctx.actor, "update", "backup-vault", row, detail=f"name from {before}" if before != row.name else "description")
    except IntegrityError as error:
        raise AlreadyExists(f"There is a vault {name} in this project.", field="name") from error
    return get(ctx, id)


def why_not_forget(ctx: Context, row: BackupVault) -> str:
    """Why the vault cannot be forgotten now; empty: it can."""
    if reason := ctx.why_not("backups.manage"):
        return reason
    schedule = BackupSchedule.objects.filter(vault=row).first()
    if schedule is not None:
        return f"The schedule {schedule.name} makes backups there. Delete it first."
    if Backup.objects.filter(vault=row).filter(Q(status__in=(S.CREATING, S.DELETING)) | Q(trial=Backup.Trial.RUNNING)).exists():
        return "A backup there is being made, tried or deleted. Wait until that is done."
    if Backup.objects.filter(vault=row, restores__isnull=False).exists():
        return "A backup there is being restored. Wait until that is done."
    return ""


def forget(ctx: Context, id: UUID) -> None:
    """The box knows no more of it; what lies in the bucket stays, and can be taken up again (an encrypted one with its passphrase)."""
    ctx.require("backups.manage")
    with transaction.atomic():
        row = get(ctx, id)
        BackupVault.objects.select_for_update(of=("self",)).get(id=id)
        if reason := why_not_forget(ctx, row):
            raise Conflict(reason, resource=str(id))
        _release_marks(row)
        events.publish(ctx.actor, "forget", "backup-vault", row, detail=f"{row.bucket}/{row.prefix}")
        Backup.objects.filter(vault=row).delete()
        BackupVault.objects.filter(id=id).delete()


def _release_marks(row: BackupVault) -> None:
    """The marks on its disks have no use any more. Rows go, so each is handed to a job that needs none."""
    for backup in Backup.objects.filter(vault=row, holds_mark=True):
        arguments = {"backup_id": str(backup.id), "disk_id": str(backup.disk_id), "disk": backup.disk}
        jobs.enqueue("forget-mark", backup.disk_id, actor=events.SYSTEM, project_id=row.project_id, arguments=arguments)
