"""What routers and external networks should be, read from the tables: a few queries, however many there are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv4Network
from uuid import UUID

from compute import desired_vpn
from compute.drivers.router_specs import ExternalSpec, ForwardSpec, RouterSpec, RouteSpec
from compute.drivers.vpn_specs import VpnSpec
from compute.models import ExternalNetwork, FloatingIp, PortForward, Router


def of_all() -> tuple[tuple[ExternalSpec, ...], tuple[RouterSpec, ...]]:
    externals = tuple(_external(row) for row in ExternalNetwork.objects.order_by("id"))
    floating: dict[UUID, list[tuple[IPv4Address, IPv4Address]]] = defaultdict(list)
    for router_id, outer, inner in (
        FloatingIp.objects.exclude(port=None)
        .filter(port__network__router__is_up=True, port__network__is_up=True)
        .order_by("id")
        .values_list("port__network__router_id", "address", "port__ip")
    ):
        floating[router_id].append((IPv4Address(outer), IPv4Address(inner)))
    forwards: dict[UUID, list[ForwardSpec]] = defaultdict(list)
    for row in PortForward.objects.filter(router__is_up=True).select_related("router", "floating_ip", "port").order_by("id"):
        shared = row.floating_ip.address if row.floating_ip else row.router.external_ip
        if shared is not None:
            forwards[row.router_id].append(
                ForwardSpec(
                    protocol=row.protocol,
                    address=IPv4Address(shared),
                    port=row.external_port,
                    to_address=IPv4Address(row.port.ip),
                    to_port=row.internal_port,
                )
            )
    vpns = desired_vpn.of_all()
    rows = Router.objects.filter(is_up=True).prefetch_related("networks").order_by("id")
    return externals, tuple(_router(row, floating[row.id], forwards[row.id], vpns.get(row.id)) for row in rows)


def _external(row: ExternalNetwork) -> ExternalSpec:
    bridge = row.bridge if row.kind == ExternalNetwork.Kind.BRIDGE else ""
    return ExternalSpec(id=row.id, cidr=IPv4Network(row.cidr), gateway=IPv4Address(row.gateway_ip), bridge=bridge, mtu=row.mtu)


def _router(
    row: Router, floating: Iterable[tuple[IPv4Address, IPv4Address]], forwards: Iterable[ForwardSpec], vpn: VpnSpec | None
) -> RouterSpec:
    return RouterSpec(
        id=row.id,
        external_id=row.external_id,
        external_ip=IPv4Address(row.external_ip) if row.external_ip else None,
        snat=row.snat,
        # What lies on a network of the router is reached there: a connected range goes before a route to the same one.
        routes=tuple(each for each in routes(row.static_routes) if str(each.destination) not in {net.cidr for net in row.networks.all()}),
        floating=tuple(floating),
        forwards=tuple(forwards),
        vpn=vpn,
    )


def routes(rows: Iterable[Mapping[str, str]]) -> tuple[RouteSpec, ...]:
    """As the tables keep them."""
    return tuple(RouteSpec(destination=IPv4Network(row["destination"]), next_hop=IPv4Address(row["next_hop"])) for row in rows)
