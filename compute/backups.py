"""Backups: of a volume, or of a whole instance at one moment; restored as a new volume, over the same one, or as a new instance."""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from django.db import transaction
from django.db.models import Count, Q, QuerySet, Sum

from cloudbox.common import clock, events, jobs
from cloudbox.common.errors import Conflict, Invalid, NotFound
from compute import backup_vaults, instances, volumes
from compute.backup_lifecycle import machine
from compute.instances import LaunchSpec
from compute.models import (
    Backup,
    BackupRestore,
    BackupSchedule,
    ConfigDrive,
    Flavor,
    Image,
    Instance,
    Keypair,
    Network,
    SecurityGroup,
    Volume,
)
from compute.volume_lifecycle import machine as volume_machine
from identity.context import Context
from identity.names import clean_name, clean_text

S = Backup.Status
V = Volume.Status
Trial = Backup.Trial
_SORTS = {"name": "name", "status": "status", "created": "created_at", "taken": "taken_at", "size": "stored_bytes"}
_DISK_THERE = frozenset({Instance.Status.RUNNING, Instance.Status.STOPPED, Instance.Status.PAUSED, Instance.Status.SUSPENDED})
# Of an instance's backup, what a new instance is launched with.
RUNNING_MAX = 50  # of a project at once


@dataclass(frozen=True, kw_only=True)
class Action:
    """`states`: from where it is possible."""

    key: str
    label: str
    states: frozenset[str]
    icon: str
    confirm: str = ""
    danger: bool = False
    policy: str = "backups.manage"


_READY = frozenset({S.READY})

ACTIONS: dict[str, Action] = {
    action.key: action
    for action in (
        Action(key="restore", label="Restore", states=_READY, icon="refresh"),
        Action(key="browse", label="Browse files", states=_READY, icon="folder", policy="backups.browse"),
        Action(key="verify", label="Verify", states=_READY, icon="shield"),
        Action(key="rename", label="Rename", states=frozenset({S.CREATING, S.READY, S.ERROR}), icon="edit"),
        Action(
            key="cancel",
            label="Cancel",
            states=frozenset({S.CREATING}),
            icon="x",
            confirm="What was copied of it so far is removed from the bucket.",
        ),
        Action(
            key="delete",
            label="Delete",
            states=frozenset({S.READY, S.ERROR}),
            icon="trash",
            confirm="It is gone from the bucket, too. Other backups of the disk stay whole. This cannot be undone.",
            danger=True,
        ),
    )
}


def why_not(ctx: Context, row: Backup, key: str) -> str:
    """Empty when the action is possible now, else the sentence that says why not and what to do."""
    return ctx.why_not(ACTIONS[key].policy) or _why_not_now(row, ACTIONS[key])


def _why_not_now(row: Backup, action: Action) -> str:
    if row.status not in action.states:
        hint = {
            S.CREATING: "Wait until that is done, or cancel it.",
            S.READY: "It is whole: there is nothing to cancel.",
            S.ERROR: "It can only be deleted.",
        }.get(S(row.status), "Wait until that is done.")
        return f"{row.name} is {row.get_status_display().lower()}. {hint}"
    if action.key == "cancel" and row.is_cancelled:
        return f"{row.name} is being cancelled already."
    if action.key in ("verify", "delete") and row.trial == Trial.RUNNING:
        return f"{row.name} is being verified. Wait until that is done."
    if action.key == "delete" and row.restores.exists():
        return f"{row.name} is being restored. Wait until that is done."
    return ""


