"""Private networks. Each has addresses of its own, which may be the same as another project's."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import IntegrityError, connection, transaction
from django.db.models import Count, Max, QuerySet

from cloudbox.common import events, jobs
from cloudbox.common.errors import AlreadyExists, Conflict, InsufficientCapacity, Invalid, NotFound
from compute import addresses, routers
from compute.models import Network, Port
from identity import quotas
from identity.context import Context
from identity.names import clean_name

PREFIX_RANGE = (16, 28)
MTU_RANGE = (576, 9000)
MTU6_MIN = 1280
IPV6_MODES = {mode.value: mode.label for mode in Network.Ipv6Mode}
NUMBER_MAX = 4000  # conntrack zones and transit addresses are made from it
_NUMBER_LOCK = 0x4E37  # any number


def list(ctx: Context, *, all_projects: bool = False) -> QuerySet[Network]:
    ctx.require("box.look" if all_projects else "networks.list")
    rows = Network.objects.annotate(port_count=Count("ports")).select_related("router__external").order_by("name")
    return rows.select_related("project") if all_projects else rows.filter(project=ctx.project)


def get(ctx: Context, id: UUID) -> Network:
    network = list(ctx).filter(id=id).first()
    if network is None:
        raise NotFound(f"There is no network {id}.", resource=str(id), field="network_ids")
    return network


def only_one(ctx: Context) -> Sequence[UUID]:
    """The project's network, for requests that name none; with several, they must say which."""
    ids = [*Network.objects.filter(project=ctx.project).values_list("id", flat=True)[:2]]
    if not ids:
        raise Conflict("The project has no network. Create one first.", field="network_ids")
    if len(ids) > 1:
        raise Invalid("The project has several networks. Say which.", field="network_ids")
    return ids


def create(
    ctx: Context,
    *,
    name: str,
    cidr: str = "",
    nat: bool = True,
    router_id: UUID | None = None,
    gateway_ip: str = "",
    pool_first: str = "",
    pool_last: str = "",
    dhcp: bool = True,
    dns_servers: Iterable[str] = (),
    host_routes: Iterable[Mapping[str, Any]] = (),
    mtu: int = 1500,
    ipv6_mode: str = "",
    ipv6_cidr: str = "",
) -> Network:
    """A network with DNS and metadata, and DHCP unless told otherwise. Without a range it gets the next free 10.x.0.0/24 of the project.
    `router_id`: it joins that router; else, with `nat`, one of the project's that leads outside, which is made where there is none.
    `ipv6_mode`: how guests come by IPv6 addresses, empty for none; without `ipv6_cidr` they are of the project's own unique local ones."""
    ctx.require("networks.manage")
    name = clean_name(name)
    subnet = clean_range(cidr) if cidr else _free_subnet(ctx)
    gateway = addresses.parse_address(gateway_ip, field="gateway_ip") if gateway_ip else subnet[1]
    if gateway not in subnet or gateway in (subnet[0], subnet[-1]):
        raise Invalid(f"{gateway} is no address of {subnet}.", field="gateway_ip")
    first, last = addresses.parse_pool(subnet, pool_first, pool_last)
    row = Network(
        project=ctx.needed_project,
        name=name,
        cidr=str(subnet),
        gateway_ip=str(gateway),
        pool_first=first,
        pool_last=last,
        dhcp=dhcp,
        dns_servers=addresses.parse_dns_servers(dns_servers),
        host_routes=clean_host_routes(subnet, host_routes),
        mtu=_mtu(mtu),
    )
    try:
        with transaction.atomic():
            quotas.charge(ctx.project_id, {"networks": 1})
            network = row
            network.number = _free_number()
            _set_ipv6(network, mode=ipv6_mode, cidr=ipv6_cidr)
            network.save(force_insert=True)
            events.publish(ctx.actor, "create", "network", network, detail=f"{subnet} {network.ipv6_cidr}".strip())
            if router_id is not None:
                routers.attach(ctx, router_id, network.id)
            elif nat:
                routers.lead_out(ctx, network)
            jobs.wake("networks")
    except IntegrityError as error:
        raise AlreadyExists(f"There is a network {name} in this project.", field="name") from error
    return get(ctx, network.id)


