"""Counters of all running machines in one call (https://libvirt.org/html/libvirt-libvirt-domain.html#virConnectGetAllDomainStats)."""

from __future__ import annotations

import time
from typing import Any
from uuid import UUID

import libvirt

from compute.drivers.libvirt.states import machine_id
from compute.drivers.specs import MachineStats

WHAT = (
    libvirt.VIR_DOMAIN_STATS_CPU_TOTAL
    | libvirt.VIR_DOMAIN_STATS_BALLOON
    | libvirt.VIR_DOMAIN_STATS_VCPU
    | libvirt.VIR_DOMAIN_STATS_INTERFACE
    | libvirt.VIR_DOMAIN_STATS_BLOCK
)
# A machine busy with a long operation gives what is known without waiting for it.
WHICH = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE | libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT


def collect(connection: libvirt.virConnect, box: str) -> list[MachineStats]:
    rows = connection.getAllDomainStats(WHAT, WHICH)
    now = time.time()
    return [machine(id, now, counters) for domain, counters in rows if (id := machine_id(box, domain))]


def machine(id: UUID, now: float, counters: dict[str, Any]) -> MachineStats:
    """One machine's flat dictionary as ours."""
    disks, nics = counters.get("block.count", 0), counters.get("net.count", 0)

    def total(kind: str, count: int, name: str) -> int:
        return sum(counters.get(f"{kind}.{each}.{name}", 0) for each in range(count))

    return MachineStats(
        id=id,
        at=now,
        cpu_ns=counters.get("cpu.time", 0),
        vcpus=counters.get("vcpu.current", 1),
        memory_used_mib=_used(counters),
        memory_total_mib=counters.get("balloon.current", counters.get("balloon.maximum", 0)) // 1024,
        disk_read_bytes=total("block", disks, "rd.bytes"),
        disk_write_bytes=total("block", disks, "wr.bytes"),
        disk_read_ops=total("block", disks, "rd.reqs"),
        disk_write_ops=total("block", disks, "wr.reqs"),
        net_rx_bytes=total("net", nics, "rx.bytes"),
        net_tx_bytes=total("net", nics, "tx.bytes"),
    )


def _used(counters: dict[str, Any]) -> int | None:
    """What the guest says it uses, caches not counted; None until its balloon driver has spoken."""
    available = counters.get("balloon.available")
    free = counters.get("balloon.usable", counters.get("balloon.unused"))
    return None if available is None or free is None else max(available - free, 0) // 1024