def list(
    ctx: Context,
    *,
    q: str = "",
    status: str = "",
    volume_id: UUID | None = None,
    instance_id: UUID | None = None,
    vault_id: UUID | None = None,
    schedule_id: UUID | None = None,
    group: UUID | None = None,
    sort: str = "-created",
) -> QuerySet[Backup]:
    """The backups of the project. `q` matches their name, what they are of, and the id."""
    ctx.require("backups.list")
    rows = Backup.objects.exclude(status=S.DELETED).filter(project=ctx.project)
    rows = rows.select_related("vault", "volume", "instance", "schedule", "base")
    if q:
        match = Q(name__icontains=q) | Q(source_name__icontains=q)
        try:
            match |= Q(id=UUID(q)) | Q(disk_id=UUID(q))
        except ValueError:
            pass
        rows = rows.filter(match)
    wanted = {"status": status, "volume_id": volume_id, "vault_id": vault_id, "schedule_id": schedule_id, "group": group}
    rows = rows.filter(**{name: value for name, value in wanted.items() if value})
    if instance_id is not None:
        rows = rows.filter(instance_id=instance_id)
    column = _SORTS.get(sort.removeprefix("-"), "created_at")
    return rows.order_by(f"-{column}" if sort.startswith("-") else column, "id")


def get(ctx: Context, id: UUID) -> Backup:
    """The one way to a backup. A stranger's is NotFound, like one that never was."""
    found = list(ctx).filter(id=id).first()
    if found is None:
        raise NotFound(f"There is no backup {id}.", resource=str(id))
    return found


def counts(ctx: Context) -> dict[str, int]:
    """How many the project has, how many are being made, and what they added to its buckets."""
    ready = Q(status=S.READY)
    total = (
        list(ctx)
        .order_by()
        .aggregate(n=Count("id"), stored=Sum("new_bytes", filter=ready), making=Count("id", filter=Q(status=S.CREATING)))
    )
    return {"total": total["n"], "stored": total["stored"] or 0, "making": total["making"]}


def chain(ctx: Context, row: Backup) -> QuerySet[Backup]:
    """All backups of the same disk in the same vault, the newest first. Each is whole; what they share is stored once."""
    return list(ctx, vault_id=row.vault_id, sort="-taken").filter(disk_id=row.disk_id)


def mates(ctx: Context, row: Backup) -> QuerySet[Backup]:
    """The other disks of the instance that were taken at the same moment."""
    rows = list(ctx, group=row.group) if row.group else list(ctx).none()
    return rows.exclude(id=row.id)


# --- making


def why_not_of_volume(volume: Volume) -> str:
    """Why no backup can be made of this volume now; empty: it can."""
    if volume.status not in (V.AVAILABLE, V.ATTACHED):
        return f"{volume.name} is {volume.get_status_display().lower()}. A backup is made of a volume that is available or attached."
    if volume.status == V.ATTACHED and volume.is_read_only:
        return f"{volume.name} is attached read-only, so nothing on it changes. Detach it to make a backup."
    return ""


def why_not_of_instance(instance: Instance) -> str:
    """Why no backup can be made of this instance now; empty: it can."""
    if instance.status not in _DISK_THERE:
        label = instance.get_status_display().lower()
        return f"{instance.name} is {label}. A backup is made of one that runs, is paused, suspended or stopped."
    return ""


def create(
    ctx: Context,
    *,
    vault_id: UUID,
    volume_id: UUID | None = None,
    instance_id: UUID | None = None,
    name: str = "",
    description: str = "",
    full: bool = False,
    schedule: BackupSchedule | None = None,
) -> Sequence[Backup]:  # type: ignore[valid-type]
    """A volume, or all disks of an instance at one moment, in use or not. A guest with an agent writes out what it has in memory first.

    What the vault holds of the disk already is not stored again, unless a `full` one is asked for, which trusts nothing that is there.
    """
    ctx.require("backups.manage")
    if (volume_id is None) == (instance_id is None):
        raise Invalid("A backup is of one volume, or of one instance.", field="volume_id")
    vault = backup_vaults.get(ctx, vault_id)
    description = clean_text(description, field="description")
    with transaction.atomic():
        if list(ctx, status=S.CREATING).count() >= RUNNING_MAX:
            raise Conflict(f"{RUNNING_MAX} backups are being made. Wait until one is done.")
        disks, instance = _disks_of(ctx, volume_id, instance_id)
        group = uuid4() if len(disks) > 1 else None
        name = clean_name(name) if name else _name(instance.name if instance else disks[0]["source_name"])
        rows = [
            Backup.objects.create(
                project=ctx.needed_project,
                user=ctx.user,
                vault=vault,
                schedule=schedule,
                group=group,
                name=name,
                description=description,
                wants_full=full,
                **disk,
            )
            for disk in disks
        ]
        arguments = {"backup_ids": [str(row.id) for row in rows]}
        subject = rows[0].instance_id or rows[0].disk_id
        jobs.enqueue("take-backups", subject, actor=ctx.actor, project_id=ctx.project_id, arguments=arguments)
        for row in rows:
            events.publish(ctx.actor, "create", "backup", row, detail=f"of {row.source_name}, in {vault.name}")
    return [get(ctx, row.id) for row in rows]


