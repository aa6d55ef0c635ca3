"""What the WireGuard entrances of routers should be, read from the tables; and what they tell, written there."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from ipaddress import IPv4Address, IPv4Network
from uuid import UUID

from compute import host, sealing
from compute.drivers.vpn_specs import VpnPeerFacts, VpnPeerSpec, VpnSpec
from compute.models import VpnGateway, VpnPeer
from identity.models import Membership

# A /24 for each entrance. Nobody's (RFC 6598), and away from all that the box itself uses of it.
RANGE, PREFIX = IPv4Network("100.80.0.0/12"), 24


def range_of(number: int) -> IPv4Network:
    return IPv4Network((int(RANGE.network_address) + (number << (32 - PREFIX)), PREFIX))


def of_all() -> dict[UUID, VpnSpec]:
    """By router. A router without a way out has none; a peer whose network has left the router comes in no more."""
    rows = (
        VpnGateway.objects.filter(router__is_up=True)
        .exclude(router__external=None)
        .select_related("router")
        .prefetch_related("peers__network", "peers__user")
    )
    members = set(Membership.objects.filter(user__in=VpnPeer.objects.values("user")).values_list("user_id", "project_id"))
    return {row.router_id: _gateway(row, members) for row in rows.order_by("number")}


def why_out(peer: VpnPeer, members: Collection[tuple[UUID, UUID]] | None = None) -> str:
    """Why whom it was given to may come in no more; empty: they may. `members`: (user, project) pairs, where they are at hand."""
    user = peer.user
    if user is None:
        return "The account that it was given to is gone."
    if not user.is_active:
        return f"The account of {user} is suspended."
    if members is None:
        members = {(user.id, peer.project_id)} if Membership.objects.filter(user=user, project=peer.project_id).exists() else ()
    if not user.box_role and (user.id, peer.project_id) not in members:
        return f"{user} is no longer in this project."
    return ""


def _gateway(row: VpnGateway, members: Collection[tuple[UUID, UUID]]) -> VpnSpec:
    peers = [each for each in row.peers.all() if each.network.router_id == row.router_id and not why_out(each, members)]
    return VpnSpec(
        private_key=sealing.unseal(row.sealed_key),
        port=row.port,
        cidr=range_of(row.number),
        peers=tuple(VpnPeerSpec(public_key=each.public_key, address=IPv4Address(each.ip), network_id=each.network_id) for each in peers),
    )


def observe() -> None:
    """Ask every entrance who was heard of, and write down what is new."""
    if not VpnPeer.objects.exists():
        return
    facts = host.fabric().vpn_facts()
    for peer in VpnPeer.objects.filter(gateway__in=facts):
        told = next((each for each in facts[peer.gateway_id] if each.public_key == peer.public_key), None)
        if told is not None:
            _write(peer, told)


def _write(peer: VpnPeer, told: VpnPeerFacts) -> None:
    more = {"bytes_in": _more(told.bytes_in, peer.seen_in), "bytes_out": _more(told.bytes_out, peer.seen_out)}
    at = dt.datetime.fromtimestamp(told.handshake_at, dt.UTC) if told.handshake_at else peer.handshake_at
    if any(more.values()) or at != peer.handshake_at or (told.bytes_in, told.bytes_out) != (peer.seen_in, peer.seen_out):
        sums = {name: getattr(peer, name) + count for name, count in more.items()}
        VpnPeer.objects.filter(id=peer.id).update(**sums, seen_in=told.bytes_in, seen_out=told.bytes_out, handshake_at=at)


def _more(now: int, before: int) -> int:
    """A counter that is smaller than before has begun anew."""
    return now - before if now >= before else now
