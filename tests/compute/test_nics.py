"""Network cards put into an instance and taken out, on fake drivers: addresses, quota, firewall and machine agree at every point."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest

from cloudbox.common import clock, jobs
from cloudbox.common.errors import Conflict, Forbidden, Invalid, NotFound, QuotaExceeded
from cloudbox.common.models import Job
from compute import desired, host, instances, networks, nics, ports
from compute.models import Instance, Port
from identity import quotas
from identity.models import Quota
from tests.jobs import Killed, changed, die_once, fail_after, fail_before, steps_of, twice
from tests.world import World, work


def check(instance: Instance, count: int) -> None:
    """Rows, quota, fabric and machine know the same cards."""
    rows = {port.mac for port in Port.objects.filter(instance=instance)}
    assert len(rows) == count
    assert quotas.recount() == []
    assert host.hypervisor().nics(instance.id) == rows
    assert {port.mac for port in host.fabric().spec.ports} == rows  # type: ignore[attr-defined]


def test_in_and_out(world: World) -> None:
    """One by network, one by a reserved port; each survives a restart; the reserved port is free again afterwards."""
    ctx, instance = world.ctx("member"), world.running()
    backend = networks.create(ctx, name="backend")
    reserved = ports.reserve(ctx, network_id=backend.id, name="db")
    first = nics.attach(ctx, instance.id, network_id=backend.id)
    work()
    check(instance, 2)
    nics.attach(ctx, instance.id, port_id=reserved.id)
    work()
    check(instance, 3)
    assert [*instance.ports.values_list("index", flat=True)] == [0, 1, 2]
    with pytest.raises(Conflict):
        nics.attach(ctx, instance.id, port_id=reserved.id)
    instances.stop(ctx, instance.id)
    work()
    instances.start(ctx, instance.id)
    work()
    check(instance, 3)
    nics.detach(ctx, instance.id, first.id)
    work()
    nics.detach(ctx, instance.id, reserved.id)
    work()
    check(instance, 1)
    assert ports.get(ctx, reserved.id).instance is None
    nics.attach(ctx, instance.id, network_id=backend.id)
    work()
    assert [*instance.ports.values_list("index", flat=True)] == [0, 1]


def test_a_guest_that_holds_on(world: World) -> None:
    """Asked for a minute; then the card stays, and the row says what to do."""
    ctx, instance = world.ctx("member"), world.running()
    port = nics.attach(ctx, instance.id, network_id=world.network.id)
    work()
    host.hypervisor().holding.add(instance.id)  # type: ignore[attr-defined]
    nics.detach(ctx, instance.id, port.id)
    job = Job.objects.get(kind="detach-nic-instance")
    jobs.run(job.id)
    Job.objects.filter(id=job.id).update(created_at=clock.now() - dt.timedelta(minutes=2))
    jobs.run(job.id)
    instance.refresh_from_db()
    assert (instance.status, "did not let go" in instance.error) == ("running", True)
    check(instance, 2)


def test_what_is_refused(world: World) -> None:
    ctx, instance = world.ctx("member"), world.running()
    with pytest.raises(Invalid):
        nics.attach(ctx, instance.id)
    with pytest.raises(NotFound):
        nics.attach(ctx, instance.id, network_id=world.image.id)
    with pytest.raises(NotFound):
        nics.detach(ctx, instance.id, world.image.id)
    with pytest.raises(Forbidden):
        nics.attach(world.ctx("reader"), instance.id, network_id=world.network.id)
    with pytest.raises(NotFound):
        nics.attach(world.ctx("stranger", world.other), instance.id, network_id=world.network.id)
    Quota.objects.filter(project=world.project, resource="ports").update(limit=1)
    with pytest.raises(QuotaExceeded):
        nics.attach(ctx, instance.id, network_id=world.network.id)
    Quota.objects.filter(project=world.project, resource="ports").update(limit=None)
    for _ in range(instances.NICS_MAX - 1):
        nics.attach(ctx, instance.id, network_id=world.network.id)
    with pytest.raises(Conflict, match="can have no more"):
        nics.attach(ctx, instance.id, network_id=world.network.id)
    work()
    check(instance, instances.NICS_MAX)
    instances.suspend(ctx, instance.id)
    work()
    with pytest.raises(Conflict, match="Start it first"):
        nics.attach(ctx, instance.id, network_id=world.network.id)


def _attach(world: World, instance: Instance) -> None:
    nics.attach(world.ctx("member"), instance.id, network_id=world.network.id)


def _detach(world: World, instance: Instance) -> None:
    nics.detach(world.ctx("member"), instance.id, instance.ports.order_by("-index")[0].id)


def _with_two(world: World) -> Instance:
    instance = world.running()
    _attach(world, instance)
    work()
    return instance


Ask = Callable[[World, Instance], None]
TRIALS = [("attach-nic-instance", World.running, _attach, 2, 1), ("detach-nic-instance", _with_two, _detach, 1, 2)]
EVERY_STEP = [pytest.param(*trial, step, id=f"{trial[0]}, step {step}") for trial in TRIALS for step in range(len(steps_of(trial[0])))]


@pytest.mark.parametrize(("kind", "prepare", "ask", "done", "undone"), TRIALS)
def test_each_step_twice(kind: str, prepare: Callable[[World], Instance], ask: Ask, done: int, undone: int, world: World) -> None:
    instance = prepare(world)
    ask(world, instance)
    with changed(kind, twice):
        work()
    check(instance, done)


@pytest.mark.parametrize(("kind", "prepare", "ask", "done", "undone", "step"), EVERY_STEP)
def test_killed_at_each_step(
    kind: str, prepare: Callable[[World], Instance], ask: Ask, done: int, undone: int, step: int, world: World
) -> None:
    instance = prepare(world)
    ask(world, instance)
    with changed(kind, die_once, step=step):
        with pytest.raises(Killed):
            work()
        work()
    check(instance, done)


@pytest.mark.parametrize("fail", [fail_before, fail_after])
@pytest.mark.parametrize(("kind", "prepare", "ask", "done", "undone", "step"), EVERY_STEP)
def test_fails_at_each_step(
    kind: str, prepare: Callable[[World], Instance], ask: Ask, done: int, undone: int, step: int, fail: object, world: World
) -> None:
    """Taken back, or done; asked again it is done. Row, machine and fabric agree when the reconciler has been round."""
    instance = prepare(world)
    ask(world, instance)
    with changed(kind, fail, step=step):  # type: ignore[arg-type]
        work()
    desired.apply_fabric()
    instance.refresh_from_db()
    assert instance.error
    count = instance.ports.count()
    assert count in (done, undone)
    assert quotas.recount() == []
    if count == undone:
        ask(world, instance)
        work()
    check(instance, done)