def _name(source: str) -> str:
    return f"{source[:40]} {clock.now().astimezone(dt.UTC):%Y-%m-%d %H:%M}"


def _disks_of(ctx: Context, volume_id: UUID | None, instance_id: UUID | None) -> tuple[Sequence[dict[str, Any]], Instance | None]:
    if volume_id is not None:
        volume = volumes.get(ctx, volume_id)
        if reason := why_not_of_volume(volume):
            raise Conflict(reason, field="volume_id")
        return [_of_volume(volume)], None
    assert instance_id is not None
    instance = instances.get(ctx, instance_id)
    if reason := why_not_of_instance(instance):
        raise Conflict(reason, field="instance_id")
    theirs = [*Volume.objects.filter(instance=instance).exclude(status=V.DELETED).order_by("attached_at", "id")]
    for volume in theirs:
        if volume.status != V.ATTACHED:
            raise Conflict(f"{volume.name} is {volume.get_status_display().lower()}. Wait until that is done.", field="instance_id")
    found = [_of_volume(volume) for volume in theirs if not volume.is_read_only]
    if not any(volume.is_boot for volume in theirs):
        root = {
            "disk": Backup.Disk.ROOT,
            "disk_id": instance.id,
            "instance": instance,
            "source_name": instance.name[:64],
            "size_gib": instance.disk_gib,
            "facts": _facts(instance),
        }
        found = [root, *found]
    if not found:
        raise Conflict(f"{instance.name} has no disk that could be backed up.", field="instance_id")
    return found, instance


def _of_volume(volume: Volume) -> dict[str, Any]:
    return {
        "disk": Backup.Disk.VOLUME,
        "disk_id": volume.id,
        "volume": volume,
        "instance": volume.instance,
        "source_name": volume.name[:64],
        "size_gib": volume.size_gib,
        "facts": {"type": volume.type.name, "image_id": str(volume.image_id) if volume.image_id else None},
    }


def _facts(instance: Instance) -> dict[str, Any]:
    """What a launch from the backup needs, here or on another box."""
    cards = instance.ports.select_related("network").prefetch_related("security_groups").order_by("index")
    return {
        "image_id": str(instance.image_id),
        "image": instance.image.name,
        "flavor_id": str(instance.flavor_id),
        "flavor": instance.flavor.name,
        "vcpus": instance.vcpus,
        "memory_mib": instance.memory_mib,
        "hostname": instance.hostname,
        "keypair_id": str(instance.keypair_id) if instance.keypair_id else None,
        "user_data": base64.b64encode(bytes(instance.user_data)).decode(),
        "tags": instance.tags,
        "network_ids": [str(port.network_id) for port in cards],
        "security_group_ids": sorted({str(group.id) for port in cards for group in port.security_groups.all()}),
        "disk_bus": instance.disk_bus,
        "config_drive": instance.config_drive,
    }


# --- what can be done to one


def update(ctx: Context, id: UUID, *, name: str | None = None, description: str | None = None) -> Backup:
    """Here only: what the bucket says of it stays as it was written."""
    ctx.require("backups.manage")
    with transaction.atomic():
        row = _checked(ctx, id, "rename")
        before, row.name = row.name, clean_name(name) if name is not None else row.name
        row.description = clean_text(description, field="description") if description is not None else row.description
        row.save(update_fields=["name", "description"])
        events.publish(ctx.actor, "update", "backup", row, detail=f"name from {before}" if before != row.name else "description")
    return get(ctx, id)


