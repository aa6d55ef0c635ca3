"""Instances that boot from volumes: new ones from the image or a snapshot, or one that is there; what stays and what goes with them."""

from __future__ import annotations

from typing import Any

import pytest

from cloudbox.common.errors import Conflict, Invalid, NotFound, QuotaExceeded
from compute import changes, desired, flavors, host, instances, volumes
from compute.boot_volumes import BootVolume
from compute.drivers import fake_disks
from compute.models import Instance, Volume
from identity import quotas
from identity.context import SYSTEM
from identity.models import Quota
from tests.compute.test_snapshots import taken, text, write
from tests.compute.test_volumes import check_books, made
from tests.jobs import Killed, changed, die_once, fail_after, steps_of
from tests.world import World, work


def launched(world: World, **boot: Any) -> tuple[Instance, Volume]:
    """Until it runs; from the image, unless `boot` says a volume or snapshot."""
    spec = BootVolume(**boot)
    more = {"image_id": None} if spec.has_system else {}
    instance = world.launch(boot=spec, **more)[0]
    work()
    instance.refresh_from_db()
    assert instance.status == "running", instance.error
    return instance, Volume.objects.get(instance=instance, is_boot=True)


def test_from_the_image(world: World) -> None:
    """The root disk is a volume: charged as one, the machine's first disk, kept when the instance goes, and booted from again."""
    ctx = world.ctx("member")
    instance, volume = launched(world)
    assert (volume.name, volume.size_gib, volume.status, volume.image) == ("web-boot", 5, "attached", world.image)
    assert instance.disk_gib == 0
    assert host.volumes().all() == set()
    spec = desired.machine(instance)
    assert (spec.boot is not None and spec.boot.volume_id, spec.root_disk, spec.disks) == (
        volume.id,
        host.volumes().volume_path(volume.id),
        (),
    )
    check_books(volume)
    for refused in (volumes.detach, volumes.delete):
        with pytest.raises(Conflict, match="web boots from web-boot"):
            refused(ctx, volume.id)
    with pytest.raises(Conflict, match="boots from a volume"):
        changes.rebuild(ctx, instance.id)
    write(volume, "mine")
    instances.stop(ctx, instance.id)
    work()
    instances.start(ctx, instance.id)
    work()
    instances.delete(ctx, instance.id)
    work()
    volume.refresh_from_db()
    assert (volume.status, volume.is_boot, volume.instance) == ("available", False, None)
    check_books(volume)
    again, same = launched(world, volume_id=volume.id, dies=True)
    assert (same.id, text(same), again.image) == (volume.id, "mine", world.image)
    instances.delete(ctx, again.id)
    work()
    volume.refresh_from_db()
    assert volume.status == "deleted"
    check_books(volume)
    assert quotas.recount() == []


def test_from_a_snapshot(world: World) -> None:
    """Several at once, each on a volume of its own with what the snapshot held; larger if asked."""
    ctx = world.ctx("member")
    _, volume = launched(world)
    write(volume, "golden")
    snapshot = taken(world, volume)
    write(volume, "later")
    rows = world.launch(name="copy", image_id=None, boot=BootVolume(snapshot_id=snapshot.id), count=2, disk_gib=6)
    work()
    found = [Volume.objects.get(instance=row, is_boot=True) for row in rows]
    assert [(each.name, each.size_gib, text(each)) for each in found] == [("copy-1-boot", 6, "golden"), ("copy-2-boot", 6, "golden")]
    for each in found:
        check_books(each)
    with pytest.raises(Invalid, match="has 5 GiB"):
        world.launch(name="small", image_id=None, boot=BootVolume(snapshot_id=snapshot.id), disk_gib=3)
    assert volumes.list(ctx, q="small").count() == 0


def test_what_holds_snapshots_or_is_protected_stays(world: World) -> None:
    ctx = world.ctx("member")
    first, with_snapshot = launched(world, dies=True)
    second = world.launch(name="other", boot=BootVolume(dies=True))[0]
    work()
    guarded = Volume.objects.get(instance=second, is_boot=True)
    taken(world, with_snapshot)
    volumes.protect(ctx, guarded.id)
    for each in (first, second):
        instances.delete(ctx, each.id)
    work()
    for volume in (with_snapshot, guarded):
        volume.refresh_from_db()
        assert volume.status == "available"
        check_books(volume)


