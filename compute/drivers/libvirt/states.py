"""libvirt's states of a domain as ours, and a domain's name as a machine's id."""

from __future__ import annotations

from uuid import UUID

import libvirt

from compute.drivers.specs import Power

_ON = {
    libvirt.VIR_DOMAIN_RUNNING: Power.RUNNING,
    libvirt.VIR_DOMAIN_BLOCKED: Power.RUNNING,
    libvirt.VIR_DOMAIN_PAUSED: Power.PAUSED,
    libvirt.VIR_DOMAIN_SHUTDOWN: Power.RUNNING,  # on its way down; the event of its end is still to come
    libvirt.VIR_DOMAIN_PMSUSPENDED: Power.PAUSED,
    libvirt.VIR_DOMAIN_CRASHED: Power.CRASHED,
}
_OFF = {
    libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN: Power.POWERED_OFF,
    libvirt.VIR_DOMAIN_SHUTOFF_CRASHED: Power.CRASHED,
    libvirt.VIR_DOMAIN_SHUTOFF_FAILED: Power.CRASHED,
}


def machine_id(box: str, domain: libvirt.virDomain) -> UUID | None:
    """The id of a machine of this box; None for any other domain."""
    return UUID(domain.UUIDString()) if domain.name().startswith(f"{box}-") else None


class Powers:
    """The power of domains. libvirt says "shutdown" of a guest that powered itself off and of one whose QEMU the host ended by a
    signal (as when the host itself goes down); only an event, earlier, tells the two apart. Shared by all who ask: a set is safe
    among threads."""

    def __init__(self) -> None:
        self._ended_by_host: set[UUID] = set()

    def ended_by_host(self, id: UUID) -> None:
        self._ended_by_host.add(id)

    def started(self, id: UUID) -> None:
        self._ended_by_host.discard(id)

    def of(self, domain: libvirt.virDomain) -> Power:
        try:
            state, reason = domain.state()
            if state in _ON:
                return _ON[state]
            if domain.hasManagedSaveImage():
                return Power.SAVED
            return self.off(UUID(domain.UUIDString()), _OFF.get(reason, Power.SHUTOFF))
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                return Power.ABSENT
            raise

    def off(self, id: UUID, power: Power) -> Power:
        """The same, unless the host ended it."""
        return Power.CRASHED if power is Power.POWERED_OFF and id in self._ended_by_host else power