def cancel(ctx: Context, id: UUID) -> Backup:
    """It ends within seconds, and nothing of it stays."""
    ctx.require("backups.manage")
    with transaction.atomic():
        row = _checked(ctx, id, "cancel")
        Backup.objects.filter(id=id).update(is_cancelled=True)
        events.publish(ctx.actor, "cancel", "backup", row)
    return get(ctx, id)


def delete(ctx: Context, id: UUID) -> Backup:
    """From the bucket, with all that no other backup of the disk needs."""
    ctx.require("backups.manage")
    with transaction.atomic():
        row = get(ctx, id)
        if row.status == S.DELETING:
            return row
        row = _checked(ctx, id, "delete")
        machine.move(row, S.DELETING, actor=ctx.actor, verb="delete", error="")
        jobs.enqueue("delete-backup", row.chain, actor=ctx.actor, project_id=row.project_id, arguments={"backup_id": str(id)})
    return get(ctx, id)


def verify(ctx: Context, id: UUID) -> Backup:
    """Fetch all of it, prove each byte, and of a system's disk boot a copy without a network until it shows a sign of life."""
    ctx.require("backups.manage")
    with transaction.atomic():
        row = _checked(ctx, id, "verify")
        Backup.objects.filter(id=id).update(trial=Trial.RUNNING, trial_words="", tried_at=None)
        jobs.enqueue("try-backup", id, actor=ctx.actor, project_id=row.project_id)
        events.publish(ctx.actor, "try", "backup", row)
    return get(ctx, id)


# --- restoring


def restore_as_volume(
    ctx: Context, id: UUID, *, name: str, size_gib: int | None = None, type_id: UUID | None = None, shares_name: bool = False
) -> Volume:
    """A new volume with what the disk was. One of a system's disk can be booted from."""
    ctx.require("backups.manage")
    with transaction.atomic():
        row = _checked(ctx, id, "restore")
        if size_gib is not None and size_gib < row.size_gib:
            raise Invalid(f"The backup is of a disk of {row.size_gib} GiB. Make the volume at least as large.", field="size_gib")
        volume = volumes.create(ctx, name=name, size_gib=size_gib or row.size_gib, type_id=type_id, shares_name=shares_name)
        BackupRestore.objects.create(disk_id=volume.id, backup=row, project_id=row.project_id)
        image = _found(
            Image.objects.exclude(status=Image.Status.DELETED).filter(Q(project=ctx.project) | Q(project=None)), row.facts.get("image_id")
        )
        if image is not None:
            Volume.objects.filter(id=volume.id).update(image=image)
        events.publish(ctx.actor, "restore", "backup", row, detail=f"as the volume {volume.name}")
    return volumes.get(ctx, volume.id)


def why_not_over(row: Backup, volume: Volume) -> str:
    """Why the backup cannot be written over this volume now; empty: it can."""
    if volume.status != V.AVAILABLE:
        hint = f" Detach it from {volume.instance.name} first." if volume.instance else " Wait until that is done."
        return f"{volume.name} is {volume.get_status_display().lower()}.{hint}"
    if volume.is_protected:
        return f"{volume.name} is protected. Allow its deletion first."
    if volume.size_gib < row.size_gib:
        return f"{volume.name} has {volume.size_gib} GiB, and the backup is of {row.size_gib} GiB. Grow the volume first."
    return ""


def restore_over(ctx: Context, id: UUID, *, volume_id: UUID) -> Volume:
    """A volume that is attached nowhere becomes what the disk was. Its snapshots stay; if it fails, the volume is as before."""
    ctx.require("backups.manage")
    with transaction.atomic():
        row = _checked(ctx, id, "restore")
        volumes.get(ctx, volume_id)
        volume = Volume.objects.select_for_update(of=("self",)).select_related("type", "instance").get(id=volume_id)
        if reason := why_not_over(row, volume):
            raise Conflict(reason, field="volume_id")
        volume_machine.move(volume, V.RESTORING, actor=ctx.actor, verb="restore", detail=f"to the backup {row.name}", error="")
        BackupRestore.objects.create(disk_id=volume.id, backup=row, project_id=row.project_id)
        arguments = {"backup_id": str(id)}
        jobs.enqueue("restore-volume-backup", volume.id, actor=ctx.actor, project_id=row.project_id, arguments=arguments)
    return volumes.get(ctx, volume_id)


