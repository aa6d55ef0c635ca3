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

Tree = dict[str, "Tree | str | bytes"]


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
    card: Tree = {"device-number": "0", "local-hostname": instance.full_name, "local-ipv4s": instance.ip, "mac": instance.mac}
    tree: Tree = {
        "ami-id": ec2_id("ami", instance.image_id),
        "ami-launch-index": "0",
        "hostname": instance.full_name,
        "instance-id": ec2_id("i", instance.id),
        "instance-life-cycle": "on-demand",
        "instance-type": instance.instance_type,
        "local-hostname": instance.full_name,
        "local-ipv4": instance.ip,
        "mac": instance.mac,
        "network": {"interfaces": {"macs": {instance.mac: card}}},
        "placement": {"availability-zone": instance.availability_zone, "region": instance.availability_zone},
        "reservation-id": ec2_id("r", instance.id),
        "security-groups": "\n".join(instance.security_groups),
    }
    if instance.public_keys:
        tree["public-keys"] = {str(number): {"openssh-key": line.strip() + "\n"} for number, (_, line) in enumerate(instance.public_keys)}
    # A key with a slash has no place in a tree.
    tags: Tree = {key: value for key, value in sorted(instance.tags.items()) if key and "/" not in key}
    if tags:
        tree["tags"] = {"instance": tags}
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
    files = ["meta_data.json", "vendor_data.json", "vendor_data2.json", *(["user_data"] if instance.user_data else [])]
    match parts[1:]:
        case []:
            return _text("\n".join(files))
        case ["meta_data.json"]:
            return _json(_openstack_meta_data(instance))
        case ["vendor_data.json" | "vendor_data2.json"]:
            return _json({})
        case ["user_data"] if instance.user_data:
            return Answer(instance.user_data, "application/octet-stream")
    return None


def _openstack_meta_data(instance: InstanceMetadata) -> dict[str, object]:
    return {
        "uuid": str(instance.id),
        "name": instance.name,
        "hostname": instance.full_name,
        "launch_index": 0,
        "availability_zone": instance.availability_zone,
        "project_id": instance.project_id,
        "public_keys": dict(instance.public_keys),
        "keys": [{"name": name, "type": "ssh", "data": line} for name, line in instance.public_keys],
        "meta": instance.tags,
        "random_seed": base64.b64encode(secrets.token_bytes(SEED_BYTES)).decode(),
        "devices": [],
    }
