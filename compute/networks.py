"""Private networks. Each has addresses of its own, which may be the same as another project's."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from uuid import UUID

from django.db import IntegrityError, connection, transaction
from django.db.models import Count, Max, QuerySet

from cloudbox.common import events, jobs
from cloudbox.common.errors import AlreadyExists, Conflict, InsufficientCapacity, Invalid, NotFound
from compute.models import Network, Port
from identity import quotas
from identity.context import Context
from identity.names import clean_name

PREFIX_RANGE = (16, 28)
NUMBER_MAX = 4000  # conntrack zones and transit addresses are made from it
_PRIVATE = [ipaddress.IPv4Network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")]
_NUMBER_LOCK = 0x4E37  # any number: serialises the search for a free one


def list(ctx: Context, *, all_projects: bool = False) -> QuerySet[Network]:
    ctx.require("box.look" if all_projects else "networks.list")
    rows = Network.objects.annotate(port_count=Count("ports")).order_by("name")
    return rows.select_related("project") if all_projects else rows.filter(project=ctx.project)


def get(ctx: Context, id: UUID) -> Network:
    network = list(ctx).filter(id=id).first()
    if network is None:
        raise NotFound(f"There is no network {id}.", field="network_ids")
    return network


def only_one(ctx: Context) -> Sequence[UUID]:
    """The project's network, for requests that name none; with several, they must say which."""
    ids = [*Network.objects.filter(project=ctx.project).values_list("id", flat=True)[:2]]
    if not ids:
        raise Conflict("The project has no network. Create one first.", field="network_ids")
    if len(ids) > 1:
        raise Invalid("The project has several networks. Say which.", field="network_ids")
    return ids


def create(ctx: Context, *, name: str, cidr: str = "", nat: bool = True) -> Network:
    """A network with DHCP, metadata and, with `nat`, a way out. Without a range it gets the next free 10.x.0.0/24 of the project."""
    ctx.require("networks.manage")
    name = clean_name(name)
    subnet = _subnet(cidr) if cidr else _free_subnet(ctx)
    try:
        with transaction.atomic():
            quotas.charge(ctx.project_id, {"networks": 1})
            network = Network.objects.create(
                number=_free_number(), project=ctx.needed_project, name=name, cidr=str(subnet), gateway_ip=str(subnet[1]), nat=nat
            )
            events.publish(ctx.actor, "create", "network", network, detail=str(subnet))
            jobs.wake("networks")
    except IntegrityError as error:
        raise AlreadyExists(f"There is a network {name} in this project.", field="name") from error
    return network


def _subnet(cidr: str) -> ipaddress.IPv4Network:
    try:
        subnet = ipaddress.IPv4Network(cidr.strip())
    except ValueError as error:
        raise Invalid(f"{cidr[:40]!r} is not a range of addresses. Write it like 10.20.0.0/24.", field="cidr") from error
    low, high = PREFIX_RANGE
    if not low <= subnet.prefixlen <= high:
        raise Invalid(f"A network is between /{low} and /{high}.", field="cidr")
    if not any(subnet.subnet_of(block) for block in _PRIVATE):
        raise Invalid("Use a private range: inside 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16.", field="cidr")
    return subnet


def _free_subnet(ctx: Context) -> ipaddress.IPv4Network:
    taken = [ipaddress.IPv4Network(text) for text in Network.objects.filter(project=ctx.project).values_list("cidr", flat=True)]
    for second in range(20, 250):
        subnet = ipaddress.IPv4Network(f"10.{second}.0.0/24")
        if not any(subnet.overlaps(other) for other in taken):
            return subnet
    raise InsufficientCapacity("No range is free. Say which addresses the network is to have.", field="cidr")


def _free_number() -> int:
    """The smallest number that no network has."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_NUMBER_LOCK])
    highest = Network.objects.aggregate(Max("number"))["number__max"] or 0
    taken = {*Network.objects.values_list("number", flat=True)}
    number = next(n for n in range(1, highest + 2) if n not in taken)
    if number > NUMBER_MAX:
        raise InsufficientCapacity(f"The box has {NUMBER_MAX} networks and takes no more.")
    return number


def rename(ctx: Context, id: UUID, name: str) -> Network:
    ctx.require("networks.manage")
    network = get(ctx, id)
    network.name = clean_name(name)
    try:
        with transaction.atomic():
            network.save(update_fields=["name"])
            events.publish(ctx.actor, "rename", "network", network)
            jobs.wake("networks")
    except IntegrityError as error:
        raise AlreadyExists(f"There is a network {name} in this project.", field="name") from error
    return network


def delete(ctx: Context, id: UUID) -> None:
    """Only when nothing is connected to it."""
    ctx.require("networks.manage")
    with transaction.atomic():
        network = Network.objects.select_for_update().get(id=get(ctx, id).id)
        used = Port.objects.filter(network=network).count()
        if used:
            raise Conflict(f"{used} network card{'s are' if used > 1 else ' is'} on {network.name}. Delete the instances first.")
        events.publish(ctx.actor, "delete", "network", network)
        network.delete()
        quotas.release(ctx.project_id, {"networks": 1})
        jobs.wake("networks")