def clean_host_routes(subnet: ipaddress.IPv4Network, rows: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:  # type: ignore[valid-type]
    """Routes that DHCP may tell on this range."""
    found = addresses.parse_routes(rows, field="host_routes")
    for each in found:
        if ipaddress.IPv4Address(each["next_hop"]) not in subnet:
            raise Invalid(f"{each['next_hop']} does not lie on the network, so its instances cannot send there.", field="host_routes")
    return found


def _set_ipv6(network: Network, *, mode: str, cidr: str) -> None:
    """The mode and the range of a network, as far as they go with the rest of it. A range without a mode is advertised (SLAAC); a mode
    without a range keeps the one that there is, or gets the next of the project's own."""
    mode, cidr = mode.strip(), cidr.strip()
    if not mode and not cidr:
        network.ipv6_mode, network.ipv6_cidr = "", ""
        return
    mode = mode or Network.Ipv6Mode.SLAAC
    if mode not in Network.Ipv6Mode.values:
        raise Invalid(f"The IPv6 mode is one of {', '.join(Network.Ipv6Mode.values)}, or empty for no IPv6.", field="ipv6_mode")
    if network.mtu < MTU6_MIN:
        raise Invalid(f"IPv6 needs an MTU of {MTU6_MIN} at least (RFC 8200); {network.name} has {network.mtu}.", field="mtu")
    found = addresses.parse_range6(cidr, field="ipv6_cidr") if cidr else addresses.free_range6(network.project_id)
    if network.router is not None:
        for other in network.router.networks.exclude(id=network.id).exclude(ipv6_cidr=""):
            if found.overlaps(ipaddress.IPv6Network(other.ipv6_cidr)):
                raise Conflict(f"{found} overlaps with the IPv6 range of {other.name}, which is on the same router.", field="ipv6_cidr")
    network.ipv6_mode, network.ipv6_cidr = mode, str(found)


def _mtu(mtu: int) -> int:
    low, high = MTU_RANGE
    if not low <= mtu <= high:
        raise Invalid(f"The MTU is {low} to {high}.", field="mtu")
    return mtu


def clean_range(cidr: str) -> ipaddress.IPv4Network:
    """A range that a network may have, as somebody wrote it."""
    subnet = addresses.parse_range(cidr, field="cidr")
    low, high = PREFIX_RANGE
    if not low <= subnet.prefixlen <= high:
        raise Invalid(f"A network is between /{low} and /{high}.", field="cidr")
    if not any(subnet.subnet_of(block) for block in addresses.PRIVATE):
        raise Invalid("Use a private range: inside 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16.", field="cidr")
    return subnet


def _free_subnet(ctx: Context) -> ipaddress.IPv4Network:
    taken = [ipaddress.IPv4Network(text) for text in Network.objects.filter(project=ctx.project).values_list("cidr", flat=True)]
    for second in range(20, 250):
        subnet = ipaddress.IPv4Network(f"10.{second}.0.0/24")
        if not any(subnet.overlaps(other) for other in taken):
            return subnet
    raise InsufficientCapacity("No range is free. Say which addresses the network is to have.", field="cidr")


def _lock() -> None:
    """One after the other, whoever looks for what no network has yet: a number, an IPv6 range."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_NUMBER_LOCK])


def _free_number() -> int:
    """The smallest number that no network has."""
    _lock()
    highest = Network.objects.aggregate(Max("number"))["number__max"] or 0
    taken = {*Network.objects.values_list("number", flat=True)}
    number = next(n for n in range(1, highest + 2) if n not in taken)
    if number > NUMBER_MAX:
        raise InsufficientCapacity(f"The box has {NUMBER_MAX} networks and takes no more.")
    return number


def rename(ctx: Context, id: UUID, name: str) -> Network:
    return update(ctx, id, {"name": name})


def update(ctx: Context, id: UUID, changes: Mapping[str, Any]) -> Network:
    """Its name, its MTU, what DHCP tells, the addresses that new ports get, its IPv6, and whether it is up. Instances learn of
    it when they ask DHCP again, of IPv6 with the next advertisement."""
    ctx.require("networks.manage")
    network = get(ctx, id)
    subnet = ipaddress.IPv4Network(network.cidr)
    if "name" in changes:
        network.name = clean_name(changes["name"])
    if "mtu" in changes:
        network.mtu = _mtu(changes["mtu"])
    if "dhcp" in changes:
        network.dhcp = changes["dhcp"]
    if "dns_servers" in changes:
        network.dns_servers = addresses.parse_dns_servers(changes["dns_servers"])
    if "host_routes" in changes:
        network.host_routes = clean_host_routes(subnet, changes["host_routes"])
    if "pool_first" in changes or "pool_last" in changes:
        ends = [changes.get(key, getattr(network, key)) or "" for key in ("pool_first", "pool_last")]
        network.pool_first, network.pool_last = addresses.parse_pool(subnet, *ends)
    mode, cidr = changes.get("ipv6_mode", network.ipv6_mode), changes.get("ipv6_cidr", network.ipv6_cidr)
    if "ipv6_mode" in changes and not changes["ipv6_mode"].strip() and "ipv6_cidr" not in changes:
        cidr = ""  # off
    network.is_up = changes.get("is_up", network.is_up)
    fields = ["name", "mtu", "dhcp", "dns_servers", "host_routes", "pool_first", "pool_last", "ipv6_mode", "ipv6_cidr", "is_up"]
    try:
        with transaction.atomic():
            _lock()
            _set_ipv6(network, mode=mode, cidr=cidr)
            network.save(update_fields=fields)
            events.publish(ctx.actor, "rename" if changes.keys() == {"name"} else "update", "network", network)
            jobs.wake("networks")
    except IntegrityError as error:
        raise AlreadyExists(f"There is a network {network.name} in this project.", field="name") from error
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
