"""Shows what a machine's own doings make of its row, by the events that the driver really tells."""

from __future__ import annotations

from typing import Any

from cloudbox.common.models import Job
from compute import host, instances, reconcilers
from compute.drivers.specs import MachineEvent, Power
from compute.lifecycle import observe
from compute.models import Instance
from tests.machines import eventually
from tests.world import World, work


def _take_in(told: list[MachineEvent]) -> None:
    """As the worker does with what it was told."""
    while told:
        event = told.pop(0)
        observe(event.id, event.power)


def test_a_guest_that_powers_itself_off_stays_off(world: World) -> None:
    """`poweroff` inside: the row says stopped, is meant to be, and neither a job nor a reconciler starts it again."""
    instance, told = world.running(), list[MachineEvent]()
    end = host.hypervisor().watch(told.append)
    host.hypervisor().guest_poweroff(instance.id)  # type: ignore[attr-defined]

    eventually(lambda: bool(told))
    end()
    _take_in(told)
    work()
    reconcilers.powers()
    work()
    instance = Instance.objects.get(id=instance.id)
    assert (instance.status, instance.intended) == ("stopped", "stopped")
    assert host.hypervisor().power(instance.id) == Power.POWERED_OFF


def test_the_reconciler_looks_before_the_event_comes(world: World) -> None:
    """The guest powers itself off; before anybody hears of it (or while no worker ran) the reconciler compares: it stays off."""
    instance = world.running()
    host.hypervisor().guest_poweroff(instance.id)  # type: ignore[attr-defined]

    reconcilers.powers()
    work()
    instance = Instance.objects.get(id=instance.id)
    assert (instance.status, instance.intended) == ("stopped", "stopped")
    assert host.hypervisor().power(instance.id) == Power.POWERED_OFF


def test_a_machine_lost_with_the_host_runs_again(world: World) -> None:
    """After a reboot of the host the hypervisor knows it as off, and no more: it is brought back. So is one that it does not know."""
    instance, other = world.running(), world.running(name="other")
    host.hypervisor().stop(instance.id)
    host.hypervisor().stop(other.id)
    host.hypervisor().undefine(other.id)
    reconcilers.powers()
    work()
    for each in (instance, other):
        assert instances.get(world.ctx("member"), each.id).status == "running"
        assert host.hypervisor().power(each.id) == Power.RUNNING


def test_old_news_moves_nothing(world: World) -> None:
    """Events wait in line, and so does a reconciler's list: what was true before a start that has ended since changes nothing."""
    instance = world.running()
    for power in (Power.POWERED_OFF, Power.CRASHED, Power.PAUSED, Power.ABSENT):
        observe(instance.id, power)
    work()
    instance = Instance.objects.get(id=instance.id)
    assert (instance.status, instance.intended) == ("running", "running")
    assert not Job.objects.filter(subject_id=instance.id, kind="restore-instance").exists()


def test_started_again_meanwhile(world: World) -> None:
    """Powered off from inside, and started by a person before the event is taken in: the start counts."""
    instance = world.running()
    host.hypervisor().guest_poweroff(instance.id)  # type: ignore[attr-defined]
    reconcilers.powers()
    work()
    instances.start(world.ctx("member"), instance.id)
    observe(instance.id, Power.POWERED_OFF)
    work()
    instance = Instance.objects.get(id=instance.id)
    assert (instance.status, instance.intended) == ("running", "running")


def test_a_machine_whose_process_died_runs_again(world: World) -> None:
    """The same end without the guest's will: it is brought back, and the row says running."""
    instance, told = world.running(), list[MachineEvent]()
    end = host.hypervisor().watch(told.append)
    host.hypervisor().crash(instance.id)  # type: ignore[attr-defined]

    eventually(lambda: bool(told))
    end()
    _take_in(told)
    work()
    assert instances.get(world.ctx("member"), instance.id).status == "running"
    assert host.hypervisor().power(instance.id) == Power.RUNNING


def test_calm_instances_cost_the_reconciler_nothing(world: World, django_assert_num_queries: Any) -> None:
    """Rows that agree with their machines, and those that were given up, are read in one query, however many there are."""
    instance, other = world.running(), world.running(name="other")
    Instance.objects.filter(id=other.id).update(status="error")
    host.hypervisor().stop(other.id)
    with django_assert_num_queries(1):
        reconcilers.powers()
    assert Instance.objects.get(id=instance.id).status == "running"
    assert Instance.objects.get(id=other.id).status == "error"
