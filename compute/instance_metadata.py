"""What an instance is told about itself, from the tables: by the metadata service, and on its config drive."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from django.db.models import QuerySet

from cloudbox.common import clock
from compute import sealing
from compute.desired import domain_of
from compute.metadata_tree import Card, InstanceMetadata
from compute.models import Instance, Port

FIRST_PASSWORD_TOLD = timedelta(hours=1)


def ports() -> QuerySet[Port]:
    """Ports with all that is told of them."""
    rows = Port.objects.select_related("network__router", "instance__flavor", "instance__keypair", "floating_ip")
    return rows.prefetch_related("security_groups")


def of(instance: Instance, cards: Sequence[Port], *, asking: Port | None) -> InstanceMetadata:
    """`asking`: the card that asks. None: it has none, or it reads a disk."""
    key_name = instance.keypair.name if instance.keypair else "key"
    return InstanceMetadata(
        id=instance.id,
        name=instance.name,
        hostname=instance.hostname,
        project_id=str(instance.project_id),
        ip=asking.ip if asking else "",
        mac=asking.mac if asking else "",
        public_keys=((key_name, instance.public_key),) if instance.public_key else (),
        user_data=bytes(instance.user_data),
        instance_type=instance.flavor.name,
        image_id=str(instance.image_id),
        launched_at=instance.created_at,
        security_groups=tuple(group.name for group in asking.security_groups.all()) if asking else (),
        dns_domain=domain_of(asking.network) if asking else "",
        tags={str(key): str(value) for key, value in instance.tags.items()},
        metadata={str(key): str(value) for key, value in instance.metadata.items()},
        cards=tuple(_card(each) for each in cards),
        password=instance.sealed_password,
        first_password=first_password(instance),
        tokens_required=instance.tokens_required,
        token_hops=instance.token_hops,
    )


def first_password(instance: Instance) -> str:
    """What the first boot is to set for root, told for an hour: whoever can read the metadata later is not to find it."""
    since = instance.first_password_at
    if since is None or clock.now() - since > FIRST_PASSWORD_TOLD:
        return ""
    return sealing.unseal(instance.first_password)


def _card(port: Port) -> Card:
    network = port.network
    floating = getattr(port, "floating_ip", None)
    return Card(
        port_id=str(port.id),
        network_id=str(network.id),
        mac=port.mac,
        ip=port.ip,
        cidr=network.cidr,
        gateway=network.gateway_ip if network.router is not None and network.router.is_up else "",
        public_ip=floating.address if floating is not None else "",
        mtu=network.mtu,
        dhcp=network.dhcp,
        has_ipv4=network.subnet_id is not None,
        dns_servers=tuple(network.dns_servers) or (network.gateway_ip,),
        routes=tuple((route["destination"], route["next_hop"]) for route in network.host_routes),
        security_groups=tuple((str(group.id), group.name) for group in port.security_groups.all()),
        ip6=port.ip6,
        ipv6_cidr=network.ipv6_cidr,
        ipv6_mode=network.ipv6_mode,
    )
