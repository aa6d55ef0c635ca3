"""Delete: power off, forget the machine, free its addresses and volumes, delete the disk. It has no undo: a failed step is tried again."""

from __future__ import annotations

from django.db import transaction

from cloudbox.common import clock
from cloudbox.common.jobs import Kind, Run, Step
from compute import charges, desired, host
from compute.lifecycle import machine
from compute.models import Instance, Port, Volume
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
    """They stay, with their data. One that is busy with a job of its own ends as free, too: its steps look for the instance."""
    for volume in Volume.objects.filter(instance_id=run.subject_id):
        with transaction.atomic():
            row = Volume.objects.select_for_update().get(id=volume.id)
            if row.status == Volume.Status.ATTACHED:
                volume_machine.move(
                    row, Volume.Status.AVAILABLE, actor=run.actor, instance=None, attached_at=None, detail="its instance was deleted"
                )
            elif row.instance_id == run.subject_id:
                Volume.objects.filter(id=row.id).update(instance=None, attached_at=None)


def _disk(run: Run) -> None:
    host.volumes().delete(run.subject_id)


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
        Step("Deleting its disk", _disk),
        Step("Closing the books", _gone),
    ),
    on_failed=_failed,
)
