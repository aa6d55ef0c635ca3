"""The columns of lists as files: what a row of each noun tells of itself."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from dashboard.downloads import Columns
from storage import configurations


def _same(*names: str) -> Columns:
    """Columns that are called as the row calls them."""
    return {name: attrgetter(name) for name in names}


def _addresses(row: Any) -> str:
    return " ".join(port.ip for port in row.ports.all())


def _tags(row: Any) -> str:
    return " ".join(f"{key}={value}" if value else key for key, value in row.tags.items())


INSTANCES: Columns = {
    **_same("id", "name", "status", "error"),
    "addresses": _addresses,
    "size": attrgetter("flavor.name"),
    **_same("vcpus", "memory_mib", "disk_gib"),
    "tags": _tags,
    **_same("hostname", "description", "locked_by", "is_protected", "created_at", "started_at"),
}
ALL_INSTANCES: Columns = {"project": attrgetter("project.slug"), **INSTANCES}

IMAGES: Columns = _same(
    "id", "name", "status", "os", "format", "visibility", "is_protected", "disk_bus", "nic_model", "size_bytes", "virtual_bytes",
    "min_disk_gib", "min_memory_mib", "checksum", "description", "created_at",
)  # fmt: skip
ALL_IMAGES: Columns = {
    "project": lambda row: row.project.slug if row.project else "",
    **IMAGES,
    "instances": attrgetter("in_use"),
}


PORTS: Columns = {
    **_same("id", "ip", "ip6", "mac", "name"),
    "network": attrgetter("network.name"),
    "instance": lambda row: row.instance.name if row.instance else "",
    "security_groups": lambda row: " ".join(group.name for group in row.security_groups.all()),
    **_same("is_reserved", "dns_name", "port_security", "rate_in_kbps", "rate_out_kbps", "description", "created_at"),
}


def _usage(name: str) -> Callable[[Any], object]:
    """What a bucket held at the last count; empty before the first."""
    return lambda row: getattr(getattr(row, "usage", None), name, None)


BUCKETS: Columns = {
    **_same("id", "name", "storage_class", "versioning", "object_lock", "ownership"),
    "public": lambda row: bool(configurations.publicity(row)),
    "objects": _usage("objects_count"),
    "versions": _usage("versions_count"),
    "bytes": _usage("bytes"),
    "upload_bytes": _usage("upload_bytes"),
    "counted_at": _usage("counted_at"),
    **_same("quota_bytes", "quota_objects", "created_at"),
}
ALL_BUCKETS: Columns = {"project": attrgetter("project.slug"), **BUCKETS}

VOLUMES: Columns = {
    **_same("id", "name", "status", "error", "size_gib"),
    "type": attrgetter("type.name"),
    "instance": lambda row: row.instance.name if row.instance else "",
    **_same("serial", "is_read_only", "is_protected", "description", "created_at", "attached_at"),
}

SNAPSHOTS: Columns = {
    **_same("id", "name", "status", "error"),
    "volume": attrgetter("volume.name"),
    "volume_id": attrgetter("volume_id"),
    "parent": lambda row: row.parent.name if row.parent else "",
    **_same("size_gib", "is_consistent", "description", "created_at", "taken_at"),
}

BACKUPS: Columns = {
    **_same("id", "name", "status", "error", "disk", "disk_id", "source_name", "size_gib"),
    "vault": attrgetter("vault.name"),
    "schedule": lambda row: row.schedule.name if row.schedule else "",
    **_same("is_full", "is_consistent", "read_bytes", "new_bytes", "stored_bytes", "trial", "tried_at", "created_at", "taken_at"),
}

NETWORKS: Columns = {
    **_same("id", "name", "cidr", "gateway_ip", "nat"),
    "router": lambda row: row.router.name if row.router else "",
    **_same("dhcp", "mtu", "ipv6_mode", "ipv6_cidr", "created_at"),
}
ROUTERS: Columns = {
    **_same("id", "name", "description"),
    "external": lambda row: row.external.name if row.external else "",
    **_same("external_ip", "snat"),
    "networks": lambda row: " ".join(network.name for network in row.networks.all()),
    **_same("created_at"),
}
FLOATING_IPS: Columns = {
    **_same("id", "address", "description"),
    "external": attrgetter("external.name"),
    "instance": lambda row: row.port.instance.name if row.port and row.port.instance else "",
    "ip": lambda row: row.port.ip if row.port else "",
    **_same("created_at"),
}

EVENTS: Columns = _same(
    "id", "at", "actor", "verb", "noun", "subject", "subject_id", "project_id", "api", "address", "request_id", "outcome", "detail",
)  # fmt: skip
AUDIT: Columns = {**EVENTS, **_same("chain", "digest")}

USERS: Columns = {
    **_same("id", "email", "name", "box_role", "is_active"),
    "projects": lambda row: " ".join(membership.project.slug for membership in row.memberships.all()),
    **_same("last_login", "created_at"),
}

PROJECTS: Columns = {**_same("id", "slug", "name", "status", "description"), "members": attrgetter("member_count"), **_same("created_at")}
