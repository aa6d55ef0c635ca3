"""Bring a machine up: its networks and its firewall first, then the guest.

QEMU takes far longer to start than a firewall to load, so both happen at once; but the machine starts paused, and its first
instruction runs when the firewall is in place. A crash between the two leaves it paused, and the step that is repeated resumes it.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from uuid import UUID

from compute import config_drives, desired, host
from compute.drivers.specs import OFF, bridge_name
from compute.models import Instance


def define(instance: Instance) -> None:
    """The machine as the tables have it, with what its config drive tells."""
    config_drives.write(instance)
    host.hypervisor().define(desired.machine(instance))


def bring_up(instance: Instance) -> None:
    """Make a defined machine run, saved, stopped or paused as it may be; running: nothing. Fails as a whole: what was off is off."""
    power = host.hypervisor().power(instance.id)
    if power not in OFF:  # one with memory to lose waits for its networks
        desired.apply_fabric()
    else:
        _start_beside_networks(instance)
    host.hypervisor().start(instance.id)
    host.hypervisor().resume(instance.id)


def _start_beside_networks(instance: Instance) -> None:
    """The machine paused and the networks made, whichever is first. Only the driver's call leaves this thread: the tables stay here."""
    bridges = {bridge_name(id) for id in instance.ports.values_list("network_id", flat=True)}
    with ThreadPoolExecutor(1, thread_name_prefix="start") as pool:
        starting: Future[None] = pool.submit(_start_paused, instance.id, bridges)
        try:
            desired.apply_fabric()
            starting.result()
        except BaseException:
            starting.exception()  # it must not start after it was stopped
            host.hypervisor().stop(instance.id)
            raise


def _start_paused(id: UUID, bridges: set[str]) -> None:
    """Unless a bridge is still to be made: then it is started when that is done."""
    if bridges <= host.fabric().networks():
        host.hypervisor().start(id, paused=True)
