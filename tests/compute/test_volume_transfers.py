"""Volumes that change their type, and volumes that change their project: quota, bills and limits go along, and strangers learn nothing."""

from __future__ import annotations

import datetime as dt

import pytest

from cloudbox.common import clock
from cloudbox.common.errors import AlreadyExists, Conflict, Forbidden, Invalid, NotFound, QuotaExceeded
from compute import reconcilers, snapshots, volume_transfers, volume_types, volumes
from compute.models import VolumeTransfer, VolumeType
from identity import quotas
from identity.context import SYSTEM
from identity.models import Quota
from tests.compute.test_snapshots import taken
from tests.compute.test_volumes import attached, check_books, made
from tests.world import World, work


def test_handed_over(world: World) -> None:
    """Offered, locked meanwhile, accepted under another name with its snapshots: the one side has nothing more, the other pays."""
    ctx, stranger, volume = world.ctx("member"), world.ctx("stranger", world.other), made(world)
    made_by_stranger = volumes.create(stranger, name="DATA", size_gib=1)
    snapshot = taken(world, volume)
    offer, key = volume_transfers.offer(ctx, volume.id)
    assert volume_transfers.of(ctx, volume.id) == offer
    assert key not in str(VolumeTransfer.objects.values().get())
    with pytest.raises(Conflict, match="Withdraw the offer first"):
        volumes.delete(ctx, volume.id)
    with pytest.raises(AlreadyExists):
        volume_transfers.accept(stranger, key=key)
    taken_over = volume_transfers.accept(stranger, key=f" {key} ", name="orders")
    assert (taken_over.id, taken_over.name, taken_over.status, taken_over.project) == (volume.id, "orders", "available", world.other)
    assert snapshots.get(stranger, snapshot.id).name == "monday"
    for gone in (lambda: volumes.get(ctx, volume.id), lambda: snapshots.get(ctx, snapshot.id)):
        with pytest.raises(NotFound):
            gone()
    with pytest.raises(NotFound, match="opens no offer"):
        volume_transfers.accept(ctx, key=key)
    assert [row.project for row in volume.intervals.order_by("start")] == [world.project, world.other]
    work()
    check_books(volume)
    check_books(made_by_stranger)
    used = dict(Quota.objects.filter(project=world.project, resource__startswith="snapshot").values_list("resource", "used"))
    assert used == {"snapshots": 0, "snapshot_gib": 0}


@pytest.mark.parametrize("key", ["", "x", "." * 500, "6f0c5d3e3f0b4c559a510d2f5a1c7e10.secret", "\x00", "not-a-uuid.secret"])
def test_keys_that_open_nothing(key: str, world: World) -> None:
    with pytest.raises(NotFound, match="opens no offer"):
        volume_transfers.accept(world.ctx("member"), key=key)


def test_offers_that_end(world: World) -> None:
    """A wrong secret, an offer that is over or withdrawn, one's own project, too small a quota: nothing changes hands."""
    ctx, stranger, volume = world.ctx("member"), world.ctx("stranger", world.other), made(world)
    offer, key = volume_transfers.offer(ctx, volume.id)
    with pytest.raises(NotFound):
        volume_transfers.accept(stranger, key=f"{key}x")
    with pytest.raises(Conflict, match="belongs to this project"):
        volume_transfers.accept(ctx, key=key)
    with pytest.raises(Forbidden):
        volume_transfers.offer(world.ctx("reader"), volume.id)
    Quota.objects.filter(project=world.other, resource="volume_gib").update(limit=1)
    with pytest.raises(QuotaExceeded):
        volume_transfers.accept(stranger, key=key)
    VolumeTransfer.objects.filter(id=offer.id).update(expires_at=clock.now() - dt.timedelta(seconds=1))
    with pytest.raises(NotFound):
        volume_transfers.accept(stranger, key=key)
    reconcilers.leftovers()
    assert volumes.get(ctx, volume.id).status == "available"
    _, key = volume_transfers.offer(ctx, volume.id)
    volume_transfers.withdraw(ctx, volume.id)
    with pytest.raises(NotFound):
        volume_transfers.accept(stranger, key=key)
    volumes.protect(ctx, volume.id)
    with pytest.raises(Conflict, match="protected"):
        volume_transfers.offer(ctx, volume.id)
    check_books(volume)


def test_retyped_in_use(world: World) -> None:
    """The new limits reach the running machine, the bill knows since when; a type of another place is refused, as is a retired one."""
    ctx, volume = world.ctx("member"), attached(world)
    slow = volume_types.create(SYSTEM, name="slow", iops_max=100, mib_per_second_max=5, price_micros=30_000)
    volumes.retype(ctx, volume.id, type_id=slow.id)
    work()
    volume = volumes.get(ctx, volume.id)
    assert (volume.status, volume.type) == ("attached", slow)
    check_books(volume)
    assert volumes.retype(ctx, volume.id, type_id=slow.id).status == "attached"
    with pytest.raises(Invalid, match="Nowhere else yet"):
        volume_types.create(SYSTEM, name="ceph", backend="rbd")
    far = VolumeType.objects.create(name="ceph", backend="rbd")
    with pytest.raises(Conflict, match="lie elsewhere"):
        volumes.retype(ctx, volume.id, type_id=far.id)
    volume_types.retire(SYSTEM, far.id)
    with pytest.raises(Conflict, match="no longer offered"):
        volumes.retype(ctx, volume.id, type_id=far.id)
    assert [row.type for row in volume.intervals.order_by("start")] == ["standard", "slow"]


def test_types_are_changed_until_they_are_used(world: World) -> None:
    kind = volume_types.create(SYSTEM, name="odd", iops_max=5)
    kind = volume_types.update(world.box(), kind.id, name="zeta", iops_max=None, mib_per_second_max=9, price_micros=1)
    assert (kind.name, kind.iops_max, kind.mib_per_second_max, kind.price_micros) == ("zeta", None, 9, 1)
    with pytest.raises(Invalid):
        volume_types.update(world.box(), kind.id, price_micros=-1)
    with pytest.raises(Forbidden):
        volume_types.update(world.ctx("member"), kind.id, name="mine")
    with pytest.raises(AlreadyExists):
        volume_types.update(world.box(), kind.id, name="standard")
    made(world)
    with pytest.raises(Conflict, match="A volume has the type standard"):
        volume_types.update(world.box(), volume_types.default(SYSTEM).id, iops_max=1)
    assert quotas.recount() == []
