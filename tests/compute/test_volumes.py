"""Volumes on fake drivers: their life, what is refused and why, and every job through the trials of tests/jobs.py."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from cloudbox.common import clock, jobs
from cloudbox.common.errors import AlreadyExists, Conflict, Forbidden, Invalid, NotFound, QuotaExceeded
from cloudbox.common.models import Job
from compute import desired, host, instances, reconcilers, volume_types, volumes
from compute.jobs.volumes import KINDS
from compute.models import Instance, Volume
from identity import quotas
from identity.context import SYSTEM
from tests.jobs import Killed, changed, die_once, fail_after, fail_before, steps_of, twice
from tests.world import World, work


def made(world: World, name: str = "data", size_gib: int = 2) -> Volume:
    volume = volumes.create(world.ctx("member"), name=name, size_gib=size_gib)
    work(volume.id)
    return volumes.get(world.ctx("member"), volume.id)


def attached(world: World) -> Volume:
    instance, volume = world.running(), made(world)
    volumes.attach(world.ctx("member"), volume.id, instance_id=instance.id)
    work(volume.id)
    return volumes.get(world.ctx("member"), volume.id)


def check_books(volume: Volume) -> None:
    """Quota, size and disk agree, one interval is open while it lives, no job is left half-way, and a disk is where the row says."""
    volume.refresh_from_db()
    assert quotas.recount() == []
    assert not Job.objects.exclude(state__in=["done", "failed"]).exists()
    open_sizes = [*volume.intervals.filter(end=None).values_list("size_gib", flat=True)]
    assert not volume.intervals.filter(end=None).exclude(type=volume.type.name).exists()
    if volume.status == "attached":
        assert _limits(volume) == (volume.type.iops_max, volume.type.mib_per_second_max)
    assert open_sizes == ([] if volume.status == "deleted" else [volume.size_gib])
    there = volume.id in host.volumes().all_volumes()
    assert there == (volume.status not in ("deleted", "error"))
    if there:
        assert host.volumes().volume_bytes(volume.id)[0] == volume.size_gib * 2**30
    for instance in Instance.objects.exclude(status="deleted"):
        assert (volume.id in host.hypervisor().disks(instance.id)) == (volume.status == "attached" and volume.instance_id == instance.id)


def _limits(volume: Volume) -> tuple[int | None, int | None]:
    """Of the disk that the machine has."""
    machine = host.hypervisor()._machines[volume.instance_id]  # type: ignore[attr-defined]
    disk = machine.disks[volume.id]
    return disk.iops_max, disk.bytes_per_second_max and disk.bytes_per_second_max // 2**20


def test_a_volume_s_life(world: World) -> None:
    ctx = world.ctx("member")
    volume = volumes.create(ctx, name="data", size_gib=2, description="of the shop")
    assert volume.status == "creating"
    work(volume.id)
    instance = world.running()
    assert volumes.attach(ctx, volume.id, instance_id=instance.id, read_only=True).status == "attaching"
    work(volume.id)
    assert volumes.get(ctx, volume.id).status == "attached"
    assert desired.machine(instance).disks[0].read_only
    assert desired.machine(instance).disks[0].serial == volume.serial
    assert volumes.grow(ctx, volume.id, size_gib=5).status == "growing"
    work(volume.id)
    check_books(volume)
    instances.stop(ctx, instance.id)
    work()
    instances.start(ctx, instance.id)
    work()
    check_books(volume)
    assert volumes.detach(ctx, volume.id).status == "detaching"
    work(volume.id)
    check_books(volume)
    assert volumes.counts(ctx) == {"total": 1, "attached": 0, "gib": 5}
    assert volumes.delete(ctx, volume.id).status == "deleting"
    assert volumes.delete(ctx, volume.id).status == "deleting"
    work(volume.id)
    check_books(volume)
    with pytest.raises(NotFound):
        volumes.get(ctx, volume.id)
    assert made(world).name == "data"  # the name is free again


def test_a_type_s_limits_reach_the_machine(world: World) -> None:
    kind = volume_types.create(SYSTEM, name="economy", iops_max=300, mib_per_second_max=60)
    ctx, instance = world.ctx("member"), world.running()
    volume = volumes.create(ctx, name="slow", size_gib=1, type_id=kind.id)
    work()
    volumes.attach(ctx, volume.id, instance_id=instance.id)
    work()
    disk = desired.machine(instance).disks[0]
    assert (disk.iops_max, disk.bytes_per_second_max) == (300, 60 * 2**20)
    volume_types.retire(SYSTEM, kind.id)
    with pytest.raises(Conflict, match="no longer offered"):
        volumes.create(ctx, name="late", size_gib=1, type_id=kind.id)


def test_a_deleted_instance_leaves_its_volumes(world: World) -> None:
    volume = attached(world)
    instances.delete(world.ctx("member"), volume.instance_id)
    work()
    volume.refresh_from_db()
    assert (volume.status, volume.instance_id) == ("available", None)
    check_books(volume)


@pytest.mark.parametrize("verb", ["attach", "detach", "grow"])
def test_an_instance_that_is_deleted_beside(verb: str, world: World) -> None:
    """Both jobs are queued, the delete runs first: the volume ends as free, and with the size it has."""
    ctx, instance, volume = world.ctx("member"), world.running(), made(world)
    if verb != "attach":
        volumes.attach(ctx, volume.id, instance_id=instance.id)
        work()
    if verb == "attach":
        volumes.attach(ctx, volume.id, instance_id=instance.id)
    elif verb == "grow":
        volumes.grow(ctx, volume.id, size_gib=3)
    else:
        volumes.detach(ctx, volume.id)
    instances.delete(ctx, instance.id)
    work(instance.id)
    work(volume.id)
    volume.refresh_from_db()
    assert (volume.status, volume.instance_id) == ("available", None)
    check_books(volume)


def test_a_guest_that_does_not_let_go(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for a minute, then the volume is attached as before, and the row says what to do; stopped, the machine gives it up."""
    ctx, volume = world.ctx("member"), attached(world)
    assert volume.instance_id is not None
    host.hypervisor().holding.add(volume.instance_id)  # type: ignore[attr-defined]
    volumes.detach(ctx, volume.id)
    job = Job.objects.get(subject_id=volume.id, kind="detach-volume")
    jobs.run(job.id)
    assert volumes.get(ctx, volume.id).status == "detaching"
    Job.objects.filter(id=job.id).update(created_at=clock.now() - dt.timedelta(minutes=2))
    jobs.run(job.id)
    volume = volumes.get(ctx, volume.id)
    assert volume.status == "attached"
    assert "did not let go" in volume.error
    check_books(volume)
    instances.stop(ctx, volume.instance_id, force=True)
    work()
    volumes.detach(ctx, volume.id)
    work()
    check_books(volume)
    assert volumes.get(ctx, volume.id).status == "available"


