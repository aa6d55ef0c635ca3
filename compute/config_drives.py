"""What an instance is told on a small read-only disk, for systems and networks in which nothing asks the metadata service.

Two layouts that cloud-init (and cloudbase-init, ignition, …) look for by the disk's label: NoCloud's, "cidata"
(https://cloudinit.readthedocs.io/en/latest/reference/datasources/nocloud.html), and OpenStack's config drive, "config-2"
(https://docs.openstack.org/nova/latest/user/metadata.html). It is written before each start, so that a guest that starts anew finds
what is true then.
"""

from __future__ import annotations

import json
from ipaddress import IPv4Network

from compute import host, instance_metadata, metadata_tree
from compute.drivers import iso9660
from compute.metadata_tree import Card, InstanceMetadata
from compute.models import ConfigDrive, Instance

LABELS = {ConfigDrive.NOCLOUD: "cidata", ConfigDrive.OPENSTACK: "config-2"}
_OPENSTACK_FILES = ("meta_data.json", "network_data.json", "vendor_data.json", "vendor_data2.json", "user_data", "password")


def write(instance: Instance) -> None:
    """Make the disk as the tables have it, or take it away; its machine must be off, or keeps the old one until it was."""
    if not instance.config_drive:
        host.volumes().drop_config_drive(instance.id)
        return
    cards = [*instance_metadata.ports().filter(instance=instance).order_by("index")]
    told = instance_metadata.of(instance, cards, asking=cards[0] if cards else None)
    kind = ConfigDrive(instance.config_drive)
    made = iso9660.disc(LABELS[kind], files(told, kind), at=instance.created_at)
    host.volumes().put_config_drive(instance.id, made)


def files(told: InstanceMetadata, kind: ConfigDrive) -> dict[str, bytes]:
    """What lies on the disk: paths and bytes."""
    return _nocloud(told) if kind == ConfigDrive.NOCLOUD else _openstack(told)


def _json(value: object) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True).encode() + b"\n"


def _openstack(told: InstanceMetadata) -> dict[str, bytes]:
    made: dict[str, bytes] = {}
    for name in _OPENSTACK_FILES:
        # The bytes of one version are those of all: the random seed is drawn once.
        found = metadata_tree.find(told, f"openstack/latest/{name}")
        if found is not None and (found.body or name != "password"):
            made |= {f"openstack/{version}/{name}": found.body for version in metadata_tree.OPENSTACK_VERSIONS}
    return made


def _nocloud(told: InstanceMetadata) -> dict[str, bytes]:
    """JSON is YAML, and quotes whatever a tenant wrote."""
    about = {
        # As the metadata service has it: one that reads both boots once, not twice for the first time.
        "instance-id": str(told.id),
        "local-hostname": told.full_name,
        "public-keys": [line.strip() for _, line in told.public_keys],
        "cloud-name": "cloudbox",
        "availability-zone": told.availability_zone,
        "tags": told.tags,
        "meta": told.metadata,
    }
    vendor = metadata_tree.vendor_data(told).get("cloud-init", "")
    made = {"meta-data": _json(about), "user-data": told.user_data, "vendor-data": vendor.encode()}
    # Without cards, or with such a file, cloud-init would set up what it finds by itself.
    return made | {"network-config": _json(network_config(told))}


def network_config(told: InstanceMetadata) -> dict[str, object]:
    """Cards in cloud-init's format 2 (https://cloudinit.readthedocs.io/en/latest/reference/network-config-format-v2.html)."""
    return {"version": 2, "ethernets": {f"card{number}": _ethernet(card) for number, card in enumerate(told.cards)}}


def _ethernet(card: Card) -> dict[str, object]:
    made: dict[str, object] = {"match": {"macaddress": card.mac}, "mtu": card.mtu}
    if not card.has_ipv4:
        made["dhcp4"] = False
    elif card.dhcp:
        made["dhcp4"] = True
    else:
        made["addresses"] = [f"{card.ip}/{IPv4Network(card.cidr).prefixlen}"]
        routes = [*card.routes, *([("0.0.0.0/0", card.gateway)] if card.gateway else [])]
        made["routes"] = [{"to": to, "via": via} for to, via in routes]
        made["nameservers"] = {"addresses": [*card.dns_servers]}
    if card.ip6:
        # Addresses made from advertisements come by themselves; only these must be asked for.
        made["dhcp6"] = card.ipv6_mode == "dhcp-stateful"
        made["accept-ra"] = True
    return made
