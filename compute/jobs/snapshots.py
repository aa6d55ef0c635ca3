"""Work on snapshots of volumes. The lock is the volume's, so its snapshots are made, gone back to and deleted one after another."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction

from cloudbox.common import clock
from cloudbox.common.errors import Conflict
from cloudbox.common.jobs import Kind, Run, Step
from compute import charges, host
from compute.jobs import disks
from compute.models import Snapshot, Volume
from compute.volume_lifecycle import machine, resting, snapshot_machine

S = Snapshot.Status


def _subject(run: Run) -> Snapshot:
    return Snapshot.objects.select_related("volume__instance").get(id=UUID(run.arguments["snapshot_id"]))


def _volume(run: Run) -> Volume:
    return Volume.objects.select_related("type", "instance").get(id=run.subject_id)


# --- create


def _take(run: Run) -> None:
    snapshot, volume = _subject(run), _volume(run)
    if volume.status == Volume.Status.DELETED:
        raise Conflict("The volume was deleted meanwhile.")
    with disks.held_still(volume.instance_id) as is_consistent:
        disks.take(volume.instance_id, {volume.id: snapshot.id})
    Snapshot.objects.filter(id=snapshot.id).update(is_consistent=is_consistent)


def _drop(run: Run) -> None:
    volume = _volume(run)
    disks.let_go_on(volume.instance_id)
    disks.forget(volume.instance_id, volume.id, _subject(run).id)


def _taken(run: Run) -> None:
    with transaction.atomic():
        volume = Volume.objects.select_for_update(of=("self",)).get(id=run.subject_id)
        snapshot = _subject(run)
        if snapshot.status == S.CREATING:
            snapshot_machine.move(snapshot, S.READY, actor=run.actor, taken_at=clock.now(), parent_id=volume.base_id, error="")
            Volume.objects.filter(id=volume.id).update(base=snapshot)
    disks.note_room(_volume(run))


def _not_taken(run: Run, sentence: str) -> None:
    """What was taken is gone again; the row says why."""
    with transaction.atomic():
        snapshot = _subject(run)
        if snapshot.status == S.READY:  # the last step's answer was lost
            disks.close_gap(snapshot)
        if snapshot.status in (S.CREATING, S.READY):
            snapshot_machine.move(snapshot, S.ERROR, actor=run.actor, detail=sentence, error=sentence)


# --- restore


def _restore(run: Run) -> None:
    volume, snapshot = _volume(run), _subject(run)
    if volume.instance is not None:
        disks.check_off(volume.instance.id, volume.instance.name)
    host.volumes().restore(volume.id, snapshot.id, size_gib=volume.size_gib)


def _restored(run: Run) -> None:
    volume = _volume(run)
    if volume.status == Volume.Status.RESTORING:
        machine.move(volume, resting(volume), actor=run.actor, error="", base=_subject(run))
    disks.note_room(volume)


def _not_restored(run: Run, sentence: str) -> None:
    volume = _volume(run)
    if volume.status == Volume.Status.RESTORING:
        machine.move(volume, resting(volume), actor=run.actor, detail=sentence, error=sentence)


# --- delete


def _forget(run: Run) -> None:
    volume = _volume(run)
    if volume.status != Volume.Status.DELETED:
        disks.forget(volume.instance_id, volume.id, _subject(run).id)


def _gone(run: Run) -> None:
    with transaction.atomic():
        Volume.objects.select_for_update(of=("self",)).get(id=run.subject_id)
        snapshot = _subject(run)
        if snapshot.status != S.DELETED:
            disks.close_gap(snapshot)
            charges.release_snapshot(snapshot.project_id, snapshot.size_gib)
            snapshot_machine.move(snapshot, S.DELETED, actor=run.actor, deleted_at=clock.now())
    if _volume(run).status != Volume.Status.DELETED:
        disks.note_room(_volume(run))


def _not_gone(run: Run, sentence: str) -> None:
    snapshot = _subject(run)
    if snapshot.status == S.DELETING:
        sentence = f"Could not be deleted: {sentence} Delete it again."
        snapshot_machine.move(snapshot, S.ERROR, actor=run.actor, detail=sentence, error=sentence)


KINDS = (
    Kind(
        name="create-snapshot",
        noun="volume",
        steps=(Step("Taking the snapshot", _take, _drop), Step("Noting it", _taken)),
        on_failed=_not_taken,
    ),
    Kind(
        name="restore-volume",
        noun="volume",
        steps=(Step("Going back to the snapshot", _restore), Step("Noting it", _restored)),
        on_failed=_not_restored,
    ),
    Kind(
        name="delete-snapshot",
        noun="volume",
        steps=(Step("Deleting the snapshot", _forget), Step("Closing the books", _gone)),
        on_failed=_not_gone,
    ),
)
