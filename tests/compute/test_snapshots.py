"""Snapshots and copies of volumes on fake drivers: their life, what is refused and why, every job through the trials of tests/jobs.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from cloudbox.common.errors import AlreadyExists, Conflict, Forbidden, Invalid, NotFound, QuotaExceeded
from cloudbox.common.models import Job
from compute import host, images, instances, reconcilers, snapshots, volumes
from compute.drivers import fake_disks
from compute.jobs.snapshots import KINDS
from compute.models import Image, Snapshot, Volume
from identity import quotas
from identity.models import Quota
from tests.compute.test_volumes import attached, check_books, made
from tests.jobs import Killed, changed, die_once, fail_after, fail_before, steps_of, twice
from tests.world import World, work


def write(volume: Volume, text: str) -> None:
    fake_disks.scribble(host.volumes().volume_path(volume.id), text)


def text(volume: Volume) -> str:
    return fake_disks.text(host.volumes().volume_path(volume.id))


def taken(world: World, volume: Volume, name: str = "monday") -> Snapshot:
    snapshot = snapshots.create(world.ctx("member"), volume_id=volume.id, name=name)
    work()
    return snapshots.get(world.ctx("member"), snapshot.id)


def check(*rows: Volume) -> None:
    """The books of the volumes balance, and each disk holds just the snapshots that its rows tell of."""
    for volume in rows:
        check_books(volume)
        if volume.status not in ("deleted", "error"):
            told = Snapshot.objects.filter(volume=volume, status="ready").values_list("id", flat=True)
            assert host.volumes().snapshots(volume.id) == set(told)
    assert not host.hypervisor().frozen  # type: ignore[attr-defined]


def test_there_and_back(world: World) -> None:
    """Taken while the guest writes, gone back to when it is stopped, a branch begun, deleted in the middle: contents and tree follow."""
    ctx, volume = world.ctx("member"), attached(world)
    assert volume.instance_id is not None
    write(volume, "a")
    first = taken(world, volume, "first")
    assert (first.status, first.size_gib, first.is_consistent) == ("ready", 2, True)
    write(volume, "b")
    second = taken(world, volume, "second")
    write(volume, "c")
    with pytest.raises(Conflict, match="Stop it, or detach"):
        snapshots.restore(ctx, first.id)
    instances.stop(ctx, volume.instance_id)
    work()
    snapshots.restore(ctx, first.id)
    assert volumes.get(ctx, volume.id).status == "restoring"
    work()
    assert (volumes.get(ctx, volume.id).status, text(volume)) == ("attached", "a")
    third = taken(world, volume, "third")
    assert third.is_consistent is None  # it was off: there was nobody to ask, and nothing to write out
    assert [(depth, row.name) for depth, row in snapshots.tree(ctx, volume.id)] == [(0, "first"), (1, "second"), (1, "third")]
    snapshots.delete(ctx, first.id)
    work()
    assert [(depth, row.name) for depth, row in snapshots.tree(ctx, volume.id)] == [(0, "second"), (0, "third")]
    snapshots.restore(ctx, second.id)
    work()
    assert text(volume) == "b"
    check(volume)
    volumes.detach(ctx, volume.id)
    work()
    with pytest.raises(Conflict, match="2 snapshots, which go with it"):
        volumes.delete(ctx, volume.id)
    volumes.delete(ctx, volume.id, with_snapshots=True)
    work()
    check(volume)
    assert snapshots.counts(ctx) == {"total": 0, "gib": 0}


def test_a_guest_without_an_agent(world: World) -> None:
    """The snapshot is taken all the same, and says that it is as after a power cut."""
    volume = attached(world)
    host.hypervisor().silent.add(volume.instance_id)  # type: ignore[attr-defined]
    assert taken(world, volume).is_consistent is False
    check(volume)


def test_a_guest_goes_on_when_the_snapshot_fails(world: World) -> None:
    """Its file systems are held still for the moment of the snapshot and never longer."""
    ctx, volume = world.ctx("member"), attached(world)
    host.hypervisor().fail("snapshot_disks", times=6)  # type: ignore[attr-defined]
    snapshot = taken(world, volume)
    assert snapshot.status == "error"
    assert snapshot.error
    with pytest.raises(Conflict, match="only be deleted"):
        snapshots.restore(ctx, snapshot.id)
    snapshots.delete(ctx, snapshot.id)
    work()
    check(volume)


@pytest.mark.parametrize("source", ["snapshot", "volume", "attached", "image"])
def test_copies(source: str, world: World) -> None:
    """A copy holds what its source held, grown if asked, is of its type and system, and the source keeps nothing of it."""
    ctx = world.ctx("member")
    if source == "image":
        copy = volumes.create(ctx, name="system", image_id=world.image.id)
        work()
        copy = volumes.get(ctx, copy.id)
        assert (copy.size_gib, copy.image_id, text(copy)) == (2, world.image.id, f"image {world.image.id}")
        again = volumes.create(ctx, name="again", volume_id=copy.id)
        work()
        assert again.image_id == world.image.id
        check(copy, again)
        return
    volume = attached(world) if source == "attached" else made(world)
    write(volume, "a")
    if source == "snapshot":
        snapshot = taken(world, volume)
        copy = volumes.create(ctx, name="copy", snapshot_id=snapshot.id, size_gib=5)
        with pytest.raises(Conflict, match="being made from it"):
            snapshots.delete(ctx, snapshot.id)
    else:
        copy = volumes.create(ctx, name="copy", volume_id=volume.id)
        if source == "volume":
            with pytest.raises(Conflict, match="being made from it"):
                volumes.delete(ctx, volume.id)
    work()
    copy = volumes.get(ctx, copy.id)
    assert (copy.status, copy.size_gib, copy.type, text(copy)) == ("available", 5 if source == "snapshot" else 2, volume.type, "a")
    check(volume, copy)


def test_what_is_refused(world: World) -> None:
    ctx, stranger, volume = world.ctx("member"), world.ctx("stranger", world.other), made(world)
    snapshot = taken(world, volume)
    with pytest.raises(AlreadyExists):
        snapshots.create(ctx, volume_id=volume.id, name="MONDAY")
    with pytest.raises(Forbidden):
        snapshots.create(world.ctx("reader"), volume_id=volume.id, name="no")
    for verb in (snapshots.get, snapshots.delete, snapshots.restore):
        with pytest.raises(NotFound):
            verb(stranger, snapshot.id)
    with pytest.raises(NotFound):
        snapshots.create(stranger, volume_id=volume.id, name="mine")
    for foreign in ({"snapshot_id": snapshot.id}, {"volume_id": volume.id}):
        with pytest.raises(NotFound):
            volumes.create(stranger, name="mine", **foreign)
    with pytest.raises(Invalid, match="one thing"):
        volumes.create(ctx, name="odd", volume_id=volume.id, snapshot_id=snapshot.id)
    with pytest.raises(Invalid, match="at least as large"):
        volumes.create(ctx, name="small", snapshot_id=snapshot.id, size_gib=1)
    with pytest.raises(Invalid, match="How large"):
        volumes.create(ctx, name="empty")
    Quota.objects.filter(project=world.project, resource="snapshot_gib").update(limit=3)
    with pytest.raises(QuotaExceeded):
        snapshots.create(ctx, volume_id=volume.id, name="tuesday")
    snapshots.update(ctx, snapshot.id, name="new year", description="before the sale")
    assert snapshots.get(ctx, snapshot.id).name == "new year"
    assert [row.name for row in snapshots.list(ctx, q="data")] == ["new year"]
    assert not snapshots.list(ctx, q="other", volume_id=volume.id)
    check(volume)


def test_read_only_volumes(world: World) -> None:
    """What is attached read-only does not change, and QEMU would not write a snapshot into it: refused, with what to do."""
    ctx, volume = world.ctx("member"), made(world)
    kept = taken(world, volume)
    volumes.attach(ctx, volume.id, instance_id=world.running().id, read_only=True)
    work()
    for refused in (
        lambda: snapshots.create(ctx, volume_id=volume.id, name="now"),
        lambda: snapshots.delete(ctx, kept.id),
        lambda: volumes.create(ctx, name="copy", volume_id=volume.id),
    ):
        with pytest.raises(Conflict, match=r"read-only.*Detach it"):
            refused()
    check(volume)


def test_the_reconciler(world: World) -> None:
    """Jobs were lost: what was being taken is taken, what was to go goes, and a volume that was going back says that it did not."""
    ctx, volume, other = world.ctx("member"), made(world), made(world, "other")
    old, kept = taken(world, volume, "old"), taken(world, other, "kept")
    new = snapshots.create(ctx, volume_id=volume.id, name="new")
    snapshots.delete(ctx, old.id)
    snapshots.restore(ctx, kept.id)
    Job.objects.exclude(state="done").delete()
    reconcilers.volumes()
    work()
    reconcilers.volumes()
    work()
    assert (snapshots.get(ctx, new.id).status, Snapshot.objects.get(id=old.id).status) == ("ready", "deleted")
    other = volumes.get(ctx, other.id)
    assert (other.status, "Ask for it again" in other.error) == ("available", True)
    check(volume, other)


@dataclass(frozen=True)
class Trial:
    """`prepare` gives volume and snapshot, `ask` starts the job and gives the snapshot; then the two are to have these statuses, or,
    undone, those."""

    kind: str
    prepare: Callable[[World], Volume]
    ask: Callable[[World, Volume], Snapshot]
    done: tuple[str, str]
    undone: tuple[str, str]


def _new(world: World, volume: Volume) -> Snapshot:
    return snapshots.create(world.ctx("member"), volume_id=volume.id, name="new")


def _with_one(prepare: Callable[[World], Volume]) -> Callable[[World], Volume]:
    def both(world: World) -> Volume:
        volume = prepare(world)
        write(volume, "a")
        taken(world, volume)
        write(volume, "b")
        return volume

    return both


def _ask(verb: str) -> Callable[[World, Volume], Snapshot]:
    return lambda world, volume: getattr(snapshots, verb)(world.ctx("member"), volume.snapshots.get().id)


TRIALS = {
    "create": Trial("create-snapshot", made, _new, ("available", "ready"), ("available", "error")),
    "create attached": Trial("create-snapshot", attached, _new, ("attached", "ready"), ("attached", "error")),
    "restore": Trial("restore-volume", _with_one(made), _ask("restore"), ("available", "ready"), ("available", "ready")),
    "delete": Trial("delete-snapshot", _with_one(made), _ask("delete"), ("available", "deleted"), ("available", "error")),
    "delete attached": Trial("delete-snapshot", _with_one(attached), _ask("delete"), ("attached", "deleted"), ("attached", "error")),
}
EVERY_STEP = [
    pytest.param(trial, number, id=f"{name}, step {number + 1}")
    for name, trial in TRIALS.items()
    for number in range(len(steps_of(trial.kind)))
]


def test_every_kind_has_a_trial() -> None:
    assert {kind.name for kind in KINDS} == {trial.kind for trial in TRIALS.values()}


def _statuses(volume: Volume, snapshot: Snapshot) -> tuple[str, str]:
    volume.refresh_from_db()
    snapshot.refresh_from_db()
    return volume.status, snapshot.status


def _check_end(trial: Trial, volume: Volume, snapshot: Snapshot) -> None:
    assert _statuses(volume, snapshot) == trial.done
    if trial.kind == "restore-volume":
        assert text(volume) == "a"
    check(volume)


@pytest.mark.parametrize("trial", [pytest.param(trial, id=name) for name, trial in TRIALS.items()])
def test_each_step_twice(trial: Trial, world: World) -> None:
    volume = trial.prepare(world)
    snapshot = trial.ask(world, volume)
    with changed(trial.kind, twice):
        work()
    _check_end(trial, volume, snapshot)


@pytest.mark.slow
@pytest.mark.parametrize(("trial", "number"), EVERY_STEP)
def test_killed_at_each_step(trial: Trial, number: int, world: World) -> None:
    volume = trial.prepare(world)
    snapshot = trial.ask(world, volume)
    with changed(trial.kind, die_once, step=number):
        with pytest.raises(Killed):
            work()
        work()
    _check_end(trial, volume, snapshot)


@pytest.mark.slow
@pytest.mark.parametrize("how", [fail_before, fail_after])
@pytest.mark.parametrize(("trial", "number"), EVERY_STEP)
def test_failed_at_each_step(trial: Trial, number: int, how: Callable[..., object], world: World) -> None:
    """What failed is undone or told, the books balance; what is left can be deleted, and the same works when asked again."""
    volume = trial.prepare(world)
    snapshot = trial.ask(world, volume)
    with changed(trial.kind, how, step=number):  # type: ignore[arg-type]
        work()
    if _statuses(volume, snapshot) != trial.done or trial.kind == "restore-volume":
        assert _statuses(volume, snapshot) == trial.undone
        assert snapshot.error or volume.error or trial.kind == "restore-volume"
        if trial.kind == "restore-volume":
            snapshots.restore(world.ctx("member"), snapshot.id)
        else:
            snapshots.delete(world.ctx("member"), snapshot.id)
        work()
        assert _statuses(volume, snapshot)[1] == ("ready" if trial.kind == "restore-volume" else "deleted")
    assert quotas.recount() == []
    check(volume)


def test_nothing_goes_while_an_image_is_made_of_it(world: World) -> None:
    ctx = world.ctx("member")
    volume = volumes.create(ctx, name="data", size_gib=1)
    work(volume.id)
    snapshot = snapshots.create(ctx, volume_id=volume.id, name="monday")
    work(volume.id)
    image = images.create(ctx, name="Golden", snapshot_id=snapshot.id)
    with pytest.raises(Conflict, match="Golden is being made from it"):
        snapshots.delete(ctx, snapshot.id)
    with pytest.raises(Conflict, match="Golden is being made from it"):
        volumes.delete(ctx, volume.id, with_snapshots=True)
    Image.objects.filter(id=image.id).update(status="failed")
    assert snapshots.delete(ctx, snapshot.id).status == "deleting"
