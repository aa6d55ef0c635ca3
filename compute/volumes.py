"""Volumes: create, attach, detach, grow, delete. They outlive the instances that they are attached to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Count, Q, QuerySet, Sum

from cloudbox.common import events, jobs
from cloudbox.common.errors import AlreadyExists, Conflict, Invalid, NotFound
from compute import charges, instances, volume_types
from compute import volume_sources as sources
from compute.models import Image, Instance, Snapshot, Volume, VolumeType
from compute.volume_lifecycle import machine, note_size
from identity import quotas
from identity.context import Context
from identity.names import clean_name, clean_text

S = Volume.Status
SIZE_GIB_MAX = 4096
PER_INSTANCE_MAX = 8  # As many sockets a machine has for disks that come while it runs.
_SORTS = {"name": "name", "status": "status", "created": "created_at", "size": "size_gib"}
# An instance whose machine is there and whose memory is not on a disk: a saved one would wake up without its new disk, and confused.
_OPEN = frozenset({Instance.Status.RUNNING, Instance.Status.STOPPED, Instance.Status.PAUSED})


@dataclass(frozen=True, kw_only=True)
class Action:
    """`states`: from where it is possible."""

    key: str
    label: str
    states: frozenset[str]
    icon: str
    confirm: str = ""
    danger: bool = False
    policy: str = "volumes.manage"


_HINTS = {
    S.AVAILABLE: "It is attached to no instance.",
    S.ERROR: "It can only be deleted.",
    S.OFFERED: "Withdraw the offer first.",
}
_RESTING = frozenset({S.AVAILABLE, S.ATTACHED})
_THERE = frozenset(set(S.values) - {S.DELETING, S.DELETED})

ACTIONS: dict[str, Action] = {
    action.key: action
    for action in (
        Action(key="attach", label="Attach", states=frozenset({S.AVAILABLE}), icon="link"),
        Action(
            key="detach",
            label="Detach",
            states=frozenset({S.ATTACHED}),
            icon="link",
            confirm="Unmount it in the guest first: what is not written yet is lost. The volume and its data stay.",
        ),
        Action(key="grow", label="Grow", states=_RESTING, icon="disk"),
        Action(key="rename", label="Rename", states=_THERE, icon="edit"),
        Action(key="snapshot", label="Take a snapshot", states=_RESTING, icon="disk", policy="snapshots.manage"),
        Action(key="copy", label="Copy", states=_RESTING, icon="copy"),
        Action(key="retype", label="Change the type", states=_RESTING, icon="size"),
        Action(key="offer", label="Offer to another project", states=frozenset({S.AVAILABLE}), icon="users"),
        Action(key="withdraw", label="Withdraw the offer", states=frozenset({S.OFFERED}), icon="x"),
        Action(key="protect", label="Protect from deletion", states=_THERE, icon="shield"),
        Action(key="unprotect", label="Allow deletion", states=_THERE, icon="shield"),
        Action(
            key="delete",
            label="Delete",
            states=frozenset({S.AVAILABLE, S.ERROR}),
            icon="trash",
            confirm="Its data goes with it. This cannot be undone.",
            danger=True,
        ),
    )
}


def why_not(ctx: Context, volume: Volume, key: str) -> str:
    """Empty when the action is possible now, else the sentence that says why not and what to do."""
    action = ACTIONS[key]
    return ctx.why_not(action.policy) or _why_not_now(volume, action)


def _why_not_now(volume: Volume, action: Action) -> str:
    if volume.is_boot and volume.instance is not None and action.key in ("attach", "detach", "delete", "offer"):
        return f"{volume.instance.name} boots from {volume.name}. Delete the instance first; the volume can stay."
    if volume.status == S.AVAILABLE and volume.instance is not None:
        return f"{volume.name} is on its way to {volume.instance.name}. Wait until that is launched."
    if volume.status not in action.states:
        if volume.status == S.ATTACHED and volume.instance is not None:
            return f"{volume.name} is attached to {volume.instance.name}. Detach it first."
        label = volume.get_status_display().lower()
        hint = _HINTS.get(S(volume.status), "Wait until that is done.")
        return f"{volume.name} is {label}. {hint}"
    if action.key == "delete" and volume.is_protected:
        return f"{volume.name} is protected from deletion. Allow deletion first."
    if action.key in ("delete", "offer") and (copy := being_copied(volume)):
        return f"{copy.name} is being made from it. Wait until that is done."
    if action.key == "offer":
        return _why_no_offer(volume)
    if action.key in ("snapshot", "copy") and volume.status == S.ATTACHED and volume.is_read_only:
        return f"{volume.name} is attached read-only, so nothing on it changes. Detach it first."
    return ""


def _why_no_offer(volume: Volume) -> str:
    if volume.is_protected:
        return f"{volume.name} is protected from deletion, and would be gone from this project. Allow deletion first."
    whole = volume.snapshots.filter(group__isnull=False).exclude(status=Snapshot.Status.DELETED).select_related("group__instance").first()
    if whole is not None and whole.group is not None:
        return f"{volume.name} is part of the snapshot {whole.group.name} of {whole.group.instance.name}. Delete that one first."
    return ""


def being_copied(volume: Volume) -> Volume | Image | None:
    """A volume or an image that is being made from this one, or from a snapshot of it."""
    copies = Volume.objects.filter(Q(source_volume=volume) | Q(source_snapshot__volume=volume), status=S.CREATING)
    return copies.first() or Image.objects.filter(status=Image.Status.IMPORTING, source__disk=str(volume.id)).first()


def why_not_now(volume: Volume, key: str) -> str:
    """As `why_not`, for whoever has the right."""
    return _why_not_now(volume, ACTIONS[key])


def _check(volume: Volume, key: str) -> None:
    reason = why_not_now(volume, key)
    if reason:
        raise Conflict(reason, resource=str(volume.id))


def list(
    ctx: Context, *, q: str = "", status: str = "", instance_id: UUID | None = None, sort: str = "name", all_projects: bool = False
) -> QuerySet[Volume]:
    """The volumes of the project; with `all_projects`, of the box. `q` matches name and id."""
    ctx.require("box.look" if all_projects else "volumes.list")
    rows = Volume.objects.exclude(status=S.DELETED).select_related("type", "instance", "project", "image", "base")
    if not all_projects:
        rows = rows.filter(project=ctx.project)
    if q:
        match = Q(name__icontains=q)
        try:
            match |= Q(id=UUID(q))
        except ValueError:
            pass
        rows = rows.filter(match)
    if status:
        rows = rows.filter(status=status)
    if instance_id is not None:
        rows = rows.filter(instance_id=instance_id)
    column = _SORTS.get(sort.removeprefix("-"), "name")
    return rows.order_by(f"-{column}" if sort.startswith("-") else column, "id")


def get(ctx: Context, id: UUID) -> Volume:
    """The one way to a volume. A stranger's is NotFound, like one that never was."""
    volume = list(ctx).filter(id=id).first()
    if volume is None:
        raise NotFound(f"There is no volume {id}.", resource=str(id))
    return volume


