"""Quotas on real PostgreSQL: charged or refused as one, never both of two, given back, and recounted."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from django.db import connection

from cloudbox.common.errors import CloudError, Forbidden, Invalid, QuotaExceeded
from compute import instances, keypairs
from compute.models import Instance
from identity import quotas
from identity.models import Quota
from tests.world import World, work


def _used(world: World, resource: str) -> int:
    return Quota.objects.get(project=world.project, resource=resource).used


def at_once(*calls: Callable[[], object]) -> list[object]:
    """Each in a thread of its own, all from one moment; what they returned or raised."""
    results: list[object] = []
    ready = threading.Barrier(len(calls))

    def one(call: Callable[[], object]) -> None:
        ready.wait()
        try:
            results.append(call())
        except CloudError as error:
            results.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=one, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return results


@pytest.mark.django_db(transaction=True)
def test_two_cannot_take_the_last(world: World) -> None:
    """Six launches at one moment where four fit: four instances, two refusals, and the books say four."""
    quotas.set_limits(world.box(), world.project, {"instances": 4})
    results = at_once(*[lambda n=n: world.launch(name=f"i{n}") for n in range(6)])
    assert sum(isinstance(each, QuotaExceeded) for each in results) == 2, results
    assert Instance.objects.count() == _used(world, "instances") == _used(world, "ports") == 4
    assert quotas.recount() == []


@pytest.mark.django_db(transaction=True)
def test_launches_and_deletes_at_once(world: World) -> None:
    """Resources are charged in one order, so crossing requests neither wait in a ring nor lose a release."""
    running = [world.running(name=f"old{n}") for n in range(3)]
    ctx = world.ctx("member")
    calls = [lambda n=n: world.launch(name=f"new{n}") for n in range(3)] + [lambda i=i: instances.delete(ctx, i.id) for i in running]
    assert not [each for each in at_once(*calls) if isinstance(each, CloudError)]
    work()
    assert _used(world, "instances") == 3
    assert quotas.recount() == []


@pytest.mark.django_db(transaction=True)
def test_two_of_one_name(world: World) -> None:
    results = at_once(lambda: world.launch(name="same"), lambda: world.launch(name="Same"))
    assert sum(isinstance(each, CloudError) for each in results) == 1
    assert _used(world, "instances") == 1


@pytest.mark.django_db(transaction=True)
def test_one_token_twice_at_once(world: World) -> None:
    """The same launch token at one moment: one instance, and both callers get it."""
    results = at_once(*[lambda: [row.id for row in world.launch(token="t-1", count=2)]] * 3)
    assert len(results) == 3
    assert results[0] == results[1] == results[2]
    assert _used(world, "instances") == 2


@pytest.mark.django_db(transaction=True)
def test_two_moves_cannot_both_win(world: World) -> None:
    instance = world.running()
    ctx = world.ctx("member")
    results = at_once(lambda: instances.stop(ctx, instance.id), lambda: instances.suspend(ctx, instance.id))
    assert sum(isinstance(each, CloudError) for each in results) == 1, results


def test_all_or_nothing(world: World) -> None:
    """Memory runs out: nothing of the launch is charged, and the sentence says what is left."""
    quotas.set_limits(world.box(), world.project, {"memory_mib": 1000})
    with pytest.raises(QuotaExceeded, match="1000 MiB of memory left; this needs 1024 MiB"):
        world.launch(count=2)
    assert [line.used for line in quotas.of(world.project) if line.resource in ("instances", "vcpus", "memory_mib", "disk_gib")] == [0] * 4


def test_no_limit_and_lower_limit(world: World) -> None:
    quotas.set_limits(world.box(), world.project, {"instances": None})
    world.launch(count=12)
    quotas.set_limits(world.box(), world.project, {"instances": 3})
    with pytest.raises(QuotaExceeded, match="has 0 of instances left"):
        world.launch(name="more")
    line = next(line for line in quotas.of(world.project) if line.resource == "instances")
    assert (line.used, line.limit, line.left, line.percent) == (12, 3, 0, 100)


def test_who_and_what(world: World) -> None:
    with pytest.raises(Forbidden):
        quotas.set_limits(world.ctx("owner"), world.project, {"instances": 99})
    for bad in ({"gold": 1}, {"instances": -1}, {"instances": 2**41}):
        with pytest.raises(Invalid):
            quotas.set_limits(world.box(), world.project, bad)


def test_recount_finds_and_mends(world: World) -> None:
    keypair, _ = keypairs.create(world.ctx("member"), name="k")
    Quota.objects.filter(project=world.project, resource="keypairs").update(used=7)
    assert quotas.recount() == ["shop: keypairs was 7, is 1"]
    keypairs.delete(world.ctx("member"), keypair.id)
    assert _used(world, "keypairs") == 0
