"""Work on volumes. The lock is the volume's: what its instance does meanwhile each step looks at anew."""

from __future__ import annotations

import datetime as dt
from uuid import UUID

from django.db import transaction

from cloudbox.common import clock
from cloudbox.common.errors import CloudError, Conflict
from cloudbox.common.jobs import Kind, Later, Run, Step
from compute import charges, desired, host, image_copies
from compute.drivers.specs import Power
from compute.jobs import disks, filling
from compute.models import Instance, Snapshot, Volume, VolumeType
from compute.volume_lifecycle import machine, note_size, resting, snapshot_machine

S = Volume.Status
LET_GO_SECONDS = 60
GIB = 2**30


def _subject(run: Run) -> Volume:
    return Volume.objects.select_related("type", "instance", "source_volume", "source_snapshot", "source_instance_snapshot").get(
        id=run.subject_id
    )


# --- create


def _remember(run: Run) -> None:
    """What a volume is copied from goes on meanwhile: a snapshot for the copy, called as it, holds the moment."""
    source = _subject(run).source_volume
    if source is not None:
        with disks.held_still(source.instance_id):
            disks.take(source.instance_id, {source.id: run.subject_id})


def _forget(run: Run) -> None:
    source = _subject(run).source_volume
    if source is not None:
        disks.let_go_on(source.instance_id)
        disks.forget(source.instance_id, source.id, run.subject_id)


def _make(run: Run) -> None:
    volume = _subject(run)
    store, size_gib = host.volumes(), volume.size_gib
    if filling.fill(volume.id, size_gib=size_gib):
        return
    if volume.source_snapshot is not None:
        snapshot = volume.source_snapshot
        store.copy_volume(volume.id, source=snapshot.volume_id, snapshot_id=snapshot.id, size_gib=size_gib)
    elif (whole := volume.source_instance_snapshot) is not None:
        store.copy_volume(volume.id, source=whole.instance_id, snapshot_id=whole.id, size_gib=size_gib)
    elif volume.source_volume_id is not None:
        store.copy_volume(volume.id, source=volume.source_volume_id, snapshot_id=volume.id, size_gib=size_gib)
    elif volume.image_id is not None:
        with image_copies.file(volume.image_id) as base:
            store.create_volume_from(volume.id, base=base, size_gib=size_gib)
    else:
        store.create_volume(volume.id, size_gib=size_gib)


def _unmake(run: Run) -> None:
    host.volumes().delete_volume(run.subject_id)


def _made(run: Run) -> None:
    filling.done(run.subject_id)
    machine.move(_subject(run), S.AVAILABLE, actor=run.actor, error="")
    disks.note_room(_subject(run))


def _not_made(run: Run, sentence: str) -> None:
    filling.done(run.subject_id)
    machine.move(_subject(run), S.ERROR, actor=run.actor, detail=sentence, error=sentence)


# --- attach


def _attach(run: Run) -> None:
    volume = _subject(run)
    instance = volume.instance
    if instance is None or instance.intended == Instance.Intent.DELETED:
        raise Conflict("The instance was deleted meanwhile.")
    power = host.hypervisor().power(instance.id)
    if power == Power.SAVED:
        raise Conflict(f"{instance.name} was suspended meanwhile.")
    if power == Power.ABSENT:
        return  # It gets its disks with its next definition: desired.machine names this one.
    host.hypervisor().attach_disk(instance.id, desired.disk(volume))


def _attached(run: Run) -> None:
    with transaction.atomic():
        volume = Volume.objects.select_for_update(of=("self",)).select_related("type", "instance").get(id=run.subject_id)
        if volume.instance is None or volume.instance.intended == Instance.Intent.DELETED:
            raise Conflict("The instance was deleted meanwhile.")
        machine.move(volume, S.ATTACHED, actor=run.actor, error="", attached_at=clock.now())


def _take_back(run: Run) -> None:
    volume = _subject(run)
    if volume.instance is not None and not host.hypervisor().detach_disk(volume.instance.id, volume.id):
        raise Conflict("The guest holds on to the volume.")


def _not_attached(run: Run, sentence: str) -> None:
    volume = _subject(run)
    machine.move(volume, S.AVAILABLE, actor=run.actor, detail=sentence, error=sentence, instance=None)


# --- detach