def counts(ctx: Context) -> dict[str, int]:
    """How many the project has, how many of them are attached, and how large they are together."""
    total = list(ctx).order_by().aggregate(n=Count("id"), gib=Sum("size_gib"), attached=Count("id", filter=Q(status=S.ATTACHED)))
    return {"total": total["n"], "attached": total["attached"], "gib": total["gib"] or 0}


def create(
    ctx: Context,
    *,
    name: str,
    size_gib: int | None = None,
    type_id: UUID | None = None,
    description: str = "",
    image_id: UUID | None = None,
    volume_id: UUID | None = None,
    snapshot_id: UUID | None = None,
    metadata: Mapping[str, str] | None = None,
    shares_name: bool = False,
) -> Volume:
    """A volume: empty, or beginning as an image, as another volume is now, or as one was at a snapshot. Charges the quota, writes the
    row, hands the making to a job. Without a size it is as large as what it begins as, without a type of the same type."""
    ctx.require("volumes.manage")
    name, description = clean_name(name, length_max=255 if shares_name else 64), clean_text(description, field="description")
    try:
        with transaction.atomic():
            source = sources.find(ctx, image_id=image_id, volume_id=volume_id, snapshot_id=snapshot_id)
            size_gib = sources.size_of(source, size_gib)
            _check_size(size_gib)
            kind = _type_of(ctx, type_id, source)
            quotas.charge(ctx.project_id, charges.of_volume(size_gib))
            volume = Volume.objects.create(
                project=ctx.needed_project,
                user=ctx.needed_user,
                name=name,
                shares_name=shares_name,
                metadata=instances.clean_metadata(metadata or {}),
                description=description,
                type=kind,
                size_gib=size_gib,
                image=source.image,
                source_volume=source.volume,
                source_snapshot=source.snapshot,
            )
            note_size(volume)
            jobs.enqueue("create-volume", volume.id, actor=ctx.actor, project_id=volume.project_id)
            events.publish(ctx.actor, "create", "volume", volume, detail=f"{size_gib} GiB of {kind.name}{source.words}")
    except IntegrityError as error:
        raise AlreadyExists(f"There is a volume {name} in this project.", field="name") from error
    return volume


