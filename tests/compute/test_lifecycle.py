"""Shows what a machine's own doings make of its row, by the events that the driver really tells."""

from __future__ import annotations

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
        observe(event.id, event.power, why=event.why)


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
    assert host.hypervisor().power(instance.id) == Power.SHUTOFF


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
