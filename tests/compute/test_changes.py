"""Resize, rebuild, rescue and shelve on fake drivers: what is charged when, what can be taken back until when, what is refused and why."""

from __future__ import annotations

import datetime as dt

import pytest

from cloudbox.common import clock
from cloudbox.common.errors import Conflict, Forbidden, Invalid, NotFound, QuotaExceeded
from cloudbox.common.models import Job
from compute import changes, charges, desired, flavors, host, images, instances, reconcilers, volumes
from compute.drivers.specs import Power
from compute.models import Flavor, Image, Instance, Reversal
from identity import quotas
from identity.context import SYSTEM
from identity.models import Quota
from tests.world import World, work


def used(world: World) -> tuple[int, int, int]:
    """vCPUs, MiB and GiB as charged; the books agree with the tables."""
    assert quotas.recount() == []
    found = dict(Quota.objects.filter(project=world.project).values_list("resource", "used"))
    return found["vcpus"], found["memory_mib"], found["disk_gib"]


@pytest.fixture
def larger() -> Flavor:
    return flavors.create(SYSTEM, name="m1.large", vcpus=4, memory_mib=256, disk_gib=20)


def fresh(instance: Instance) -> Instance:
    instance.refresh_from_db()
    return instance


def test_a_resize_is_confirmed(world: World, larger: Flavor) -> None:
    """The larger of both sizes is charged until then, in each of the three; the machine has the new one."""
    ctx, instance = world.ctx("member"), world.running()
    assert used(world) == (1, 512, 5)
    assert changes.resize(ctx, instance.id, flavor_id=larger.id).status == "resizing"
    assert used(world) == (4, 512, 20)
    work()
    assert used(world) == (4, 512, 20)
    spec = desired.machine(fresh(instance))
    assert (spec.vcpus, spec.memory_mib, host.volumes().root_gib(instance.id)) == (4, 256, 20)  # type: ignore[attr-defined]
    assert host.hypervisor()._machines[instance.id].spec.vcpus == 4  # type: ignore[attr-defined]
    row = instance.reversals.get()
    assert row.until is not None
    assert dt.timedelta(hours=23) < row.until - clock.now() <= dt.timedelta(hours=24)
    with pytest.raises(Conflict, match="can still be taken back"):
        changes.resize(ctx, instance.id, flavor_id=world.flavor.id)
    changes.confirm_resize(ctx, instance.id)
    assert used(world) == (4, 256, 20)
    assert instance.intervals.get(end=None).flavor == "m1.large"
    with pytest.raises(Conflict, match="not been resized"):
        changes.revert_resize(ctx, instance.id)


def test_a_resize_is_taken_back(world: World, larger: Flavor) -> None:
    """Processors and memory as before; the disk stays as large as it has become, and is charged."""
    ctx, instance = world.ctx("member"), world.running()
    changes.resize(ctx, instance.id, flavor_id=larger.id)
    work()
    assert changes.revert_resize(ctx, instance.id).status == "resizing"
    assert used(world) == (4, 512, 20)
    work()
    assert used(world) == (1, 512, 20)
    assert (fresh(instance).flavor_id, instance.status, instance.vcpus) == (world.flavor.id, "running", 1)
    assert not instance.reversals.exists()


def test_time_decides(world: World, larger: Flavor) -> None:
    """After a day both are final: quota and the kept disk are free. One that is just being taken back is left alone."""
    ctx, instance = world.ctx("member"), world.running()
    changes.resize(ctx, instance.id, flavor_id=larger.id)
    work()
    changes.rebuild(ctx, instance.id)
    work()
    assert used(world) == (4, 512, 40)
    reconcilers.windows()
    assert instance.reversals.count() == 2
    Reversal.objects.update(until=clock.now() - dt.timedelta(seconds=1))
    changes.undo_rebuild(ctx, instance.id)
    reconcilers.windows()
    assert host.volumes().has_kept(instance.id)
    assert [row.kind for row in instance.reversals.all()] == ["rebuild"]
    work()
    reconcilers.windows()
    assert used(world) == (4, 256, 20)
    assert not host.volumes().all_kept()


