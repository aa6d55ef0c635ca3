"""What is connected to what in a project: the ways outside, routers, networks, and the instances on each."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from uuid import UUID

from compute.models import ExternalNetwork, Network, Port, Router
from identity.context import Context

# A picture of more would show nothing; the table of ports does.
PORTS_MAX = 300


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A network, with the ports on it that are shown, and how many more there are."""

    network: Network
    ports: tuple[Port, ...]
    more: int


@dataclass(frozen=True, kw_only=True)
class Branch:
    """A router with its networks; without a router the networks that hang on none. `external`: where it leads outside."""

    router: Router | None
    external: ExternalNetwork | None
    segments: tuple[Segment, ...]


def of(ctx: Context) -> tuple[Branch, ...]:
    """The project's branches: those of routers by name, then the networks without one."""
    ctx.require("networks.list")
    rows = (
        Port.objects.filter(project=ctx.project)
        .select_related("instance", "network", "floating_ip", "load_balancer")
        .order_by("network_id", "instance__name", "ip")
    )
    ports: dict[UUID, list[Port]] = defaultdict(list)
    for port in rows:
        ports[port.network_id].append(port)
    shown = PORTS_MAX
    segments: dict[UUID | None, list[Segment]] = defaultdict(list)
    for network in Network.objects.filter(project=ctx.project).order_by("name"):
        some = ports[network.id][:shown]
        shown -= len(some)
        segments[network.router_id].append(Segment(network=network, ports=tuple(some), more=len(ports[network.id]) - len(some)))
    branches = [
        Branch(router=router, external=router.external, segments=tuple(segments[router.id]))
        for router in Router.objects.filter(project=ctx.project).select_related("external").order_by("name")
    ]
    alone = segments.get(None)
    return (*branches, *([Branch(router=None, external=None, segments=tuple(alone))] if alone else []))
