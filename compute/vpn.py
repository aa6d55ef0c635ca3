"""Access to networks from outside, by WireGuard: each device has a key and an address of its own, and reaches one network."""

from __future__ import annotations

import base64
import binascii
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from cloudbox.common import events, jobs
from cloudbox.common.errors import AlreadyExists, Conflict, InsufficientCapacity, Invalid, NotFound
from compute import desired_vpn, host, networks, sealing
from compute.models import Network, PortForward, Router, VpnGateway, VpnPeer
from identity.context import Context
from identity.names import clean_name

FIRST_PORT = 51820
KEEPALIVE_SECONDS = 25  # what keeps the way back open through most home routers
KEY_BYTES = 32


def why_not() -> str:
    """Why this box gives nobody access; empty: it can."""
    return host.fabric().why_no_vpn()


def why_not_network(network: Network) -> str:
    """Why nobody gets access to this network; empty: somebody can."""
    if network.router is None:
        return f"{network.name} is on no router, so nobody comes to it from outside. Put it on one."
    if network.subnet_id is None:
        return f"{network.name} has no IPv4, which devices come in by."
    if not network.router.is_up:
        return f"{network.router.name} is switched off. Switch it on."
    if network.router.external_ip is None:
        return f"{network.router.name} leads nowhere outside. Give it an external network."
    return ""


def list(ctx: Context) -> QuerySet[VpnPeer]:
    ctx.require("vpn.list")
    rows = VpnPeer.objects.filter(project=ctx.project).select_related("network__router", "gateway__router", "user")
    return rows.order_by("name")


def get(ctx: Context, id: UUID) -> VpnPeer:
    row = list(ctx).filter(id=id).first()
    if row is None:
        raise NotFound(f"There is no VPN access {id}.", resource=str(id))
    return row


def trouble(peer: VpnPeer) -> str:
    """Why it does not come in for now; empty: nothing is known against it."""
    if peer.network.router_id != peer.gateway_id:
        return f"{peer.network.name} has left the router {peer.gateway.router.name}. Revoke this access, and give another."
    return desired_vpn.why_out(peer) or why_not_network(peer.network)


def create(ctx: Context, *, name: str, network_id: UUID, public_key: str = "") -> tuple[VpnPeer, str]:
    """Give a device access to a network. Without a public key a pair is made here: the private key is returned this once, and not kept."""
    ctx.require("vpn.manage")
    if reason := why_not():
        raise Conflict(reason)
    name, private = clean_name(name), ""
    network = networks.get(ctx, network_id)
    if reason := why_not_network(network):
        raise Conflict(reason, field="network_id")
    if public_key.strip():
        public_key = clean_key(public_key)
    else:
        private, public_key = make_keys()
    try:
        with transaction.atomic():
            assert network.router_id is not None
            router = Router.objects.select_for_update().get(id=network.router_id)
            gateway = _gateway(router)
            row = VpnPeer.objects.create(
                project=ctx.needed_project,
                gateway=gateway,
                network=network,
                user=ctx.needed_user,
                name=name,
                public_key=public_key,
                ip=_free_ip(gateway),
            )
            events.publish(ctx.actor, "create", "vpn-peer", row, detail=f"{network.name}, {row.ip}")
            jobs.wake("networks")
    except IntegrityError as error:
        if VpnPeer.objects.filter(gateway__router=network.router_id, public_key=public_key).exists():
            sentence = "This key has access by that router already. A device's key is good for one network."
            raise AlreadyExists(sentence, field="public_key") from error
        raise AlreadyExists(f"There is an access {name} in this project.", field="name") from error
    return get(ctx, row.id), private


def revoke(ctx: Context, id: UUID) -> None:
    """Its packets are dropped from now on."""
    ctx.require("vpn.manage")
    with transaction.atomic():
        row = get(ctx, id)
        events.publish(ctx.actor, "revoke", "vpn-peer", row)
        VpnPeer.objects.filter(id=id).delete()
        jobs.wake("networks")


def config(peer: VpnPeer, *, private_key: str = "") -> str:
    """The settings of the device, as its WireGuard reads them (wg-quick(8))."""
    router = peer.gateway.router
    return f"""[Interface]
# {peer.name}
PrivateKey = {private_key or "(your private key)"}
Address = {peer.ip}/32

[Peer]
PublicKey = {peer.gateway.public_key}
Endpoint = {router.external_ip or "(none now)"}:{peer.gateway.port}
AllowedIPs = {peer.network.cidr}
PersistentKeepalive = {KEEPALIVE_SECONDS}
"""


def make_keys() -> tuple[str, str]:
    """A private key and its public one, in base64 (RFC 7748)."""
    private = X25519PrivateKey.generate()
    return (
        base64.b64encode(private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())).decode(),
        base64.b64encode(private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode(),
    )


def clean_key(text: str) -> str:
    try:
        found = base64.b64decode(text.strip(), validate=True)
    except (ValueError, binascii.Error):
        found = b""
    if len(found) != KEY_BYTES or not any(found):
        raise Invalid("A public key of WireGuard has 44 characters and ends in =. `wg pubkey` shows it.", field="public_key")
    return base64.b64encode(found).decode()


def _gateway(router: Router) -> VpnGateway:
    """The router's entrance, made with the first access. The router's row is locked."""
    there = VpnGateway.objects.filter(router=router).first()
    if there is not None:
        return there
    private, public = make_keys()
    taken = {*VpnGateway.objects.values_list("number", flat=True)}
    number = next((each for each in range(2 ** (desired_vpn.PREFIX - desired_vpn.RANGE.prefixlen)) if each not in taken), None)
    if number is None:
        raise InsufficientCapacity("The box has no range left for another router's entrance.")
    forwarded = {*PortForward.objects.filter(router=router, protocol="udp").values_list("external_port", flat=True)}
    port = next(each for each in range(FIRST_PORT, 65536) if each not in forwarded)
    return VpnGateway.objects.create(router=router, number=number, port=port, public_key=public, sealed_key=sealing.seal(private))


def _free_ip(gateway: VpnGateway) -> str:
    taken = {*gateway.peers.values_list("ip", flat=True)}
    for address in [*desired_vpn.range_of(gateway.number).hosts()][1:]:
        if str(address) not in taken:
            return str(address)
    raise Conflict("252 devices have access by this router, and no more can. Revoke one first.")
