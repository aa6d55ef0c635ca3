"""What an instance reads about itself: EC2's tree and OpenStack's files, as pure functions of its metadata.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-categories.html
https://docs.openstack.org/nova/latest/user/metadata.html
"""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import IPv4Network
from uuid import UUID

EC2_VERSIONS = (
    "1.0",
    "2007-01-19",
    "2008-02-01",
    "2009-04-04",
    "2011-01-01",
    "2012-01-12",
    "2014-11-05",
    "2016-09-02",
    "2021-07-15",
    "latest",
)
OPENSTACK_VERSIONS = ("2012-08-10", "2013-04-04", "2013-10-17", "2015-10-15", "2016-10-06", "2018-08-27", "latest")
SEED_BYTES = 512

PASSWORD = "password"

Tree = dict[str, "Tree | str | bytes"]


@dataclass(frozen=True, kw_only=True)
class Card:
    """One network card, in the order of the machine. `dns_servers` as DHCP tells them; `gateway` empty: no way out; `routes`: pairs of
    a range and the next hop."""

    port_id: str
    network_id: str
    mac: str
    ip: str
    cidr: str
    gateway: str = ""
    public_ip: str = ""
    mtu: int = 1500
    dhcp: bool = True
    has_ipv4: bool = True  # False: of IPv6 alone
    dns_servers: tuple[str, ...] = ()
    routes: tuple[tuple[str, str], ...] = ()
    security_groups: tuple[tuple[str, str], ...] = ()  # ids and names
    ip6: str = ""
    ipv6_cidr: str = ""
    ipv6_mode: str = ""  # as `compute.drivers.specs.Ipv6Mode`


@dataclass(frozen=True, kw_only=True)
class InstanceMetadata:
    """All that the service knows of one instance, as seen from the card that asks. `public_keys`: names and OpenSSH lines."""

    id: UUID
    name: str
    hostname: str
    project_id: str
    ip: str
    mac: str
    public_keys: tuple[tuple[str, str], ...] = ()
    user_data: bytes = b""
    instance_type: str = ""
    image_id: str = ""
    availability_zone: str = "nova"
    launched_at: datetime | None = None
    security_groups: tuple[str, ...] = ()
    dns_domain: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    cards: tuple[Card, ...] = ()
    # The password that the guest has set, encrypted for the owner's key; it keeps it here once.
    password: str = ""
    # What the first boot is to set for root.
    first_password: str = ""
    # IMDSv2 only: nothing is told without a token, whose answer lives this many hops.
    tokens_required: bool = False
    token_hops: int = 1

    @property
    def full_name(self) -> str:
        return f"{self.hostname}.{self.dns_domain}" if self.dns_domain else self.hostname


@dataclass(frozen=True)
class Answer:
    body: bytes
    type: str = "text/plain"


def find(instance: InstanceMetadata, path: str) -> Answer | None:
    """The answer to a path; None: there is nothing of that name."""
    parts = [part for part in path.split("/") if part]
    if not parts:
        return _text("\n".join(EC2_VERSIONS))
    if parts[0] == "openstack":
        return _openstack(instance, parts[1:])
    if parts[0] not in EC2_VERSIONS:
        return None
    if parts[1:] == ["meta-data", "public-keys"] and instance.public_keys:
        # The one list that names its entries: a number and the key's name.
        return _text("\n".join(f"{number}={name}" for number, (name, _) in enumerate(instance.public_keys)))
    return _walk(ec2_tree(instance), parts[1:])


def _text(text: str | bytes) -> Answer:
    return Answer(text if isinstance(text, bytes) else text.encode())


def _json(value: object) -> Answer:
    return Answer(json.dumps(value, sort_keys=True).encode(), "application/json")


def _walk(tree: Tree, parts: list[str]) -> Answer | None:
    here: Tree | str | bytes = tree
    for part in parts:
        if not isinstance(here, dict) or part not in here:
            return None
        here = here[part]
    if not isinstance(here, dict):
        return _text(here)
    return _text("\n".join(f"{name}/" if isinstance(value, dict) else name for name, value in here.items()))


def ec2_tree(instance: InstanceMetadata) -> Tree:
    tree: Tree = {"dynamic": {"instance-identity": {"document": _document(instance)}}, "meta-data": _meta_data(instance)}
    if instance.user_data:
        tree["user-data"] = instance.user_data
    return tree


