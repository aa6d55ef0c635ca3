"""Turns the hypervisor's counters into rates: live to who looks, and into the history every ten seconds."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict, dataclass
from uuid import UUID

from cloudbox.common import events
from compute import host
from compute.drivers.specs import MachineStats
from compute.models import Instance, MetricSample

PERIOD_SECONDS = 10


@dataclass(frozen=True)
class Rates:
    """The columns of a sample, in its units."""

    cpu_percent: float
    memory_mib: float | None
    disk_read_bps: float
    disk_write_bps: float
    disk_iops: float
    net_rx_bps: float
    net_tx_bps: float


def rates(before: MachineStats, after: MachineStats) -> Rates | None:
    """The rates between two counters; None across a restart, where counters begin again. CPU 100 % is all vCPUs busy."""
    seconds = after.at - before.at
    if seconds <= 0 or after.cpu_ns < before.cpu_ns:
        return None

    def rate(name: str) -> float:
        return max(0.0, (getattr(after, name) - getattr(before, name)) / seconds)

    return Rates(
        cpu_percent=min(100.0, rate("cpu_ns") / 1e9 / max(1, after.vcpus) * 100),
        memory_mib=after.memory_used_mib,
        disk_read_bps=rate("disk_read_bytes"),
        disk_write_bps=rate("disk_write_bytes"),
        disk_iops=rate("disk_read_ops") + rate("disk_write_ops"),
        net_rx_bps=rate("net_rx_bytes"),
        net_tx_bps=rate("net_tx_bytes"),
    )


class Sampler:
    """Keeps the last counters of each machine. `sample` is called every two seconds while somebody looks, else every ten."""

    def __init__(self) -> None:
        self._live: dict[UUID, MachineStats] = {}
        self._stored: dict[UUID, MachineStats] = {}

    def sample(self) -> None:
        now = {stats.id: stats for stats in host.hypervisor().stats()}
        for id, stats in now.items():
            if id in self._live and (live := rates(self._live[id], stats)):
                events.send_to(f"metrics.{id.hex}", {"type": "metrics", "at": int(stats.at), **asdict(live)})
        self._live = now
        self._store(now)

    def _store(self, now: dict[UUID, MachineStats]) -> None:
        """A row a machine at each full period; machines whose row is gone are left out."""
        due = {id: stats for id, stats in now.items() if id not in self._stored or self._slot(stats) > self._slot(self._stored[id])}
        found = {id: live for id, stats in due.items() if id in self._stored and (live := rates(self._stored[id], stats))}
        known = set(Instance.objects.filter(id__in=found).values_list("id", flat=True)) if found else set()
        MetricSample.objects.bulk_create(
            [
                MetricSample(
                    instance_id=id,
                    period_seconds=PERIOD_SECONDS,
                    at=dt.datetime.fromtimestamp(self._slot(due[id]), dt.UTC),
                    **asdict(live),
                )
                for id, live in found.items()
                if id in known
            ],
            ignore_conflicts=True,
        )
        self._stored = {id: due.get(id, self._stored.get(id, stats)) for id, stats in now.items()}

    @staticmethod
    def _slot(stats: MachineStats) -> int:
        return int(stats.at) // PERIOD_SECONDS * PERIOD_SECONDS