def test_what_is_refused(world: World) -> None:
    ctx, volume = world.ctx("member"), attached(world)
    assert volume.instance_id is not None
    for size_gib in (0, -1, volumes.SIZE_GIB_MAX + 1):
        with pytest.raises(Invalid):
            volumes.create(ctx, name="odd", size_gib=size_gib)
    with pytest.raises(AlreadyExists):
        volumes.create(ctx, name="DATA", size_gib=1)
    with pytest.raises(QuotaExceeded):
        volumes.create(ctx, name="huge", size_gib=4000)
    with pytest.raises(Invalid, match="only become larger"):
        volumes.grow(ctx, volume.id, size_gib=2)
    with pytest.raises(Conflict, match="Detach it first"):
        volumes.delete(ctx, volume.id)
    with pytest.raises(Conflict, match="Detach it first"):
        volumes.attach(ctx, volume.id, instance_id=volume.instance_id)
    with pytest.raises(NotFound):
        volumes.get(world.ctx("stranger", world.other), volume.id)
    with pytest.raises(Forbidden):
        volumes.detach(world.ctx("reader"), volume.id)
    other = made(world, "other")
    with pytest.raises(NotFound):
        volumes.attach(ctx, other.id, instance_id=other.id)
    volumes.protect(ctx, other.id)
    with pytest.raises(Conflict, match="protected"):
        volumes.delete(ctx, other.id)
    volumes.unprotect(ctx, other.id)
    instances.suspend(ctx, volume.instance_id)
    work()
    with pytest.raises(Conflict, match="suspended"):
        volumes.attach(ctx, other.id, instance_id=volume.instance_id)
    with pytest.raises(Conflict, match="Start it first"):
        volumes.detach(ctx, volume.id)
    check_books(other)


def test_an_instance_takes_so_many(world: World) -> None:
    ctx, instance = world.ctx("member"), world.running()
    for number in range(volumes.PER_INSTANCE_MAX):
        volumes.attach(ctx, made(world, f"v{number}", 1).id, instance_id=instance.id)
    with pytest.raises(Conflict, match="can have no more"):
        volumes.attach(ctx, made(world, "one-more", 1).id, instance_id=instance.id)
    work()
    assert len(host.hypervisor().disks(instance.id)) == volumes.PER_INSTANCE_MAX