def _type_of(ctx: Context, type_id: UUID | None, source: sources.Source) -> VolumeType:
    if type_id is None and source.type is not None and source.type.is_active:
        return source.type
    kind = volume_types.get(ctx, type_id) if type_id else volume_types.default(ctx)
    if not kind.is_active:
        raise Conflict(f"The type {kind.name} is no longer offered. Choose another.", field="type_id")
    return kind


def _check_size(size_gib: int) -> None:
    if not 1 <= size_gib <= SIZE_GIB_MAX:
        raise Invalid(f"A volume has 1 to {SIZE_GIB_MAX} GiB.", field="size_gib")


def attach(ctx: Context, id: UUID, *, instance_id: UUID, read_only: bool = False) -> Volume:
    """Give it to an instance, running or not. The guest finds it by its serial."""
    ctx.require("volumes.manage")
    with transaction.atomic():
        volume = locked(ctx, id, "attach")
        if not instances.list(ctx).filter(id=instance_id).exists():
            raise NotFound(f"There is no instance {instance_id}.", field="instance_id")
        # The row's lock: of two volumes that are attached at once, the second counts the first.
        instance = Instance.objects.select_for_update(of=("self",)).get(id=instance_id)
        reason = why_not_to(instance)
        if reason:
            raise Conflict(reason, field="instance_id")
        machine.move(
            volume,
            S.ATTACHING,
            actor=ctx.actor,
            verb="attach",
            instance=instance,
            is_read_only=read_only or bool(volume.attaches_read_only),
            error="",
        )
        jobs.enqueue("attach-volume", id, actor=ctx.actor, project_id=volume.project_id)
    return get(ctx, id)


def why_not_to(instance: Instance) -> str:
    """Why no volume can be attached to this instance now; empty: it can."""
    if instance.status not in _OPEN:
        return (
            f"{instance.name} is {instance.get_status_display().lower()}. A volume is attached to one that runs, is paused or is stopped."
        )
    if instance.locked_by:
        return f"{instance.name} is locked by {instance.locked_by}. Unlock it first."
    if Volume.objects.filter(instance=instance).count() >= PER_INSTANCE_MAX:
        return f"{instance.name} has {PER_INSTANCE_MAX} volumes, and can have no more. Detach one first."
    return ""


def detach(ctx: Context, id: UUID) -> Volume:
    """Take it from its instance. A guest that runs must let go of it, and may refuse."""
    ctx.require("volumes.manage")
    with transaction.atomic():
        volume = locked(ctx, id, "detach")
        instance = volume.instance
        if instance is not None and instance.status == Instance.Status.SUSPENDED:
            raise Conflict(f"{instance.name} is suspended, and its memory expects the volume. Start it first.")
        if instance is not None and instance.locked_by:
            raise Conflict(f"{instance.name} is locked by {instance.locked_by}. Unlock it first.")
        machine.move(volume, S.DETACHING, actor=ctx.actor, verb="detach", error="")
        jobs.enqueue("detach-volume", id, actor=ctx.actor, project_id=volume.project_id)
    return get(ctx, id)


def grow(ctx: Context, id: UUID, *, size_gib: int) -> Volume:
    """Make it larger, in use or not. The file system on it is the guest's to grow. A volume never shrinks."""
    ctx.require("volumes.manage")
    _check_size(size_gib)
    with transaction.atomic():
        volume = locked(ctx, id, "grow")
        if size_gib <= volume.size_gib:
            raise Invalid(f"{volume.name} has {volume.size_gib} GiB. A volume can only become larger.", field="size_gib")
        quotas.charge(volume.project_id, {"volume_gib": size_gib - volume.size_gib})
        machine.move(volume, S.GROWING, actor=ctx.actor, verb="grow", size_gib=size_gib, error="", detail=f"to {size_gib} GiB")
        note_size(volume)
        jobs.enqueue("grow-volume", id, actor=ctx.actor, project_id=volume.project_id)
    return get(ctx, id)


