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
_CRASHED = (libvirt.VIR_DOMAIN_SHUTOFF_CRASHED, libvirt.VIR_DOMAIN_SHUTOFF_FAILED)


def machine_id(box: str, domain: libvirt.virDomain) -> UUID | None:
    """The id of a machine of this box; None for any other domain."""
    return UUID(domain.UUIDString()) if domain.name().startswith(f"{box}-") else None


def power_of(domain: libvirt.virDomain) -> Power:
    try:
        state, reason = domain.state()
        if state in _ON:
            return _ON[state]
        if domain.hasManagedSaveImage():
            return Power.SAVED
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return Power.ABSENT
        raise
    return Power.CRASHED if reason in _CRASHED else Power.SHUTOFF