def restore_as_instance(
    ctx: Context,
    id: UUID,
    *,
    name: str,
    flavor_id: UUID | None = None,
    image_id: UUID | None = None,
    network_ids: Sequence[UUID] = (),
    with_volumes: bool = True,
) -> Instance:
    """A new instance on the root disk of the backup, as the old one was, as far as this project still has what it was made of; and its
    volumes of the same moment as new ones. With volumes it stays off until they are attached."""
    ctx.require("backups.manage")
    row, name = get(ctx, id), clean_name(name)
    if row.disk != Backup.Disk.ROOT:
        raise Conflict(f"{row.name} is of a volume. Restore it as a volume.", resource=str(id))
    facts = row.facts
    flavor = flavor_id or _id_of(_found(Flavor.objects.filter(is_active=True), facts.get("flavor_id")))
    image = image_id or _id_of(
        _found(Image.objects.filter(Q(project=ctx.project) | Q(project=None), status="ready"), facts.get("image_id"))
    )
    if flavor is None:
        raise Invalid("The flavor that it had is not offered here. Choose one.", field="flavor_id")
    if image is None:
        raise Invalid("The image that it was made of is not here. Name one of the same system.", field="image_id")
    nets = network_ids or _all_found(Network.objects.filter(project=ctx.project), facts.get("network_ids"))
    groups = _all_found(SecurityGroup.objects.filter(project=ctx.project), facts.get("security_group_ids"))
    keypair = _id_of(_found(Keypair.objects.filter(user=ctx.user), facts.get("keypair_id")))
    with transaction.atomic():
        row = _checked(ctx, id, "restore")
        disks = [mate for mate in mates(ctx, row) if mate.status == S.READY] if with_volumes else []
        spec = LaunchSpec(
            name=name,
            image_id=image,
            flavor_id=flavor,
            keypair_id=keypair,
            network_ids=nets,
            security_group_ids=groups,
            user_data=_bytes(facts.get("user_data")),
            config_drive=drive if (drive := facts.get("config_drive")) in ConfigDrive.values else None,
            tags={str(key): str(value) for key, value in (facts.get("tags") or {}).items()} if isinstance(facts.get("tags"), dict) else {},
            disk_gib=max(row.size_gib, Flavor.objects.get(id=flavor).disk_gib),
            start=not disks,
        )
        instance: Instance = instances.launch(ctx, spec)[0]  # type: ignore[index]
        BackupRestore.objects.create(disk_id=instance.id, backup=row, project_id=row.project_id)
        for mate in disks:
            volume = restore_as_volume(ctx, mate.id, name=f"{name[:40]} {mate.source_name}"[:64])
            arguments = {"instance_id": str(instance.id)}
            jobs.enqueue("join-volume", volume.id, actor=ctx.actor, project_id=row.project_id, arguments=arguments)
        events.publish(ctx.actor, "restore", "backup", row, detail=f"as the instance {instance.name}")
    return instances.get(ctx, instance.id)


def _found(rows: QuerySet[Any], id: object) -> Any:
    try:
        return rows.filter(id=UUID(str(id))).first() if id else None
    except ValueError:
        return None


def _all_found(rows: QuerySet[Any], ids: object) -> Sequence[UUID]:
    if not isinstance(ids, (tuple, [].__class__)):
        return ()
    return [found.id for each in ids[:32] if (found := _found(rows, each)) is not None]


def _id_of(row: Any) -> UUID | None:
    return row.id if row is not None else None


def _bytes(text: object) -> bytes:
    try:
        return base64.b64decode(str(text or ""), validate=True)
    except ValueError:
        return b""


def _checked(ctx: Context, id: UUID, key: str) -> Backup:
    """The backup, locked in the caller's transaction, if the action is possible."""
    get(ctx, id)
    row = Backup.objects.select_for_update(of=("self",)).select_related("vault").get(id=id)
    if reason := _why_not_now(row, ACTIONS[key]):
        raise Conflict(reason, resource=str(id))
    return row
