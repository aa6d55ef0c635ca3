"""Delete: power off, forget the machine, free its addresses and volumes, delete the disk. It has no undo: a failed step is tried again."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from cloudbox.common import clock, jobs
from cloudbox.common.jobs import Kind, Later, Run, Step
from compute import charges, desired, host
from compute.lifecycle import machine
from compute.models import Instance, InstanceSnapshot, Port, Snapshot, Volume
from compute.volume_lifecycle import MOVING
from compute.volume_lifecycle import instance_snapshot_machine as snapshot_machine
from compute.volume_lifecycle import machine as volume_machine

S = Instance.Status


def _stop(run: Run) -> None:
    host.hypervisor().stop(run.subject_id)


def _undefine(run: Run) -> None:
    host.hypervisor().undefine(run.subject_id)


def _ports(run: Run) -> None:
    """Free the addresses, with their quota, then take the ports out of the fabric. Reserved ones stay, for another instance."""
    with transaction.atomic():
        instance = Instance.objects.select_for_update().get(id=run.subject_id)
        Port.objects.filter(instance=instance, is_reserved=True).update(instance=None, index=0)
        ports = Port.objects.filter(instance=instance)
        charges.release_ports(instance.project_id, ports.count())
        ports.delete()
    desired.apply_fabric()


def _volumes(run: Run) -> None:
    """They stay, with their data, but for a boot volume that was to go with its instance. One that is busy with a job of its own ends as
    free, too: its steps look for the instance."""
    for id in Volume.objects.filter(instance_id=run.subject_id).values_list("id", flat=True):
        with transaction.atomic():
            row = Volume.objects.select_for_update().get(id=id)
            if row.instance_id != run.subject_id:
                continue
            if _goes(row):
                _delete(run, row)
                continue
            free: dict[str, Any] = {"instance": None, "attached_at": None, "is_boot": False}
            if row.status == Volume.Status.ATTACHED:
                volume_machine.move(row, Volume.Status.AVAILABLE, actor=run.actor, detail="its instance was deleted", **free)
            else:
                Volume.objects.filter(id=row.id).update(**free)


def _goes(volume: Volume) -> bool:
    """Is it to be deleted with its instance? What is protected or holds snapshots stays: nobody has said that those may go."""
    kept = volume.is_protected or volume.snapshots.exclude(status=Snapshot.Status.DELETED).exists()
    return volume.is_boot and volume.dies_with_instance and not kept


def _delete(run: Run, volume: Volume) -> None:
    if volume.status in MOVING:
        raise Later(1)
    free: dict[str, Any] = {"instance": None, "attached_at": None, "is_boot": False, "error": ""}
    volume_machine.move(volume, Volume.Status.DELETING, actor=run.actor, verb="delete", detail="with its instance", **free)
    jobs.enqueue("delete-volume", volume.id, actor=run.actor, project_id=volume.project_id)


def _disk(run: Run) -> None:
    host.volumes().delete(run.subject_id)


def _snapshots(run: Run) -> None:
    """They lay on the root disk; what they held of volumes stays as those volumes' own snapshots."""
    with transaction.atomic():
        rows = InstanceSnapshot.objects.select_for_update().filter(instance_id=run.subject_id).exclude(status="deleted")
        for whole in rows:
            Snapshot.objects.filter(group=whole).update(group=None)
            charges.release_snapshot(whole.project_id, whole.root_gib)
            snapshot_machine.move(whole, InstanceSnapshot.Status.DELETED, actor=run.actor, deleted_at=clock.now())


def _gone(run: Run) -> None:
    with transaction.atomic():
        instance = Instance.objects.select_for_update().get(id=run.subject_id)
        if instance.status != S.DELETED:
            charges.release_instance(instance)
            machine.move(instance, S.DELETED, actor=run.actor, deleted_at=clock.now(), token=None)


def _failed(run: Run, sentence: str) -> None:
    instance = Instance.objects.get(id=run.subject_id)
    if instance.status == S.DELETING:
        sentence = f"Could not be deleted: {sentence} Delete it again."
        machine.move(instance, S.ERROR, actor=run.actor, detail=sentence, error=sentence)


KIND = Kind(
    name="delete-instance",
    noun="instance",
    steps=(
        Step("Powering off", _stop),
        Step("Removing the machine", _undefine),
        Step("Freeing its addresses", _ports),
        Step("Freeing its volumes", _volumes),
        Step("Forgetting its snapshots", _snapshots),
        Step("Deleting its disk", _disk),
        Step("Closing the books", _gone),
    ),
    on_failed=_failed,
)
