"""Snapshots of disks wherever they are: in a machine that is on by QEMU, at rest by the store."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from uuid import UUID

from cloudbox.common.errors import CloudError, Conflict
from compute import host
from compute.drivers.specs import ON, Power
from compute.models import Snapshot, Volume

log = logging.getLogger(__name__)


@contextmanager
def held_still(instance_id: UUID | None) -> Iterator[bool | None]:
    """The guest has written out everything and writes nothing for as long as this lasts. Gives None where no machine runs, False
    where the guest could not be asked: then the disk is as after a power cut, which file systems are made to survive."""
    if instance_id is None or host.hypervisor().power(instance_id) != Power.RUNNING:
        yield None
        return
    try:
        yield host.hypervisor().freeze(instance_id)
    finally:
        host.hypervisor().thaw(instance_id)


def let_go_on(instance_id: UUID | None) -> None:
    """Thaw, whatever had happened: for the undo of a step that may have died in the middle."""
    if instance_id is not None:
        host.hypervisor().thaw(instance_id)


def take(instance_id: UUID | None, wanted: Mapping[UUID, UUID]) -> None:
    """disk -> snapshot, all at one moment if a machine that is on has them. Those there already stay."""
    if instance_id is not None and host.hypervisor().snapshot_disks(instance_id, wanted):
        return
    for disk_id, snapshot_id in wanted.items():
        host.volumes().snapshot(disk_id, snapshot_id)


def forget(instance_id: UUID | None, disk_id: UUID, snapshot_id: UUID) -> None:
    if instance_id is None or not host.hypervisor().delete_snapshot(instance_id, disk_id, snapshot_id):
        host.volumes().delete_snapshot(disk_id, snapshot_id)


def check_off(instance_id: UUID, name: str) -> None:
    """Conflict while its machine runs, or has its memory on disk: that would not fit to another disk."""
    power = host.hypervisor().power(instance_id)
    if power in ON or power == Power.SAVED:
        raise Conflict(f"{name} was started meanwhile. Stop it, and try again.")


def note_room(volume: Volume) -> None:
    """How much room the volume and its snapshots take, for people to see."""
    try:
        used = host.volumes().volume_bytes(volume.id)[1]
    except CloudError as error:
        log.warning("the room of volume %s is not known: %s", volume.id, error)
        return
    if used != volume.used_bytes:
        Volume.objects.filter(id=volume.id).update(used_bytes=used)


def close_gap(snapshot: Snapshot) -> None:
    """Whatever went on from a snapshot that goes, goes on from the one before it; in the caller's transaction."""
    Snapshot.objects.filter(parent=snapshot).update(parent=snapshot.parent_id)
    Volume.objects.filter(base=snapshot).update(base=snapshot.parent_id)