def _detach(run: Run) -> None:
    """A guest is asked, and may take its time: one that has not booted, or has no driver for it, never answers."""
    volume = _subject(run)
    if volume.instance is None or host.hypervisor().detach_disk(volume.instance.id, volume.id):
        return
    if clock.now() - run.job.created_at < dt.timedelta(seconds=LET_GO_SECONDS):
        raise Later(2)
    raise Conflict(
        f"{volume.instance.name} did not let go of it in {LET_GO_SECONDS} s. Unmount it there, or stop the instance, and try again."
    )


def _detached(run: Run) -> None:
    machine.move(_subject(run), S.AVAILABLE, actor=run.actor, error="", instance=None, attached_at=None)


def _not_detached(run: Run, sentence: str) -> None:
    volume = _subject(run)
    machine.move(volume, resting(volume), actor=run.actor, detail=sentence, error=sentence)


# --- grow


def _grow(run: Run) -> None:
    volume = _subject(run)
    if volume.instance is None or not host.hypervisor().resize_disk(volume.instance.id, volume.id, volume.size_gib):
        host.volumes().grow_volume(volume.id, size_gib=volume.size_gib)


def _grown(run: Run) -> None:
    volume = _subject(run)
    machine.move(volume, resting(volume), actor=run.actor, error="")


def _not_grown(run: Run, sentence: str) -> None:
    """What it really has counts, and the rest of the quota is given back."""
    volume = _subject(run)
    try:
        real = max(1, host.volumes().volume_bytes(volume.id)[0] // GIB)
    except CloudError:
        real = volume.size_gib
    with transaction.atomic():
        charges.release_volume_gib(volume.project_id, volume.size_gib - real)
        machine.move(volume, resting(volume), actor=run.actor, detail=sentence, error=sentence, size_gib=real)
        note_size(volume)


# --- retype


def _limit(run: Run) -> None:
    volume = _subject(run)
    if volume.instance is not None:
        host.hypervisor().limit_disk(volume.instance.id, desired.disk(volume))


def _limit_as_before(run: Run) -> None:
    """Undone, it has the type from before; its limits follow."""
    before = VolumeType.objects.filter(id=UUID(run.arguments["before"])).first() if run.arguments else None
    with transaction.atomic():
        volume = Volume.objects.select_for_update(of=("self",)).select_related("type", "instance").get(id=run.subject_id)
        if before is None or volume.status != S.RETYPING:
            return
        Volume.objects.filter(id=volume.id).update(type=before)
        volume.type = before
        note_size(volume)
    _limit(run)


# --- delete


def _gone(run: Run) -> None:
    with transaction.atomic():
        volume = Volume.objects.select_for_update().get(id=run.subject_id)
        if volume.status != S.DELETED:
            charges.release_volume(volume)
            for snapshot in Snapshot.objects.select_for_update().filter(volume=volume).exclude(status=Snapshot.Status.DELETED):
                charges.release_snapshot(snapshot.project_id, snapshot.size_gib)
                snapshot_machine.move(snapshot, Snapshot.Status.DELETED, actor=run.actor, deleted_at=clock.now())
            machine.move(volume, S.DELETED, actor=run.actor, deleted_at=clock.now(), instance=None)


def _not_gone(run: Run, sentence: str) -> None:
    if _subject(run).status == S.DELETED:
        return
    sentence = f"Could not be deleted: {sentence} Delete it again."
    machine.move(_subject(run), S.ERROR, actor=run.actor, detail=sentence, error=sentence)


KINDS = (
    Kind(
        name="create-volume",
        noun="volume",
        steps=(
            Step("Remembering what is copied", _remember, _forget),
            Step("Making the disk", _make, _unmake),
            Step("Letting go of what was copied", _forget),
            Step("Making it available", _made),
        ),
        on_failed=_not_made,
    ),
    Kind(
        name="attach-volume",
        noun="volume",
        steps=(Step("Attaching", _attach, _take_back), Step("Noting that it is attached", _attached)),
        on_failed=_not_attached,
    ),
    Kind(
        name="detach-volume",
        noun="volume",
        steps=(Step("Waiting for the guest to let go", _detach), Step("Noting that it is free", _detached)),
        on_failed=_not_detached,
    ),
    Kind(name="grow-volume", noun="volume", steps=(Step("Growing", _grow), Step("Noting its size", _grown)), on_failed=_not_grown),
    Kind(
        name="retype-volume",
        noun="volume",
        steps=(Step("Setting its limits", _limit, _limit_as_before), Step("Noting its type", _grown)),
        on_failed=_not_detached,
    ),
    Kind(
        name="delete-volume",
        noun="volume",
        steps=(Step("Deleting the disk", _unmake), Step("Closing the books", _gone)),
        on_failed=_not_gone,
    ),
)
