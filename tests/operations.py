"""Every operation of the REST API as its own OpenAPI document tells it, with a body that is right and an address that exists."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import uuid4

from dashboard.api.reference import schema
from tests.world import World, work


@dataclass(frozen=True)
class Operation:
    id: str
    method: str
    path: str
    example: Any
    body: Any  # the body's JSON schema, or None

    def __str__(self) -> str:
        return self.id


@cache
def operations() -> list[Operation]:
    found = []
    for path, methods in schema()["paths"].items():
        for method, operation in methods.items():
            content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            examples = [each["value"] for each in content.get("examples", {}).values()]
            name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
            body = _body(name) if name else None
            found.append(Operation(operation["operationId"], method, path, examples[0] if examples else {}, body))
    return found


def _body(name: str) -> dict[str, Any]:
    """The schema of a body, in which every field says its type itself."""
    found = schema()["components"]["schemas"][name]
    return found | {"properties": {field: _flat(each) for field, each in found["properties"].items()}}


def _flat(field: dict[str, Any]) -> dict[str, Any]:
    for each in [*field.get("allOf", []), *field.get("oneOf", [])]:
        if each.get("type") != "null":
            return _flat(each)
    return schema()["components"]["schemas"][field["$ref"].rpartition("/")[2]] if "$ref" in field else field


def address(path: str, world: World, ids: dict[str, str]) -> str:
    """The operation's path with values that exist: ids by the noun before them."""
    parts: list[str] = []
    for part in path.split("/"):
        noun = parts[-1] if parts else ""
        if part in ("{project}", "{slug}"):
            part = world.project.slug
        elif part.startswith("{"):
            part = ids[noun]
        parts.append(part)
    return "/".join(parts)


def store_drive() -> Any:
    """A drive of the object store, as the data plane would have written it down."""
    from cloudbox.common import clock
    from storage.models import StoreDrive

    facts = {"fill": 0.5, "free": 2**30, "total": 2**31, "bytes": 2**30, "errors": 0, "bad_blocks": 0}
    row, _ = StoreDrive.objects.get_or_create(
        path="/srv/probe", defaults={"id": uuid4(), "state": "active", "facts": facts, "seen_at": clock.now()}
    )
    return row


def backup_things(world: World, volume: Any) -> dict[str, Any]:
    """A vault, a backup and a schedule as they are when the store has answered; no store runs here."""
    from cloudbox.common import clock
    from compute import backup_schedules
    from compute.models import Backup, BackupVault

    vault = BackupVault.objects.create(project=world.project, name="probe", bucket="probe")
    backup = Backup.objects.create(
        project=world.project, vault=vault, disk="volume", disk_id=volume.id, volume=volume, name="probe", source_name="probe", size_gib=1,
        status="ready", taken_at=clock.now(), new_bytes=0, stored_bytes=0, read_bytes=0,
    )  # fmt: skip
    schedule = backup_schedules.create(world.ctx("owner"), name="probe", vault_id=vault.id, volume_id=volume.id)
    return {"backup-vaults": vault.id, "backups": backup.id, "backup-schedules": schedule.id}


def balancer_things(world: World, instance: Any) -> dict[str, Any]:
    """A load balancer with one of everything."""
    from compute import load_balancers

    row = load_balancers.launch(
        world.ctx("owner"),
        name="probe",
        network_id=world.network.id,
        protocol="http",
        number=80,
        member_number=8080,
        port_ids=[instance.ports.get().id],
    )
    (pool,), (listener,) = row.pools.all(), row.listeners.all()
    return {"load-balancers": row.id, "pools": pool.id, "pool-members": pool.members.get().id, "listeners": listener.id}


def ids_of(world: World) -> dict[str, str]:
    """One thing of every noun of the world's project."""
    from compute import (
        floating_ips,
        image_catalogue,
        image_exports,
        instance_snapshots,
        keypairs,
        port_forwards,
        ports,
        security_groups,
        server_groups,
        snapshots,
        snippets,
        volume_types,
        volumes,
        vpn,
    )
    from identity import credentials, saved_views
    from storage import configurations, keys, webhooks

    owner, instance = world.ctx("owner"), world.running(name="probe")
    group = security_groups.create(owner, name="probe")
    rule = security_groups.add_rule(owner, group.id, direction="ingress", protocol="tcp", port_min=22)
    from compute import address_groups

    hook, _ = webhooks.create(owner, name="probe", url="https://hooks.example.org/")
    volume = volumes.create(owner, name="probe", size_gib=1)
    work(volume.id)
    floating = floating_ips.allocate(owner)
    forward = port_forwards.create(
        owner, router_id=world.network.router_id, protocol="tcp", external_port=8022, port_id=instance.ports.get().id, internal_port=22
    )
    things = {
        "instances": instance.id,
        "images": world.image.id,
        "exports": (export := image_exports.create(owner, world.image.id, format="qcow2", bucket="probe").id),
        "image-exports": export,
        "catalogue": (entry := image_catalogue.create(world.box(), name="probe", url="https://images.example.org/", checksum="0" * 64).id),
        "image-catalogue": entry,
        "keypairs": keypairs.create(owner, name="probe")[0].id,
        "vpn": (peer := vpn.create(owner, name="probe", network_id=world.network.id)[0].id),
        "vpn-peers": peer,
        "snippets": snippets.create(owner, name="probe", content="#!/bin/sh\n").id,
        "networks": world.network.id,
        "routers": world.network.router_id,
        "floating-ips": floating.id,
        "port-forwards": forward.id,
        "external-networks": floating.external_id,
        "volumes": volume.id,
        "snapshots": snapshots.create(owner, volume_id=volume.id, name="probe").id,
        "instance-snapshots": instance_snapshots.create(owner, instance.id, name="probe").id,
        "volume-types": volume_types.default(owner).id,
        **backup_things(world, volume),
        **balancer_things(world, instance),
        "ports": ports.list(owner, instance_id=instance.id)[0].id,
        "server-groups": server_groups.add(owner, server_groups.create(owner, name="probe", policy="affinity").id, instance.id).id,
        "nics": ports.list(owner, instance_id=instance.id)[0].id,
        "security-groups": group.id,
        "address-groups": address_groups.create(owner, name="probe", cidrs=["203.0.113.0/24"]).id,
        "rules": rule.id,
        "flavors": world.flavor.id,
        "members": world.users["member"].id,
        "users": world.users["stranger"].id,
        "tokens": credentials.create_token(owner, name="probe")[0].id,
        "views": saved_views.save(owner, "instances", name="probe", query="q=probe").id,
        "access-keys": credentials.create_access_key(owner, name="probe")[0].id,
        "buckets": configurations.create(owner, name="probe").name,
        "drives": store_drive().id,
        "webhooks": hook.id,
        "deliveries": webhooks.send_test(owner, hook.id).event_id,
        "encryption-keys": keys.create(owner, name="probe").id,
    }
    return {noun: str(id) for noun, id in things.items()}
