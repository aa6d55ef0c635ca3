"""Snapshots of whole instances on fake drivers: all disks at one moment, back to it, a new instance from it, and every job interrupted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cloudbox.common.errors import AlreadyExists, Conflict, Forbidden, NotFound
from cloudbox.common.models import Job
from compute import host, instance_snapshots, instances, reconcilers, snapshots, volume_transfers, volumes
from compute.boot_volumes import BootVolume
from compute.drivers import fake_disks
from compute.instances import LaunchSpec
from compute.models import Instance, InstanceSnapshot, Volume
from identity import quotas
from tests.compute.test_snapshots import check, text, write
from tests.compute.test_volumes import made
from tests.jobs import Killed, changed, die_once, fail_after, fail_before, steps_of, twice
from tests.world import World, work


def with_volume(world: World, **changes: Any) -> tuple[Instance, Volume]:
    instance, volume = world.launch(**changes)[0], made(world)
    work()
    volumes.attach(world.ctx("member"), volume.id, instance_id=instance.id)
    work()
    return instance, volumes.get(world.ctx("member"), volume.id)


def scribble(instance: Instance, volume: Volume, what: str) -> None:
    fake_disks.scribble(host.volumes().root_path(instance.id), what)
    write(volume, what)


def texts(instance: Instance, volume: Volume) -> tuple[str, str]:
    return fake_disks.text(host.volumes().root_path(instance.id)), text(volume)


def whole(world: World, instance: Instance, name: str = "monday") -> InstanceSnapshot:
    found = instance_snapshots.create(world.ctx("member"), instance.id, name=name)
    work()
    return instance_snapshots.get(world.ctx("member"), found.id)


def stop(world: World, instance: Instance) -> None:
    instances.stop(world.ctx("member"), instance.id)
    work()


def test_there_and_back(world: World) -> None:
    """Taken of a running guest in one moment, gone back to when it is stopped; a part of it is not deleted alone; deleted as a whole."""
    ctx = world.ctx("member")
    instance, volume = with_volume(world)
    scribble(instance, volume, "a")
    found = whole(world, instance)
    assert (found.status, found.is_consistent, found.root_gib) == ("ready", True, 5)
    scribble(instance, volume, "b")
    with pytest.raises(Conflict, match="Stop it first"):
        instance_snapshots.restore(ctx, found.id)
    part = snapshots.list(ctx, volume_id=volume.id).get()
    with pytest.raises(Conflict, match="part of the snapshot monday of web"):
        snapshots.delete(ctx, part.id)
    stop(world, instance)
    instance_snapshots.restore(ctx, found.id)
    assert volumes.get(ctx, volume.id).status == "restoring"
    reconcilers.volumes()
    work()
    assert texts(instance, volume) == ("a", "a")
    check(volumes.get(ctx, volume.id))
    instance_snapshots.delete(ctx, found.id)
    work()
    assert not host.volumes().snapshots(instance.id)
    assert not instance_snapshots.list(ctx)
    check(volumes.get(ctx, volume.id))
    assert quotas.recount() == []


@pytest.mark.parametrize("root", ["own", "volume"])
def test_a_new_instance_from_it(root: str, world: World) -> None:
    """It boots from a new volume with what the first disk held, and has a copy of each other volume."""
    ctx = world.ctx("member")
    instance, volume = with_volume(world, **({"boot": BootVolume()} if root == "volume" else {}))
    first = Volume.objects.filter(instance=instance, is_boot=True).first()
    fake_disks.scribble(host.volumes().disk_path(first.id if first else instance.id), "system")
    write(volume, "orders")
    found = whole(world, instance)
    spec = LaunchSpec(name="copy", flavor_id=world.flavor.id)
    copy = instance_snapshots.launch(ctx, found.id, spec)
    with pytest.raises(Conflict, match="being made from it"):
        instance_snapshots.delete(ctx, found.id)
    work()
    copy.refresh_from_db()
    assert copy.status == "running", copy.error
    theirs = {each.name: text(each) for each in Volume.objects.filter(instance=copy)}
    assert theirs == {"copy-boot": "system", "copy-data": "orders"}
    check(*Volume.objects.filter(instance=copy))
    for each in (copy, instance):
        instances.delete(ctx, each.id)
    work()
    assert InstanceSnapshot.objects.get().status == "deleted"
    assert snapshots.list(ctx, volume_id=volume.id).get().group is None  # the volume's own from now on
    assert quotas.recount() == []


def test_what_is_refused(world: World) -> None:
    ctx = world.ctx("member")
    instance, volume = with_volume(world)
    snapshots.create(ctx, volume_id=volume.id, name="taken")
    work()
    with pytest.raises(AlreadyExists):
        instance_snapshots.create(ctx, instance.id, name="TAKEN")
    with pytest.raises(Forbidden):
        instance_snapshots.create(world.ctx("reader"), instance.id, name="no")
    with pytest.raises(NotFound):
        instance_snapshots.create(world.ctx("stranger", world.other), instance.id, name="no")
    found = whole(world, instance)
    with pytest.raises(NotFound):
        instance_snapshots.restore(world.ctx("stranger", world.other), found.id)
    stop(world, instance)
    volumes.detach(ctx, volume.id)
    with pytest.raises(Conflict, match="Wait until that is done"):
        instance_snapshots.create(ctx, instance.id, name="soon")
    work()
    with pytest.raises(Conflict, match="no longer attached"):
        instance_snapshots.restore(ctx, found.id)
    with pytest.raises(Conflict, match="part of the snapshot"):
        volume_transfers.offer(ctx, volume.id)
    instances.lock(ctx, instance.id)
    with pytest.raises(Conflict, match="locked"):
        instance_snapshots.create(ctx, instance.id, name="locked")


def test_the_reconciler(world: World) -> None:
    """Jobs were lost: what was on its way gets there."""
    ctx = world.ctx("member")
    instance, volume = with_volume(world)
    first = instance_snapshots.create(ctx, instance.id, name="first")
    Job.objects.exclude(state="done").delete()
    reconcilers.volumes()
    work()
    assert instance_snapshots.get(ctx, first.id).status == "ready"
    scribble(instance, volume, "b")
    stop(world, instance)
    instance_snapshots.restore(ctx, first.id)
    Job.objects.exclude(state="done").delete()
    reconcilers.volumes()
    work()
    assert texts(instance, volume) == ("", "")
    instance_snapshots.delete(ctx, first.id)
    Job.objects.exclude(state="done").delete()
    reconcilers.volumes()
    work()
    assert not instance_snapshots.list(ctx)
    check(volumes.get(ctx, volume.id))


KINDS = {"create-instance-snapshot": "ready", "restore-instance-snapshot": "ready", "delete-instance-snapshot": "deleted"}
EVERY_STEP = [(kind, number) for kind in KINDS for number in range(len(steps_of(kind)))]


def _begin(kind: str, world: World) -> tuple[Instance, Volume, InstanceSnapshot]:
    instance, volume = with_volume(world)
    if kind.startswith("create"):
        return instance, volume, instance_snapshots.create(world.ctx("member"), instance.id, name="monday")
    scribble(instance, volume, "a")
    found = whole(world, instance)
    scribble(instance, volume, "b")
    stop(world, instance)
    verb = instance_snapshots.restore if kind.startswith("restore") else instance_snapshots.delete
    return instance, volume, verb(world.ctx("member"), found.id)


def _check_end(kind: str, instance: Instance, volume: Volume, found: InstanceSnapshot) -> None:
    found.refresh_from_db()
    assert found.status == KINDS[kind]
    if kind.startswith("restore"):
        assert texts(instance, volume) == ("a", "a")
    assert host.volumes().snapshots(instance.id) == (set() if found.status == "deleted" else {found.id})
    check(Volume.objects.get(id=volume.id))
    assert quotas.recount() == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_each_step_twice(kind: str, world: World) -> None:
    with changed(kind, twice):
        begun = _begin(kind, world)
        work()
    _check_end(kind, *begun)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "number"), EVERY_STEP)
def test_killed_at_each_step(kind: str, number: int, world: World) -> None:
    begun = _begin(kind, world)
    with changed(kind, die_once, step=number):
        with pytest.raises(Killed):
            work()
        work()
    _check_end(kind, *begun)


@pytest.mark.slow
@pytest.mark.parametrize("how", [fail_before, fail_after])
@pytest.mark.parametrize(("kind", "number"), EVERY_STEP)
def test_failed_at_each_step(kind: str, number: int, how: Callable[..., object], world: World) -> None:
    """What failed is undone or told; it can be deleted then, and nothing is left."""
    ctx = world.ctx("member")
    instance, volume, found = _begin(kind, world)
    with changed(kind, how, step=number):  # type: ignore[arg-type]
        work()
    found.refresh_from_db()
    volume = volumes.get(ctx, volume.id)
    assert volume.status == "attached"
    if found.status != "deleted":
        assert found.error or (kind, found.status) == ("restore-instance-snapshot", "ready")
        instance_snapshots.delete(ctx, found.id)
        work()
    assert not host.volumes().snapshots(instance.id)
    assert not host.hypervisor().frozen  # type: ignore[attr-defined]
    check(volumes.get(ctx, volume.id))
    assert quotas.recount() == []