def ec2_id(prefix: str, id: UUID | str) -> str:
    """EC2's form of an id: the beginning of ours."""
    return f"{prefix}-{str(id).replace('-', '')[:17]}"


def _meta_data(instance: InstanceMetadata) -> Tree:
    macs: Tree = {card.mac: _card(instance, card, number) for number, card in enumerate(instance.cards)}
    public = next((card.public_ip for card in instance.cards if card.mac == instance.mac), "")
    tree: Tree = {
        "ami-id": ec2_id("ami", instance.image_id),
        "ami-launch-index": "0",
        "ami-manifest-path": "(unknown)",
        "block-device-mapping": {"ami": "/dev/vda", "root": "/dev/vda"},
        "hostname": instance.full_name,
        "instance-action": "none",
        "instance-id": ec2_id("i", instance.id),
        "instance-life-cycle": "on-demand",
        "instance-type": instance.instance_type,
        "local-hostname": instance.full_name,
        "local-ipv4": instance.ip,
        "mac": instance.mac,
        "network": {"interfaces": {"macs": macs}},
        "placement": {"availability-zone": instance.availability_zone, "region": instance.availability_zone},
        "profile": "default-hvm",
        "reservation-id": ec2_id("r", instance.id),
        "security-groups": "\n".join(instance.security_groups),
    }
    if public:
        tree["public-ipv4"] = public
    if instance.public_keys:
        tree["public-keys"] = {str(number): {"openssh-key": line.strip() + "\n"} for number, (_, line) in enumerate(instance.public_keys)}
    # A key with a slash has no place in a tree.
    tags: Tree = {key: value for key, value in sorted(instance.tags.items()) if key and "/" not in key}
    if tags:
        tree["tags"] = {"instance": tags}
    return tree


def _card(instance: InstanceMetadata, card: Card, number: int) -> Tree:
    tree: Tree = {
        "device-number": str(number),
        "interface-id": ec2_id("eni", card.port_id),
        "local-hostname": instance.full_name,
        "local-ipv4s": card.ip,
        "mac": card.mac,
        "owner-id": instance.project_id,
        "security-group-ids": "\n".join(ec2_id("sg", id) for id, _ in card.security_groups),
        "security-groups": "\n".join(name for _, name in card.security_groups),
        "subnet-id": ec2_id("subnet", card.network_id),
        "subnet-ipv4-cidr-block": card.cidr,
        "vpc-id": ec2_id("vpc", card.network_id),
        "vpc-ipv4-cidr-block": card.cidr,
        "vpc-ipv4-cidr-blocks": card.cidr,
    }
    if card.ip6:
        tree |= {"ipv6s": card.ip6, "subnet-ipv6-cidr-blocks": card.ipv6_cidr, "vpc-ipv6-cidr-blocks": card.ipv6_cidr}
    if card.public_ip:
        tree |= {"public-ipv4s": card.public_ip, "ipv4-associations": {card.public_ip: card.ip}}
    return tree


def _document(instance: InstanceMetadata) -> str:
    return json.dumps(
        {
            "accountId": instance.project_id,
            "architecture": "x86_64",
            "availabilityZone": instance.availability_zone,
            "imageId": ec2_id("ami", instance.image_id),
            "instanceId": ec2_id("i", instance.id),
            "instanceType": instance.instance_type,
            "pendingTime": instance.launched_at.strftime("%Y-%m-%dT%H:%M:%SZ") if instance.launched_at else None,
            "privateIp": instance.ip,
            "region": instance.availability_zone,
            "version": "2017-09-30",
        },
        indent=1,
        sort_keys=True,
    )


def _openstack(instance: InstanceMetadata, parts: list[str]) -> Answer | None:
    if not parts:
        return _text("\n".join(OPENSTACK_VERSIONS))
    if parts[0] not in OPENSTACK_VERSIONS or len(parts) > 2:
        return None
    files = ["meta_data.json", "network_data.json", PASSWORD, "vendor_data.json", "vendor_data2.json"]
    files += ["user_data"] if instance.user_data else []
    match parts[1:]:
        case []:
            return _text("\n".join(files))
        case ["meta_data.json"]:
            return _json(_openstack_meta_data(instance))
        case ["network_data.json"]:
            return _json(network_data(instance))
        case ["vendor_data.json"]:
            return _json(vendor_data(instance))
        case ["vendor_data2.json"]:
            return _json({})
        case ["password"]:
            return _text(instance.password)
        case ["user_data"] if instance.user_data:
            return Answer(instance.user_data, "application/octet-stream")
    return None


