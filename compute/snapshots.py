"""Snapshots of volumes: take, go back, delete in any order. They lie with their volume and end with it; a copy of one stands alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Count, Q, QuerySet, Sum

from cloudbox.common import events, jobs
from cloudbox.common.errors import AlreadyExists, Conflict, NotFound
from compute import charges, instances, volumes
from compute.models import Image, Instance, Snapshot, Volume
from compute.volume_lifecycle import machine, snapshot_machine
from identity import quotas
from identity.context import Context
from identity.names import clean_name, clean_text

S = Snapshot.Status
V = Volume.Status
PER_VOLUME_MAX = 64
_SORTS = {"name": "name", "status": "status", "created": "created_at", "size": "size_gib"}


@dataclass(frozen=True, kw_only=True)
class Action:
    """`states`: of the snapshot, from where it is possible."""

    key: str
    label: str
    states: frozenset[str]
    icon: str
    danger: bool = False
    policy: str = "snapshots.manage"


ACTIONS: dict[str, Action] = {
    action.key: action
    for action in (
        Action(key="copy", label="New volume from it", states=frozenset({S.READY}), icon="plus"),
        Action(key="image", label="Make an image of it", states=frozenset({S.READY}), icon="image", policy="images.manage"),
        Action(key="browse", label="Browse files", states=frozenset({S.READY}), icon="folder", policy="snapshots.browse"),
        Action(key="restore", label="Go back to it", states=frozenset({S.READY}), icon="restart", danger=True),
        Action(key="rename", label="Rename", states=frozenset(set(S.values) - {S.DELETING, S.DELETED}), icon="edit"),
        Action(key="delete", label="Delete", states=frozenset({S.READY, S.ERROR}), icon="trash", danger=True),
    )
}


def why_not(ctx: Context, snapshot: Snapshot, key: str) -> str:
    """Empty when the action is possible now, else the sentence that says why not and what to do."""
    action = ACTIONS[key]
    return ctx.why_not(action.policy) or _why_not_now(snapshot, action)


def _why_not_now(snapshot: Snapshot, action: Action) -> str:
    if snapshot.status not in action.states:
        label = snapshot.get_status_display().lower()
        hint = "It can only be deleted." if snapshot.status == S.ERROR else "Wait until that is done."
        return f"{snapshot.name} is {label}. {hint}"
    if action.key == "restore":
        return why_no_restore(snapshot.volume)
    if action.key == "delete" and snapshot.volume.status == V.ATTACHED and snapshot.volume.is_read_only:
        return f"{snapshot.volume.name} is attached read-only, so nothing on it can change. Detach it first."
    if action.key == "delete" and snapshot.group is not None and snapshot.group.status != snapshot.group.Status.DELETED:
        return f"{snapshot.name} is part of the snapshot {snapshot.group.name} of {snapshot.group.instance.name}. Delete that one."
    if action.key == "delete" and (copy := snapshot.copies.filter(status=V.CREATING).first() or _image_of(snapshot)):
        return f"{copy.name} is being made from it. Wait until that is done."
    return ""


def _image_of(snapshot: Snapshot) -> Image | None:
    """One that is being made."""
    return Image.objects.filter(status=Image.Status.IMPORTING, source__snapshot=str(snapshot.id)).first()


def why_no_restore(volume: Volume) -> str:
    """Why the volume cannot go back to any snapshot now; empty: it can."""
    if volume.status == V.ATTACHED and volume.instance is not None:
        if volume.instance.status != Instance.Status.STOPPED:
            label = volume.instance.get_status_display().lower()
            return f"{volume.instance.name}, which {volume.name} is attached to, is {label}. Stop it, or detach the volume, first."
        if volume.instance.locked_by:
            return f"{volume.instance.name} is locked by {volume.instance.locked_by}. Unlock it first."
    elif volume.status != V.AVAILABLE:
        return f"{volume.name} is {volume.get_status_display().lower()}. Wait until that is done."
    return ""


def list(
    ctx: Context, *, q: str = "", status: str = "", volume_id: UUID | None = None, sort: str = "name", all_projects: bool = False
) -> QuerySet[Snapshot]:
    """The snapshots of the project; with `all_projects`, of the box. `q` matches the names of snapshot and volume, and the id."""
    ctx.require("box.look" if all_projects else "snapshots.list")
    rows = Snapshot.objects.exclude(status=S.DELETED).select_related("project", "parent", "volume__instance", "group__instance")
    if not all_projects:
        rows = rows.filter(project=ctx.project)
    if q:
        match = Q(name__icontains=q) | Q(volume__name__icontains=q)
        try:
            match |= Q(id=UUID(q))
        except ValueError:
            pass
        rows = rows.filter(match)
    if status:
        rows = rows.filter(status=status)
    if volume_id is not None:
        rows = rows.filter(volume_id=volume_id)
    column = _SORTS.get(sort.removeprefix("-"), "name")
    return rows.order_by(f"-{column}" if sort.startswith("-") else column, "id")


def get(ctx: Context, id: UUID) -> Snapshot:
    """The one way to a snapshot. A stranger's is NotFound, like one that never was."""
    found = list(ctx).filter(id=id).first()
    if found is None:
        raise NotFound(f"There is no snapshot {id}.", resource=str(id))
    return found


def counts(ctx: Context) -> dict[str, int]:
    """How many the project has, and how large the volumes were together."""
    total = list(ctx).order_by().aggregate(n=Count("id"), gib=Sum("size_gib"))
    return {"total": total["n"], "gib": total["gib"] or 0}


