"""Launch: root disk, definition, networks and firewall, start. What fails is undone; the row says ERROR and why."""

from __future__ import annotations

from cloudbox.common import clock
from cloudbox.common.errors import Conflict
from cloudbox.common.jobs import Kind, Later, Run, Step
from compute import desired, host, image_copies
from compute.jobs import filling
from compute.jobs.bring_up import bring_up, define
from compute.lifecycle import machine
from compute.models import Instance, Volume
from compute.volume_lifecycle import machine as volume_machine

S = Instance.Status


def _subject(run: Run) -> Instance:
    """The instance, if it is still wanted: a delete that came meanwhile ends the launch at the next step."""
    instance = Instance.objects.select_related("image", "flavor").get(id=run.subject_id)
    if instance.intended == Instance.Intent.DELETED:
        raise Conflict("It was deleted while it was being built.")
    return instance


def _disk(run: Run) -> None:
    instance = _subject(run)
    if filling.fill(instance.id, size_gib=instance.disk_gib, is_root=True):
        return
    volumes = [*Volume.objects.filter(instance=instance)]
    for volume in volumes:
        _take_volume(run, volume)
    if any(volume.is_boot for volume in volumes):
        return
    with image_copies.file(instance.image_id) as base:
        host.volumes().create_root(instance.id, base=base, size_gib=instance.disk_gib)


def _take_volume(run: Run, volume: Volume) -> None:
    """A new one is made by a job of its own; then it is the instance's."""
    if volume.status == Volume.Status.ERROR:
        raise Conflict(f"The volume {volume.name} could not be made: {volume.error}")
    if volume.status == Volume.Status.CREATING:
        raise Later(1)
    if volume.status == Volume.Status.AVAILABLE:
        volume_machine.move(volume, Volume.Status.ATTACHED, actor=run.actor, attached_at=clock.now())


def _no_disk(run: Run) -> None:
    host.volumes().delete(run.subject_id)


def _define(run: Run) -> None:
    define(_subject(run))


def _undefine(run: Run) -> None:
    host.hypervisor().stop(run.subject_id)
    host.hypervisor().undefine(run.subject_id)


def _start(run: Run) -> None:
    instance = _subject(run)
    filling.done(instance.id)
    if instance.intended == Instance.Intent.STOPPED:
        desired.apply_fabric()
        machine.move(instance, S.STOPPED, actor=run.actor, error="")
        return
    bring_up(instance)
    if instance.status == S.BUILDING:
        machine.move(instance, S.RUNNING, actor=run.actor, error="", started_at=clock.now())


def _stop(run: Run) -> None:
    host.hypervisor().stop(run.subject_id)


def _failed(run: Run, sentence: str) -> None:
    filling.done(run.subject_id)
    instance = Instance.objects.get(id=run.subject_id)
    # Whatever it had become: after the undo there is no machine.
    if instance.status not in (S.DELETING, S.DELETED) and instance.intended != Instance.Intent.DELETED:
        machine.move(instance, S.ERROR, actor=run.actor, detail=sentence, error=sentence)


KIND = Kind(
    name="launch-instance",
    noun="instance",
    steps=(
        Step("Making the root disk", _disk, _no_disk),
        Step("Setting up the machine", _define, _undefine),
        Step("Connecting its networks and starting", _start, _stop),
    ),
    on_failed=_failed,
)