def test_a_resize_leaves_the_boot_volume(world: World) -> None:
    instance, volume = launched(world)
    large = flavors.create(SYSTEM, name="m1.large", vcpus=2, memory_mib=1024, disk_gib=50)
    changes.resize(world.ctx("member"), instance.id, flavor_id=large.id)
    work()
    instance.refresh_from_db()
    volume.refresh_from_db()
    assert (instance.status, instance.disk_gib, volume.size_gib) == ("running", 0, 5)
    assert quotas.recount() == []


def test_what_is_refused(world: World) -> None:
    empty = made(world, "empty")
    with pytest.raises(Conflict, match="not made from an image"):
        world.launch(image_id=None, boot=BootVolume(volume_id=empty.id))
    with pytest.raises(Invalid, match="Choose an image"):
        world.launch(image_id=None)
    with pytest.raises(Invalid, match="Choose an image"):
        world.launch(image_id=None, boot=BootVolume())
    with pytest.raises(NotFound):
        world.launch(image_id=None, boot=BootVolume(snapshot_id=empty.id))
    _, taken_one = launched(world)
    with pytest.raises(Conflict, match="Choose one that is available"):
        world.launch(name="b", image_id=None, boot=BootVolume(volume_id=taken_one.id))
    with pytest.raises(Invalid, match="cannot boot from one volume"):
        world.launch(name="b", count=2, image_id=None, boot=BootVolume(volume_id=taken_one.id))
    Quota.objects.filter(project=world.project, resource="volume_gib").update(limit=8)
    with pytest.raises(QuotaExceeded):
        world.launch(name="b", boot=BootVolume())
    assert not Instance.objects.filter(name="b").exists()
    assert quotas.recount() == []


def test_a_volume_that_cannot_be_made(world: World) -> None:
    """The launch says why, and deleting the instance leaves nothing."""
    host.volumes().fail("create_volume_from", times=6)  # type: ignore[attr-defined]
    instance = world.launch(boot=BootVolume(dies=True))[0]
    work()
    instance.refresh_from_db()
    assert instance.status == "error"
    assert "could not be made" in instance.error
    instances.delete(world.ctx("member"), instance.id)
    work()
    assert not Volume.objects.exclude(status="deleted").exists()
    assert not host.volumes().all_volumes()
    assert quotas.recount() == []


@pytest.mark.slow
@pytest.mark.parametrize("how", [die_once, fail_after])
@pytest.mark.parametrize("kind", ["launch-instance", "delete-instance"])
def test_interrupted(kind: str, how: Any, world: World) -> None:
    """At each step the worker dies, or the answer is lost; in the end the instance is there or gone, and so is its volume."""
    ctx = world.ctx("member")
    for number in range(len(steps_of(kind))):
        instance = world.launch(name=f"web-{number}", boot=BootVolume(dies=True))[0]
        if kind == "delete-instance":
            work()
            instances.delete(ctx, instance.id)
        with changed(kind, how, step=number):
            if how is die_once:
                with pytest.raises(Killed):
                    work()
            work()
        instance.refresh_from_db()
        if instance.status != "deleted":
            assert how is fail_after or instance.status == "running"
            instances.delete(ctx, instance.id)
            work()
        assert Instance.objects.get(id=instance.id).status == "deleted"
        assert not host.volumes().all_volumes()
        assert quotas.recount() == []


def test_the_disk_of_a_fake_boots(world: World) -> None:
    """Snapshots of a boot volume are taken inside the machine that runs."""
    instance, volume = launched(world)
    assert host.hypervisor().snapshot_disks(instance.id, {volume.id: volume.id})
    assert host.volumes().snapshots(volume.id) == {volume.id}
    fake_disks.drop(host.volumes().volume_path(volume.id), volume.id)