def tree(ctx: Context, volume_id: UUID) -> tuple[tuple[int, Snapshot], ...]:
    """The snapshots of a volume as they went on from each other, each with its depth; the oldest first among those of one parent.

    A line without branches stays at one depth: only going back and taking another makes a branch.
    """
    rows = [*list(ctx, volume_id=volume_id, sort="created")]
    children: dict[UUID | None, tuple[Snapshot, ...]] = {}
    known = {row.id for row in rows}
    for row in rows:
        parent = row.parent_id if row.parent_id in known else None
        children[parent] = (*children.get(parent, ()), row)
    found: tuple[tuple[int, Snapshot], ...] = ()
    todo = [(0, row) for row in reversed(children.get(None, ()))]
    while todo:
        depth, row = todo.pop()
        found = (*found, (depth, row))
        after = children.get(row.id, ())
        todo += [(depth + (len(after) > 1), each) for each in reversed(after)]
    return found


def why_not_of(volume: Volume) -> str:
    """Why no snapshot can be taken of this volume now; empty: it can."""
    reason = volumes.why_not_now(volume, "snapshot")
    if reason:
        return reason
    if volume.snapshots.exclude(status=S.DELETED).count() >= PER_VOLUME_MAX:
        return f"{volume.name} has {PER_VOLUME_MAX} snapshots, and can have no more. Delete one first."
    return ""


def create(
    ctx: Context,
    *,
    volume_id: UUID,
    name: str,
    description: str = "",
    metadata: Mapping[str, str] | None = None,
    shares_name: bool = False,
) -> Snapshot:
    """The volume as it is now, in use or not. A guest with an agent writes out what it has in memory first."""
    ctx.require("snapshots.manage")
    name, description = clean_name(name, length_max=255 if shares_name else 64), clean_text(description, field="description")
    try:
        with transaction.atomic():
            if not volumes.list(ctx).filter(id=volume_id).exists():
                raise NotFound(f"There is no volume {volume_id}.", field="volume_id")
            volume = _locked(ctx, volume_id)
            reason = why_not_of(volume)
            if reason:
                raise Conflict(reason, field="volume_id")
            quotas.charge(volume.project_id, charges.of_snapshot(volume.size_gib))
            snapshot = Snapshot.objects.create(
                project_id=volume.project_id,
                user=ctx.needed_user,
                volume=volume,
                name=name,
                shares_name=shares_name,
                metadata=instances.clean_metadata(metadata or {}),
                description=description,
                size_gib=volume.size_gib,
            )
            _enqueue(ctx, "create-snapshot", snapshot)
            events.publish(ctx.actor, "create", "snapshot", snapshot, detail=f"of {volume.name}")
    except IntegrityError as error:
        raise AlreadyExists(f"There is a snapshot {name} of this volume.", field="name") from error
    return get(ctx, snapshot.id)


def restore(ctx: Context, id: UUID) -> Snapshot:
    """The volume becomes what it was; what was written since is gone, unless another snapshot holds it. Its size stays."""
    ctx.require("snapshots.manage")
    with transaction.atomic():
        snapshot = _checked(ctx, id, "restore")
        machine.move(snapshot.volume, V.RESTORING, actor=ctx.actor, verb="restore", detail=f"to {snapshot.name}", error="")
        _enqueue(ctx, "restore-volume", snapshot)
    return get(ctx, id)


def update(
    ctx: Context, id: UUID, *, name: str | None = None, description: str | None = None, metadata: Mapping[str, str] | None = None
) -> Snapshot:
    ctx.require("snapshots.manage")
    try:
        with transaction.atomic():
            snapshot = _checked(ctx, id, "rename")
            changed: tuple[str, ...] = ()
            name_max = 255 if snapshot.shares_name else 64
            if name is not None and clean_name(name, length_max=name_max) != snapshot.name:
                changed = (f"name from {snapshot.name}",)
                snapshot.name = clean_name(name, length_max=name_max)
            if description is not None:
                changed = (*changed, "description")
                snapshot.description = clean_text(description, field="description")
            if metadata is not None:
                changed = (*changed, "metadata")
                snapshot.metadata = instances.clean_metadata(metadata)
            snapshot.save(update_fields=["name", "description", "metadata"])
            events.publish(ctx.actor, "update", "snapshot", snapshot, detail=", ".join(changed))
    except IntegrityError as error:
        raise AlreadyExists(f"There is a snapshot {name} of this volume.", field="name") from error
    return get(ctx, id)


def delete(ctx: Context, id: UUID) -> Snapshot:
    """Forget it. The volume, its other snapshots and copies that were made of it stay as they are."""
    ctx.require("snapshots.manage")
    with transaction.atomic():
        snapshot = get(ctx, id)
        if snapshot.status == S.DELETING:
            return snapshot
        snapshot = _checked(ctx, id, "delete")
        snapshot_machine.move(snapshot, S.DELETING, actor=ctx.actor, verb="delete", error="")
        _enqueue(ctx, "delete-snapshot", snapshot)
    return snapshot


def _locked(ctx: Context, volume_id: UUID) -> Volume:
    """The volume, locked in the caller's transaction: whatever is asked of it and its snapshots comes one after another."""
    volumes.get(ctx, volume_id)
    return Volume.objects.select_for_update(of=("self",)).select_related("instance", "type").get(id=volume_id)


def _checked(ctx: Context, id: UUID, key: str) -> Snapshot:
    """The snapshot, its volume locked, if the action is possible."""
    _locked(ctx, get(ctx, id).volume_id)
    snapshot = get(ctx, id)
    reason = _why_not_now(snapshot, ACTIONS[key])
    if reason:
        raise Conflict(reason, resource=str(id))
    return snapshot


def _enqueue(ctx: Context, kind: str, snapshot: Snapshot) -> None:
    arguments = {"snapshot_id": str(snapshot.id)}
    jobs.enqueue(kind, snapshot.volume_id, actor=ctx.actor, project_id=snapshot.project_id, arguments=arguments)
