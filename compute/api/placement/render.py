"""The host as a resource provider, and its shapes in each microversion ("REST API Version History" of Placement)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from compute import health, instances
from compute.api.openstack import hosts
from compute.api.openstack.service import Caller
from compute.health import HostLine

Shape = dict[str, Any]
CLASSES = ("VCPU", "MEMORY_MB", "DISK_GB")
# Of os-traits' names, those that are true of every box.
TRAITS = (
    "COMPUTE_IMAGE_TYPE_QCOW2", "COMPUTE_IMAGE_TYPE_RAW", "COMPUTE_NET_ATTACH_INTERFACE", "COMPUTE_NET_VIF_MODEL_VIRTIO", "COMPUTE_NODE",
    "COMPUTE_STORAGE_BUS_VIRTIO", "COMPUTE_VOLUME_EXTEND",
)  # fmt: skip
_COLUMNS = ("vcpus", "memory_mib", "disk_gib")


@dataclass(frozen=True)
class Consumer:
    """A server, and what it takes of the host, by class."""

    id: UUID
    project_id: UUID
    user_id: UUID | None
    takes: Mapping[str, int]


@dataclass(frozen=True)
class Provider:
    """The host with its consumers; `generation` grows whenever one of them changes."""

    id: str
    name: str
    has: Mapping[str, int]
    consumers: tuple[Consumer, ...]
    generation: int

    @property
    def used(self) -> dict[str, int]:
        return total(self.consumers)


def total(consumers: tuple[Consumer, ...] | list[Consumer]) -> dict[str, int]:
    return {name: sum(each.takes.get(name, 0) for each in consumers) for name in CLASSES}


def provider(caller: Caller) -> Provider:
    host = health.hosts(caller.ctx)[0]
    found, generation = consumers(caller, all_projects=True)
    return Provider(hosts.id_of(host.name), host.name, _has(host), found, generation)


def _has(host: HostLine) -> dict[str, int]:
    return dict(zip(CLASSES, (host.vcpus, host.memory_mib, host.disk_gib), strict=True))


def consumers(caller: Caller, *, all_projects: bool) -> tuple[tuple[Consumer, ...], int]:
    """Those that take something of the host, and when (in Unix seconds) the last of them changed. A shelved one takes nothing."""
    rows = instances.list(caller.ctx, all_projects=all_projects).exclude(status="shelved").order_by("id")
    found, generation = [], 0
    for id, project, user, changed, *sizes in rows.values_list("id", "project_id", "user_id", "changed_at", *_COLUMNS):
        takes = {name: size for name, size in zip(CLASSES, sizes, strict=True) if size}
        found.append(Consumer(id, project, user, takes))
        generation = max(generation, int(changed.timestamp()))
    return tuple(found), generation


def shown(caller: Caller, row: Provider) -> Shape:
    minor, at = caller.minor, f"/placement/resource_providers/{row.id}"
    more = ["inventories", "usages"] + ["aggregates"] * (minor >= 1) + ["traits"] * (minor >= 6) + ["allocations"] * (minor >= 11)
    links = [{"rel": "self", "href": at}, *({"rel": name, "href": f"{at}/{name}"} for name in more)]
    shape: Shape = {"uuid": row.id, "name": row.name, "generation": row.generation, "links": links}
    return shape | ({"parent_provider_uuid": None, "root_provider_uuid": row.id} if minor >= 14 else {})


def inventory(amount: int) -> Shape:
    return {"total": amount, "reserved": 0, "min_unit": 1, "max_unit": amount, "step_size": 1, "allocation_ratio": 1.0}


def consumer_usages(caller: Caller, rows: list[Consumer]) -> Shape:
    if caller.minor < 38:
        return total(rows) if rows else {}
    return {"INSTANCE": {"consumer_count": len(rows), **total(rows)}} if rows else {}


def candidate(caller: Caller, row: Provider, asked: Mapping[str, int]) -> Shape:
    if caller.minor < 12:
        return {"allocations": [{"resource_provider": {"uuid": row.id}, "resources": dict(asked)}]}
    shape: Shape = {"allocations": {row.id: {"resources": dict(asked)}}}
    return shape | ({"mappings": {"": [row.id]}} if caller.minor >= 34 else {})


def summary(caller: Caller, row: Provider, asked: Mapping[str, int]) -> Shape:
    """Until 1.26 of the classes that were asked for."""
    names = CLASSES if caller.minor >= 27 else tuple(asked)
    shape: Shape = {"resources": {name: {"capacity": row.has[name], "used": row.used[name]} for name in names}}
    if caller.minor >= 17:
        shape["traits"] = list(TRAITS)
    return shape | ({"parent_provider_uuid": None, "root_provider_uuid": row.id} if caller.minor >= 29 else {})