def test_a_rebuild_and_its_undoing(world: World) -> None:
    """The old disk is kept, charged, and comes back with its bytes; the new one is made of the other image."""
    ctx, instance = world.ctx("member"), world.running()
    root = host.volumes().root_path(instance.id)
    root.write_bytes(root.read_bytes() + b"my data")
    other = Image.objects.create(name="Alpine", status="ready", visibility="public", virtual_bytes=2**30)
    with (host.images().path(world.image.id)).open("rb") as source:
        host.images().put(other.id, source)
    assert changes.rebuild(ctx, instance.id, image_id=other.id).status == "rebuilding"
    work()
    assert (fresh(instance).image_id, instance.status, b"my data" in root.read_bytes()) == (other.id, "running", False)
    assert used(world)[2] == 10
    with pytest.raises(Conflict, match="still kept"):
        changes.rebuild(ctx, instance.id)
    with pytest.raises(Conflict, match="still kept"):
        changes.shelve(ctx, instance.id)
    with pytest.raises(Conflict, match="stands on Debian"):
        images.delete(world.box(), world.image.id)  # its disk may come back
    changes.undo_rebuild(ctx, instance.id)
    work()
    assert (fresh(instance).image_id, b"my data" in root.read_bytes()) == (world.image.id, True)
    assert used(world)[2] == 5
    assert [path.name for path in root.parent.iterdir()] == ["root.qcow2"]


def test_a_rebuild_without_keeping(world: World) -> None:
    ctx, instance = world.ctx("member"), world.running()
    changes.rebuild(ctx, instance.id, keep=False)
    assert used(world)[2] == 5
    work()
    assert not host.volumes().all_kept()
    with pytest.raises(Conflict, match="no disk from before"):
        changes.undo_rebuild(ctx, instance.id)
    changes.rebuild(ctx, instance.id)
    work()
    changes.drop_old_disk(ctx, instance.id)
    assert used(world)[2] == 5
    reconcilers.windows()
    assert not host.volumes().all_kept()


def test_a_failed_launch_is_rebuilt(world: World) -> None:
    """An instance that never came to be gets its disk and starts."""
    instance, ctx = world.launch()[0], world.ctx("member")
    host.hypervisor().fail("define", error=Conflict("no"))  # type: ignore[attr-defined]
    work()
    assert fresh(instance).status == "error"
    changes.rebuild(ctx, instance.id)
    work()
    assert (fresh(instance).status, host.hypervisor().power(instance.id)) == ("running", Power.RUNNING)
    assert used(world)[2] == 5


def test_rescue(world: World) -> None:
    """It boots from a copy of an image with its own disk as the second; what changes its disks waits until it is out again."""
    ctx, instance = world.ctx("member"), world.running()
    changes.rescue(ctx, instance.id)
    work()
    spec = desired.machine(fresh(instance))
    assert (instance.status, instance.rescue_image_id) == ("running", world.image.id)
    assert spec.rescue_disk == host.volumes().rescue_path(instance.id)
    assert spec.rescue_disk.exists()
    for verb in (changes.rebuild, changes.shelve, changes.rescue):
        with pytest.raises(Conflict, match="Leave rescue first"):
            verb(ctx, instance.id)
    instances.stop(ctx, instance.id)
    work()
    instances.start(ctx, instance.id)  # still the rescue system
    work()
    assert desired.machine(fresh(instance)).rescue_disk
    changes.unrescue(ctx, instance.id)
    work()
    assert (fresh(instance).rescue_image_id, desired.machine(instance).rescue_disk) == (None, None)
    assert not host.volumes().rescue_path(instance.id).exists()


def test_a_shelf(world: World) -> None:
    """No machine, no disk and no quota of processors and memory; the address and a volume stay; it comes back with its bytes."""
    ctx, instance = world.ctx("member"), world.running()
    volume = volumes.create(ctx, name="data", size_gib=1)
    work()
    volumes.attach(ctx, volume.id, instance_id=instance.id)
    work()
    root = host.volumes().root_path(instance.id)
    root.write_bytes(root.read_bytes() + b"my data")
    changes.shelve(ctx, instance.id)
    work()
    assert fresh(instance).status == "shelved"
    assert used(world) == (0, 0, 5)
    for round in (reconcilers.powers, reconcilers.orphans, reconcilers.images, reconcilers.volumes):
        round()
    work()
    assert (fresh(instance).status, host.hypervisor().power(instance.id), root.exists()) == ("shelved", Power.ABSENT, False)
    assert instance.ports.count() == 1
    with pytest.raises(Conflict, match="Unshelve it first"):
        instances.start(ctx, instance.id)
    changes.unshelve(ctx, instance.id)
    assert used(world) == (1, 512, 5)
    work()
    reconcilers.images()
    assert (fresh(instance).status, b"my data" in root.read_bytes()) == ("running", True)
    assert host.hypervisor().disks(instance.id) == {volume.id}
    assert instance.id not in set(host.images().all())