def test_the_reconciler(world: World) -> None:
    """A volume whose job was lost gets one, a file without a row goes, a disk that a machine misses comes back."""
    volume = attached(world)
    assert volume.instance_id is not None
    stray = world.flavor.id
    host.volumes().create_volume(stray, size_gib=1)
    host.hypervisor().detach_disk(volume.instance_id, volume.id)
    lost = volumes.create(world.ctx("member"), name="lost", size_gib=1)
    Job.objects.filter(subject_id=lost.id).delete()
    reconcilers.volumes()
    work()
    assert host.volumes().all_volumes() == {volume.id, lost.id}
    check_books(volume)
    check_books(lost)


@dataclass(frozen=True)
class Trial:
    """`prepare` gives the volume, `ask` starts the job, then it is to be `status`; undone, it is `undone`."""

    kind: str
    prepare: Callable[[World], Volume]
    ask: Callable[[World, Volume], object]
    status: str
    undone: str


def _ask_attach(world: World, volume: Volume) -> object:
    return volumes.attach(world.ctx("member"), volume.id, instance_id=world.running().id)


def _ask_retype(world: World, volume: Volume) -> object:
    kind = volume_types.create(SYSTEM, name="fast", iops_max=900)
    return volumes.retype(world.ctx("member"), volume.id, type_id=kind.id)


def _ask(verb: str, **options: int) -> Callable[[World, Volume], object]:
    return lambda world, volume: getattr(volumes, verb)(world.ctx("member"), volume.id, **options)


TRIALS = {
    "create": Trial(
        "create-volume",
        lambda world: volumes.create(world.ctx("member"), name="data", size_gib=2),
        lambda world, volume: None,
        "available",
        "error",
    ),
    "attach": Trial("attach-volume", made, _ask_attach, "attached", "available"),
    "detach": Trial("detach-volume", attached, _ask("detach"), "available", "attached"),
    "grow": Trial("grow-volume", made, _ask("grow", size_gib=4), "available", "available"),
    "grow attached": Trial("grow-volume", attached, _ask("grow", size_gib=4), "attached", "attached"),
    "retype": Trial("retype-volume", made, _ask_retype, "available", "available"),
    "retype attached": Trial("retype-volume", attached, _ask_retype, "attached", "attached"),
    "delete": Trial("delete-volume", made, _ask("delete"), "deleted", "error"),
}
EVERY_STEP = [
    pytest.param(trial, number, id=f"{name}, step {number + 1}")
    for name, trial in TRIALS.items()
    for number in range(len(steps_of(trial.kind)))
]


def test_every_kind_has_a_trial() -> None:
    # Snapshots and backups, which work on volumes, too, have trials of their own.
    assert {kind.name for kind in KINDS} == {trial.kind for trial in TRIALS.values()}


@pytest.mark.parametrize("trial", [pytest.param(trial, id=name) for name, trial in TRIALS.items()])
def test_each_step_twice(trial: Trial, world: World) -> None:
    volume = trial.prepare(world)
    trial.ask(world, volume)
    with changed(trial.kind, twice):
        work()
    volume.refresh_from_db()
    assert volume.status == trial.status
    check_books(volume)


@pytest.mark.parametrize(("trial", "number"), EVERY_STEP)
def test_killed_at_each_step(trial: Trial, number: int, world: World) -> None:
    volume = trial.prepare(world)
    trial.ask(world, volume)
    with changed(trial.kind, die_once, step=number):
        with pytest.raises(Killed):
            work()
        work()
    volume.refresh_from_db()
    assert volume.status == trial.status
    check_books(volume)


@pytest.mark.parametrize("how", [fail_before, fail_after])
@pytest.mark.parametrize(("trial", "number"), EVERY_STEP)
def test_failed_at_each_step(trial: Trial, number: int, how: Callable[..., object], world: World) -> None:
    """What failed is undone, the books balance, and the row says why; what a lost answer had done already may stand."""
    volume = trial.prepare(world)
    trial.ask(world, volume)
    with changed(trial.kind, how, step=number):  # type: ignore[arg-type]
        work()
    volume.refresh_from_db()
    if how is fail_after and number == len(steps_of(trial.kind)) - 1 and volume.status == trial.status:
        check_books(volume)  # the row had been written before the answer was lost: it came true
        return
    assert volume.status == trial.undone
    assert volume.error
    if trial.kind == "delete-volume":
        volumes.delete(world.ctx("member"), volume.id)
        work()
        volume.refresh_from_db()
        assert volume.status == "deleted"
    if trial.kind == "detach-volume":
        reconcilers.volumes()  # the machine may have let go of it already
    check_books(volume)
