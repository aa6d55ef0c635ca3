"""Snapshots of whole instances: the root disk and every volume at one moment. They lie with the disks, and end with the root disk."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet

from cloudbox.common import events, jobs
from cloudbox.common.errors import AlreadyExists, Conflict, NotFound
from compute import instances
from compute.boot_volumes import BootVolume
from compute.instances import LaunchSpec
from compute.models import Image, Instance, InstanceSnapshot, Snapshot, Volume
from compute.volume_lifecycle import instance_snapshot_machine as machine
from compute.volume_lifecycle import machine as volume_machine
from compute.volume_lifecycle import snapshot_machine
from identity import quotas
from identity.context import Context
from identity.names import clean_name, clean_text

S = InstanceSnapshot.Status
I = Instance.Status  # noqa: E741
PER_INSTANCE_MAX = 32
_OPEN = frozenset({I.RUNNING, I.PAUSED, I.STOPPED})


@dataclass(frozen=True, kw_only=True)
class Action:
    key: str
    label: str
    states: frozenset[str]
    policy: str = "snapshots.manage"


ACTIONS: dict[str, Action] = {
    action.key: action
    for action in (
        Action(key="launch", label="Launch from it", states=frozenset({S.READY}), policy="instances.launch"),
        Action(key="image", label="Make an image of it", states=frozenset({S.READY}), policy="images.manage"),
        Action(key="restore", label="Go back to it", states=frozenset({S.READY})),
        Action(key="delete", label="Delete", states=frozenset({S.READY, S.ERROR})),
    )
}


def why_not(ctx: Context, whole: InstanceSnapshot, key: str) -> str:
    """Empty when the action is possible now, else the sentence that says why not and what to do."""
    return ctx.why_not(ACTIONS[key].policy) or _why_not_now(whole, key)


def _why_not_now(whole: InstanceSnapshot, key: str) -> str:
    if whole.status not in ACTIONS[key].states:
        hint = "It can only be deleted." if whole.status == S.ERROR else "Wait until that is done."
        return f"{whole.name} is {whole.get_status_display().lower()}. {hint}"
    if key == "restore":
        return _why_no_restore(whole)
    if key == "image" and not whole.root_gib:
        return f"{whole.instance.name} booted from a volume. Make the image of that volume's snapshot."
    if key == "delete":
        copy = (
            Volume.objects.filter(Q(source_instance_snapshot=whole) | Q(source_snapshot__group=whole), status="creating").first()
            or Image.objects.filter(status=Image.Status.IMPORTING, source__snapshot=str(whole.id)).first()
        )
        return f"{copy.name} is being made from it. Wait until that is done." if copy else ""
    return ""


def _why_no_restore(whole: InstanceSnapshot) -> str:
    instance = whole.instance
    if instance.status != I.STOPPED:
        return f"{instance.name} is {instance.get_status_display().lower()}. Stop it first."
    if instance.locked_by:
        return f"{instance.name} is locked by {instance.locked_by}. Unlock it first."
    for part in whole.volumes.exclude(status=Snapshot.Status.DELETED).select_related("volume"):
        if part.volume.instance_id != instance.id or part.volume.status != Volume.Status.ATTACHED:
            return f"{part.volume.name}, which is part of it, is no longer attached to {instance.name}. Attach it first."
    return ""


def list(ctx: Context, *, instance_id: UUID | None = None) -> QuerySet[InstanceSnapshot]:
    """Those of the project, or of one instance; the latest first."""
    ctx.require("snapshots.list")
    rows = InstanceSnapshot.objects.filter(project=ctx.project).exclude(status=S.DELETED)
    rows = rows.select_related("project", "instance", "image", "flavor").prefetch_related("volumes__volume")
    return (rows if instance_id is None else rows.filter(instance_id=instance_id)).order_by("-created_at", "id")


def get(ctx: Context, id: UUID) -> InstanceSnapshot:
    """The one way to it. A stranger's is NotFound, like one that never was."""
    found = list(ctx).filter(id=id).first()
    if found is None:
        raise NotFound(f"There is no snapshot {id} of an instance.", resource=str(id))
    return found


def why_not_of(instance: Instance) -> str:
    """Why no snapshot can be taken of this instance now; empty: it can."""
    if instance.status not in _OPEN:
        label = instance.get_status_display().lower()
        return f"{instance.name} is {label}. A snapshot is taken of one that runs, is paused or is stopped."
    if instance.locked_by:
        return f"{instance.name} is locked by {instance.locked_by}. Unlock it first."
    if instance.rescue_image_id:
        return f"{instance.name} is in rescue. Leave rescue first."
    if InstanceSnapshot.objects.filter(instance=instance).exclude(status=S.DELETED).count() >= PER_INSTANCE_MAX:
        return f"{instance.name} has {PER_INSTANCE_MAX} snapshots, and can have no more. Delete one first."
    for volume in Volume.objects.filter(instance=instance).exclude(status=Volume.Status.ATTACHED):
        return f"{volume.name} is {volume.get_status_display().lower()}. Wait until that is done."
    return ""