def _openstack_meta_data(instance: InstanceMetadata) -> dict[str, object]:
    return ({"admin_pass": instance.first_password} if instance.first_password else {}) | {
        "uuid": str(instance.id),
        "name": instance.name,
        "hostname": instance.full_name,
        "launch_index": 0,
        "availability_zone": instance.availability_zone,
        "project_id": instance.project_id,
        "public_keys": dict(instance.public_keys),
        "keys": [{"name": name, "type": "ssh", "data": line} for name, line in instance.public_keys],
        "meta": instance.tags | instance.metadata,
        "random_seed": base64.b64encode(secrets.token_bytes(SEED_BYTES)).decode(),
        "devices": [],
    }


def vendor_data(instance: InstanceMetadata) -> dict[str, str]:
    """What cloud-init is to do besides the owner's user data: set the password that OpenStack's API told of
    (https://docs.cloud-init.io/en/latest/explanation/vendordata.html)."""
    if not instance.first_password:
        return {}
    # A JSON text is a YAML scalar, whatever the password holds.
    line = json.dumps(f"root:{instance.first_password}")
    return {"cloud-init": f"#cloud-config\nchpasswd:\n  expire: false\n  list:\n    - {line}\n"}


def is_password(path: str) -> bool:
    """Is it where a guest leaves its password? (`POST`, once; https://docs.openstack.org/nova/latest/user/metadata.html)"""
    parts = [part for part in path.split("/") if part]
    return len(parts) == 3 and parts[0] == "openstack" and parts[1] in OPENSTACK_VERSIONS and parts[2] == PASSWORD


def network_data(instance: InstanceMetadata) -> dict[str, object]:
    """OpenStack's network_data.json: a card of a network with DHCP is told to ask it, one of another its address."""
    links = [
        {"id": f"tap{card.port_id[:11]}", "vif_id": card.port_id, "type": "phy", "ethernet_mac_address": card.mac, "mtu": card.mtu}
        for card in instance.cards
    ]
    networks = [_network(card, number) for number, card in enumerate(card for card in instance.cards if card.has_ipv4)]
    networks += [_network6(card, number) for number, card in enumerate(instance.cards, start=len(networks)) if card.ip6]
    servers = dict.fromkeys(server for card in instance.cards for server in card.dns_servers)
    return {"links": links, "networks": networks, "services": [_dns(server) for server in servers]}


def _dns(server: str) -> dict[str, str]:
    return {"type": "dns", "address": server}


def _network6(card: Card, number: int) -> dict[str, object]:
    """How the card comes by its IPv6 address (https://docs.openstack.org/nova/latest/user/metadata.html: the types of networks)."""
    kinds = {"slaac": "ipv6_slaac", "dhcp-stateless": "ipv6_dhcpv6-stateless", "dhcp-stateful": "ipv6_dhcpv6-stateful"}
    link = f"tap{card.port_id[:11]}"
    return {"id": f"network{number}", "link": link, "network_id": card.network_id, "type": kinds[card.ipv6_mode]}


def _network(card: Card, number: int) -> dict[str, object]:
    told: dict[str, object] = {"id": f"network{number}", "link": f"tap{card.port_id[:11]}", "network_id": card.network_id}
    if card.dhcp:
        return told | {"type": "ipv4_dhcp"}
    routes = [*card.routes, *([("0.0.0.0/0", card.gateway)] if card.gateway else [])]
    return told | {
        "type": "ipv4",
        "ip_address": card.ip,
        "netmask": str(IPv4Network(card.cidr).netmask),
        "routes": [
            {"network": str(IPv4Network(range).network_address), "netmask": str(IPv4Network(range).netmask), "gateway": hop}
            for range, hop in routes
        ],
        "services": [_dns(server) for server in card.dns_servers],
    }
