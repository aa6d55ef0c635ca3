"""What the metadata service tells an instance about itself, from the tables."""

from __future__ import annotations

from uuid import UUID

from compute.agent.metadata_tree import InstanceMetadata
from compute.desired import domain_of
from compute.models import Instance, Port


def lookup(network_id: UUID, ip: str) -> InstanceMetadata | None:
    """Who has this address on this network? The fabric drops forged senders, so the answer is the caller."""
    rows = Port.objects.filter(network_id=network_id, ip=ip).exclude(instance=None)
    port = rows.select_related("network", "instance__flavor", "instance__keypair").prefetch_related("security_groups").first()
    if port is None or port.instance is None or port.instance.status == Instance.Status.DELETED:
        return None
    instance = port.instance
    key_name = instance.keypair.name if instance.keypair else "key"
    return InstanceMetadata(
        id=instance.id,
        name=instance.name,
        hostname=instance.hostname,
        project_id=str(instance.project_id),
        ip=port.ip,
        mac=port.mac,
        public_keys=((key_name, instance.public_key),) if instance.public_key else (),
        user_data=bytes(instance.user_data),
        instance_type=instance.flavor.name,
        image_id=str(instance.image_id),
        launched_at=instance.created_at,
        security_groups=tuple(group.name for group in port.security_groups.all()),
        dns_domain=domain_of(port.network),
        tags={str(key): str(value) for key, value in instance.tags.items()},
    )