def create(ctx: Context, instance_id: UUID, *, name: str, description: str = "") -> InstanceSnapshot:
    """Root disk and volumes as they are now, running or not. A guest with an agent writes out what it has in memory first. A volume
    that is attached read-only cannot change, and is left out."""
    ctx.require("snapshots.manage")
    name, description = clean_name(name), clean_text(description, field="description")
    try:
        with transaction.atomic():
            instance = _locked(ctx, instance_id)
            if reason := why_not_of(instance):
                raise Conflict(reason, resource=str(instance_id))
            volumes = [*Volume.objects.select_for_update(of=("self",)).filter(instance=instance, is_read_only=False).order_by("id")]
            gib = instance.disk_gib + sum(volume.size_gib for volume in volumes)
            quotas.charge(instance.project_id, {"snapshots": 1 + len(volumes), "snapshot_gib": gib})
            whole = InstanceSnapshot.objects.create(
                project_id=instance.project_id,
                user=ctx.needed_user,
                instance=instance,
                image_id=instance.image_id,
                flavor_id=instance.flavor_id,
                name=name,
                description=description,
                root_gib=instance.disk_gib,
            )
            for volume in volumes:
                Snapshot.objects.create(
                    project_id=whole.project_id, user=ctx.user, volume=volume, group=whole, name=name, size_gib=volume.size_gib
                )
            _enqueue(ctx, "create-instance-snapshot", whole)
            events.publish(ctx.actor, "create", "instance-snapshot", whole, detail=f"of {instance.name}")
    except IntegrityError as error:
        raise AlreadyExists(f"There is a snapshot {name} of this instance or of a volume of it.", field="name") from error
    return get(ctx, whole.id)


def restore(ctx: Context, id: UUID) -> InstanceSnapshot:
    """All its disks become what they were. What was written since is gone, unless another snapshot holds it."""
    ctx.require("snapshots.manage")
    with transaction.atomic():
        whole = _checked(ctx, id, "restore")
        for part in whole.volumes.exclude(status=Snapshot.Status.DELETED).select_related("volume"):
            volume_machine.move(part.volume, Volume.Status.RESTORING, actor=ctx.actor, verb="restore", detail=f"to {whole.name}", error="")
        machine.move(whole, S.RESTORING, actor=ctx.actor, verb="restore", error="")
        _enqueue(ctx, "restore-instance-snapshot", whole)
    return get(ctx, id)


def delete(ctx: Context, id: UUID) -> InstanceSnapshot:
    """Forget it. The disks and their other snapshots stay as they are."""
    ctx.require("snapshots.manage")
    with transaction.atomic():
        whole = get(ctx, id)
        if whole.status == S.DELETING:
            return whole
        whole = _checked(ctx, id, "delete")
        machine.move(whole, S.DELETING, actor=ctx.actor, verb="delete", error="")
        for part in whole.volumes.filter(status=Snapshot.Status.READY):
            snapshot_machine.move(part, Snapshot.Status.DELETING, actor=ctx.actor, verb="delete")
        _enqueue(ctx, "delete-instance-snapshot", whole)
    return whole


def launch(ctx: Context, id: UUID, spec: LaunchSpec) -> Instance:
    """A new instance with what the disks held: it boots from a new volume, and each other volume comes as a new one, attached.
    Of `spec` counts what is not about disks."""
    ctx.require("instances.launch")
    with transaction.atomic():
        whole = get(ctx, id)
        clean_name(spec.name)
        if reason := _why_not_now(whole, "launch"):
            raise Conflict(reason, resource=str(id))
        parts = [*whole.volumes.filter(status=Snapshot.Status.READY).select_related("volume")]
        first = next((part for part in parts if part.volume.id == _boot_id(whole)), None)
        boot = BootVolume(instance_snapshot_id=id) if first is None else BootVolume(snapshot_id=first.id)
        boot = replace(boot, data=tuple(part.id for part in parts if part is not first))
        launched: Any = instances.launch(ctx, replace(spec, boot=boot, image_id=None, count=1))
        return launched[0]  # type: ignore[no-any-return]


def _boot_id(whole: InstanceSnapshot) -> UUID | None:
    """The volume that it booted from; None when the root disk was its own."""
    if whole.root_gib:
        return None
    return (
        Volume.objects.filter(snapshots__group=whole, image=whole.image_id)
        .order_by("-is_boot", "created_at")
        .values_list("id", flat=True)
        .first()
    )


def _locked(ctx: Context, instance_id: UUID) -> Instance:
    instances.get(ctx, instance_id)
    return Instance.objects.select_for_update(of=("self",)).get(id=instance_id)


def _checked(ctx: Context, id: UUID, key: str) -> InstanceSnapshot:
    """It, with its instance locked, if the action is possible."""
    _locked(ctx, get(ctx, id).instance_id)
    whole = get(ctx, id)
    if reason := _why_not_now(whole, key):
        raise Conflict(reason, resource=str(id))
    return whole


def _enqueue(ctx: Context, kind: str, whole: InstanceSnapshot) -> None:
    arguments = {"snapshot_id": str(whole.id)}
    jobs.enqueue(kind, whole.instance_id, actor=ctx.actor, project_id=whole.project_id, arguments=arguments)
