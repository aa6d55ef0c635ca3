"""Work on snapshots of whole instances. The lock is the instance's; what its volumes are asked meanwhile their statuses refuse."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.db import transaction

from cloudbox.common import clock
from cloudbox.common.errors import Conflict
from cloudbox.common.jobs import Kind, Run, Step
from compute import charges, host
from compute.jobs import disks
from compute.models import Instance, InstanceSnapshot, Snapshot, Volume
from compute.volume_lifecycle import instance_snapshot_machine as machine
from compute.volume_lifecycle import machine as volume_machine
from compute.volume_lifecycle import resting, snapshot_machine

S, G = Snapshot.Status, InstanceSnapshot.Status


def _subject(run: Run) -> InstanceSnapshot:
    return InstanceSnapshot.objects.select_related("instance").get(id=UUID(run.arguments["snapshot_id"]))


def _parts(whole: InstanceSnapshot) -> list[Snapshot]:
    """Those of its volumes that are still there."""
    return [*whole.volumes.exclude(status=S.DELETED).select_related("volume__instance").order_by("id")]


def _disks(whole: InstanceSnapshot, parts: Iterable[Snapshot]) -> dict[UUID, UUID]:
    """disk -> snapshot"""
    root = {whole.instance_id: whole.id} if whole.root_gib else {}
    return root | {part.volume_id: part.id for part in parts}


# --- create


def _take(run: Run) -> None:
    whole = _subject(run)
    parts = _parts(whole)
    if whole.instance.intended == Instance.Intent.DELETED:
        raise Conflict("The instance is being deleted.")
    with disks.held_still(whole.instance_id) as is_consistent:
        disks.take(whole.instance_id, _disks(whole, parts))
    InstanceSnapshot.objects.filter(id=whole.id).update(is_consistent=is_consistent)
    Snapshot.objects.filter(id__in=[part.id for part in parts]).update(is_consistent=is_consistent)


def _drop(run: Run) -> None:
    whole = _subject(run)
    disks.let_go_on(whole.instance_id)
    for part in _parts(whole):
        disks.forget(part.volume.instance_id, part.volume_id, part.id)
    if whole.root_gib:
        disks.forget(whole.instance_id, whole.instance_id, whole.id)


def _taken(run: Run) -> None:
    whole = _subject(run)
    with transaction.atomic():
        for part in _parts(whole):
            volume = Volume.objects.select_for_update(of=("self",)).get(id=part.volume_id)
            if part.status == S.CREATING:
                snapshot_machine.move(part, S.READY, actor=run.actor, taken_at=clock.now(), parent_id=volume.base_id, error="")
                Volume.objects.filter(id=volume.id).update(base=part)
        if whole.status == G.CREATING:
            machine.move(whole, G.READY, actor=run.actor, taken_at=clock.now(), error="")
    for part in _parts(whole):
        disks.note_room(part.volume)


def _not_taken(run: Run, sentence: str) -> None:
    whole = _subject(run)
    with transaction.atomic():
        _end_parts(run, whole)
        if whole.status in (G.CREATING, G.READY):
            machine.move(whole, G.ERROR, actor=run.actor, detail=sentence, error=sentence)


def _end_parts(run: Run, whole: InstanceSnapshot) -> None:
    for part in _parts(whole):
        disks.close_gap(part)
        charges.release_snapshot(part.project_id, part.size_gib)
        snapshot_machine.move(part, S.DELETED, actor=run.actor, deleted_at=clock.now())


# --- restore


def _restore(run: Run) -> None:
    whole = _subject(run)
    disks.check_off(whole.instance_id, whole.instance.name)
    if whole.root_gib:
        host.volumes().restore(whole.instance_id, whole.id, size_gib=whole.instance.disk_gib)
    for part in _parts(whole):
        host.volumes().restore(part.volume_id, part.id, size_gib=part.volume.size_gib)


def _restored(run: Run) -> None:
    whole = _subject(run)
    with transaction.atomic():
        for part in _parts(whole):
            if part.volume.status == Volume.Status.RESTORING:
                volume_machine.move(part.volume, resting(part.volume), actor=run.actor, error="", base=part)
        if whole.status == G.RESTORING:
            machine.move(whole, G.READY, actor=run.actor, error="")


def _not_restored(run: Run, sentence: str) -> None:
    whole = _subject(run)
    with transaction.atomic():
        for part in _parts(whole):
            if part.volume.status == Volume.Status.RESTORING:
                volume_machine.move(part.volume, resting(part.volume), actor=run.actor, detail=sentence, error=sentence)
        if whole.status == G.RESTORING:
            machine.move(whole, G.READY, actor=run.actor, detail=sentence, error=sentence)


# --- delete


def _forget(run: Run) -> None:
    _drop(run)


def _gone(run: Run) -> None:
    whole = _subject(run)
    with transaction.atomic():
        _end_parts(run, whole)
        if whole.status != G.DELETED:
            charges.release_snapshot(whole.project_id, whole.root_gib)
            machine.move(whole, G.DELETED, actor=run.actor, deleted_at=clock.now())


def _not_gone(run: Run, sentence: str) -> None:
    whole = _subject(run)
    if whole.status == G.DELETING:
        sentence = f"Could not be deleted: {sentence} Delete it again."
        machine.move(whole, G.ERROR, actor=run.actor, detail=sentence, error=sentence)


KINDS = (
    Kind(
        name="create-instance-snapshot",
        noun="instance",
        steps=(Step("Taking a snapshot of all disks", _take, _drop), Step("Noting it", _taken)),
        on_failed=_not_taken,
    ),
    Kind(
        name="restore-instance-snapshot",
        noun="instance",
        steps=(Step("Going back to the snapshot", _restore), Step("Noting it", _restored)),
        on_failed=_not_restored,
    ),
    Kind(
        name="delete-instance-snapshot",
        noun="instance",
        steps=(Step("Deleting the snapshot", _forget), Step("Closing the books", _gone)),
        on_failed=_not_gone,
    ),
)
