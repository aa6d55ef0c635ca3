"""What the metadata service tells an instance about itself, from the tables."""

from __future__ import annotations

from uuid import UUID

from compute import instance_metadata
from compute.metadata_tree import InstanceMetadata
from compute.models import Instance, Port


def lookup(network_id: UUID, ip: str) -> InstanceMetadata | None:
    """Who has this address on this network? The fabric drops forged senders, so the answer is the caller."""
    port = _asking(network_id, ip)
    if port is None or port.instance is None:
        return None
    cards = [*instance_metadata.ports().filter(instance=port.instance).order_by("index")]
    return instance_metadata.of(port.instance, cards, asking=port)


def keep_password(network_id: UUID, ip: str, password: str) -> bool:
    """Keep what a guest says its password is, encrypted for its owner. False: it has one already, or nobody is there."""
    port = _asking(network_id, ip)
    if port is None:
        return False
    return Instance.objects.filter(ports=port, sealed_password="").update(sealed_password=password) == 1


def _asking(network_id: UUID, ip: str) -> Port | None:
    rows = instance_metadata.ports().filter(network_id=network_id, ip=ip).exclude(instance=None)
    return rows.exclude(instance__status=Instance.Status.DELETED).first()