def retype(ctx: Context, id: UUID, *, type_id: UUID) -> Volume:
    """Another type, and with it other limits, in use or not. What lies elsewhere by its type is copied, not retyped."""
    ctx.require("volumes.manage")
    with transaction.atomic():
        volume = locked(ctx, id, "retype")
        kind, before = volume_types.get(ctx, type_id), volume.type
        if kind.id == before.id:
            return volume
        if not kind.is_active:
            raise Conflict(f"The type {kind.name} is no longer offered. Choose another.", field="type_id")
        if kind.backend != before.backend:
            raise Conflict(f"Volumes of the type {kind.name} lie elsewhere. Copy {volume.name} to one of it.", field="type_id")
        detail = f"from {before.name} to {kind.name}"
        machine.move(volume, S.RETYPING, actor=ctx.actor, verb="retype", type=kind, error="", detail=detail)
        note_size(volume)
        jobs.enqueue("retype-volume", id, actor=ctx.actor, project_id=volume.project_id, arguments={"before": str(before.id)})
    return get(ctx, id)


def update(
    ctx: Context, id: UUID, *, name: str | None = None, description: str | None = None, metadata: Mapping[str, str] | None = None
) -> Volume:
    """Other words for it."""
    ctx.require("volumes.manage")
    try:
        with transaction.atomic():
            volume = locked(ctx, id, "rename")
            changed = []
            name_max = 255 if volume.shares_name else 64
            if name is not None and clean_name(name, length_max=name_max) != volume.name:
                changed.append(f"name from {volume.name}")
                volume.name = clean_name(name, length_max=name_max)
            if description is not None:
                changed.append("description")
                volume.description = clean_text(description, field="description")
            if metadata is not None:
                changed.append("metadata")
                volume.metadata = instances.clean_metadata(metadata)
            volume.save(update_fields=["name", "description", "metadata", "changed_at"])
            events.publish(ctx.actor, "update", "volume", volume, detail=", ".join(changed))
    except IntegrityError as error:
        raise AlreadyExists(f"There is a volume {name} in this project.", field="name") from error
    return get(ctx, id)


def protect(ctx: Context, id: UUID) -> Volume:
    return _flag(ctx, id, "protect", is_protected=True)


def unprotect(ctx: Context, id: UUID) -> Volume:
    return _flag(ctx, id, "unprotect", is_protected=False)


def set_bootable(ctx: Context, id: UUID, *, is_bootable: bool) -> Volume:
    """Whether servers may boot from it, whatever it was made from. What is not known to hold a system does not boot by being called so."""
    return _flag(ctx, id, "update", key="rename", detail="bootable" if is_bootable else "not bootable", is_bootable=is_bootable)


def set_read_only(ctx: Context, id: UUID, *, is_read_only: bool) -> Volume:
    """Whether it is attached read-only from now on, whoever attaches it."""
    detail = "attached read-only" if is_read_only else "attached for writing"
    return _flag(ctx, id, "update", key="attach", detail=detail, attaches_read_only=is_read_only)


def _flag(ctx: Context, id: UUID, verb: str, *, key: str = "", detail: str = "", **fields: object) -> Volume:
    """`key`: the action that must be possible, if it is not called as the verb."""
    ctx.require("volumes.manage")
    with transaction.atomic():
        volume = locked(ctx, id, key or verb)
        Volume.objects.filter(id=id).update(**fields)
        events.publish(ctx.actor, verb, "volume", volume, detail=detail)
    return get(ctx, id)


def delete(ctx: Context, id: UUID, *, with_snapshots: bool = False) -> Volume:
    """The disk and all on it. Only one that is attached nowhere; its snapshots lie with it, so they must be meant, too."""
    ctx.require("volumes.manage")
    with transaction.atomic():
        volume = get(ctx, id)
        if volume.status == S.DELETING:
            return volume
        volume = locked(ctx, id, "delete")
        count = volume.snapshots.exclude(status=Snapshot.Status.DELETED).count()
        if count and not with_snapshots:
            some = "a snapshot, which goes" if count == 1 else f"{count} snapshots, which go"
            raise Conflict(f"{volume.name} has {some} with it. Delete the volume with its snapshots, or make volumes from them first.")
        machine.move(volume, S.DELETING, actor=ctx.actor, verb="delete", error="")
        jobs.enqueue("delete-volume", id, actor=ctx.actor, project_id=volume.project_id)
    return get(ctx, id)


def locked(ctx: Context, id: UUID, key: str) -> Volume:
    """The row, locked in the caller's transaction, if the action is possible."""
    get(ctx, id)
    volume = Volume.objects.select_for_update(of=("self",)).select_related("type", "instance").get(id=id)
    _check(volume, key)
    return volume


def all_counts(ctx: Context) -> Mapping[str, int]:
    """Of the box: how many volumes, and their size."""
    total = list(ctx, all_projects=True).order_by().aggregate(n=Count("id"), gib=Sum("size_gib"))
    return {"total": total["n"], "gib": total["gib"] or 0}