def test_a_shelf_that_is_deleted(world: World) -> None:
    instance = world.running()
    changes.shelve(world.ctx("member"), instance.id)
    work()
    instances.delete(world.ctx("member"), instance.id)
    work()
    reconcilers.images()
    assert (fresh(instance).status, instance.id in set(host.images().all())) == ("deleted", False)
    assert used(world) == (0, 0, 0)


@pytest.mark.parametrize("verb", ["resize", "rebuild"])
def test_deleted_while_it_can_be_taken_back(verb: str, world: World, larger: Flavor) -> None:
    ctx, instance = world.ctx("member"), world.running()
    changes.resize(ctx, instance.id, flavor_id=larger.id) if verb == "resize" else changes.rebuild(ctx, instance.id)
    work()
    instances.delete(ctx, instance.id)
    work()
    assert used(world) == (0, 0, 0)
    assert instance.id not in host.volumes().all()


@pytest.mark.parametrize("status", ["shelving", "unshelving"])
def test_a_lost_job_is_found_again(status: str, world: World) -> None:
    ctx, instance = world.ctx("member"), world.running()
    changes.shelve(ctx, instance.id)
    if status == "unshelving":
        work()
        changes.unshelve(ctx, instance.id)
    Job.objects.filter(subject_id=instance.id).delete()
    reconcilers.powers()
    work()
    assert fresh(instance).status == {"shelving": "shelved", "unshelving": "running"}[status]
    used(world)


def test_what_is_refused(world: World, larger: Flavor) -> None:
    ctx, instance = world.ctx("member"), world.running()
    with pytest.raises(Conflict, match="has this size"):
        changes.resize(ctx, instance.id, flavor_id=world.flavor.id)
    with pytest.raises(NotFound):
        changes.resize(ctx, instance.id, flavor_id=world.image.id)
    huge = flavors.create(SYSTEM, name="huge", vcpus=64, memory_mib=1024, disk_gib=1)
    with pytest.raises(QuotaExceeded):
        changes.resize(ctx, instance.id, flavor_id=huge.id)
    Quota.objects.filter(project=world.project, resource="disk_gib").update(limit=8)
    with pytest.raises(QuotaExceeded):  # the kept disk is a disk
        changes.rebuild(ctx, instance.id)
    big = Image.objects.create(name="Big", status="ready", visibility="public", virtual_bytes=60 * 2**30)
    with pytest.raises(Invalid, match="needs a disk of 60 GiB"):
        changes.rebuild(ctx, instance.id, image_id=big.id)
    for verb in (changes.rebuild, changes.rescue, changes.shelve):
        with pytest.raises(Forbidden):
            verb(world.ctx("reader"), instance.id)
        with pytest.raises(NotFound):
            verb(world.ctx("stranger", world.other), instance.id)
    instances.lock(ctx, instance.id)
    with pytest.raises(Conflict, match="locked"):
        changes.shelve(ctx, instance.id)
    instances.unlock(ctx, instance.id)
    instances.pause(ctx, instance.id)
    work()
    with pytest.raises(Conflict, match="Resume it first"):
        changes.shelve(ctx, instance.id)
    used(world)
    assert charges.count(world.project.id)["vcpus"] == 1


def test_no_room_to_come_back(world: World) -> None:
    """Unshelving needs quota; refused, it stays shelved. A copy that cannot be fetched leaves it shelved, too, and says why."""
    ctx, instance = world.ctx("member"), world.running()
    changes.shelve(ctx, instance.id)
    work()
    Quota.objects.filter(project=world.project, resource="vcpus").update(limit=0)
    with pytest.raises(QuotaExceeded):
        changes.unshelve(ctx, instance.id)
    Quota.objects.filter(project=world.project, resource="vcpus").update(limit=1)
    host.volumes().fail("import_root", error=Conflict("The copy is broken."))  # type: ignore[attr-defined]
    changes.unshelve(ctx, instance.id)
    work()
    assert (fresh(instance).status, instance.error) == ("shelved", "The copy is broken.")
    assert used(world) == (0, 0, 5)
    changes.unshelve(ctx, instance.id)
    work()
    assert fresh(instance).status == "running"
