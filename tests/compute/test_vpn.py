"""Who has VPN access: given with keys of the device's or made here, counted, revoked; on a fake machine. Packets: tests/contracts."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest
from django.db import transaction
from django.test import Client

from cloudbox.common.errors import AlreadyExists, CloudError, Conflict, Forbidden, Invalid, NotFound
from cloudbox.common.models import Event
from compute import desired, desired_vpn, host, networks, port_forwards, routers, vpn
from compute.drivers.vpn_specs import VpnPeerFacts, VpnSpec
from compute.models import Network, Router, VpnGateway, VpnPeer
from identity.models import Membership
from tests.world import World

KEY = base64.b64encode(b"k" * 32).decode()


def _spec(world: World) -> VpnSpec | None:
    """As the machine is told."""
    desired.apply_fabric()
    return next(each.vpn for each in host.fabric().spec.routers if each.id == world.network.router_id)  # type: ignore[attr-defined]


def test_given_and_revoked(world: World) -> None:
    """Each device has an address of its own and reaches its network; the private key is told once and kept nowhere; it is written down."""
    ctx = world.ctx("member")
    assert _spec(world) is None
    ada, private = vpn.create(ctx, name="ada", network_id=world.network.id)
    bob, none = vpn.create(ctx, name="bob", network_id=world.network.id, public_key=f" {KEY}\n")
    assert (none, bob.public_key) == ("", KEY)
    assert len(base64.b64decode(private)) == 32
    config = vpn.config(ada, private_key=private)
    assert f"PrivateKey = {private}\n" in config
    assert f"Endpoint = {world.network.router.external_ip}:51820\n" in config  # type: ignore[union-attr]
    assert f"AllowedIPs = {world.network.cidr}\n" in config
    assert private not in str([*VpnPeer.objects.values(), *VpnGateway.objects.values(), *Event.objects.values()])
    spec = _spec(world)
    assert spec is not None
    assert [(each.public_key, str(each.address)) for each in spec.peers] == [(ada.public_key, ada.ip), (KEY, bob.ip)]
    assert str(spec.cidr[1]) not in (ada.ip, bob.ip)
    vpn.revoke(ctx, ada.id)
    spec = _spec(world)
    assert spec is not None
    assert [each.public_key for each in spec.peers] == [KEY]
    assert vpn.create(ctx, name="eve", network_id=world.network.id)[0].ip == ada.ip
    assert [event.verb for event in Event.objects.filter(noun="vpn-peer").order_by("at")] == ["create", "create", "revoke", "create"]


def test_who_may(world: World) -> None:
    row, _ = vpn.create(world.ctx("member"), name="ada", network_id=world.network.id)
    stranger = world.ctx("stranger", world.other)
    assert vpn.get(world.ctx("reader"), row.id).name == "ada"
    acts: list[tuple[Any, type[CloudError]]] = [
        (lambda: vpn.get(stranger, row.id), NotFound),
        (lambda: vpn.revoke(stranger, row.id), NotFound),
        (lambda: vpn.create(stranger, name="x", network_id=world.network.id), NotFound),
        (lambda: vpn.revoke(world.ctx("reader"), row.id), Forbidden),
        (lambda: vpn.create(world.ctx("reader"), name="x", network_id=world.network.id), Forbidden),
    ]
    for act, error in acts:
        with pytest.raises(error):
            act()


def test_what_is_refused(world: World) -> None:
    """Keys that are none, names and keys twice, networks without a way in, boxes without the program: each with its sentence."""
    ctx = world.ctx("member")
    for wrong in ("x", "=" * 44, base64.b64encode(b"k" * 31).decode(), base64.b64encode(bytes(32)).decode(), "ä" * 44):
        with pytest.raises(Invalid):
            vpn.create(ctx, name="x", network_id=world.network.id, public_key=wrong)
    vpn.create(ctx, name="ada", network_id=world.network.id, public_key=KEY)
    with pytest.raises(AlreadyExists, match="key"):
        vpn.create(ctx, name="other", network_id=world.network.id, public_key=KEY)
    with pytest.raises(AlreadyExists, match="ADA"):
        vpn.create(ctx, name="ADA", network_id=world.network.id)
    alone = networks.create(ctx, name="alone", nat=False)
    with pytest.raises(Conflict, match="no router"):
        vpn.create(ctx, name="x", network_id=alone.id)
    inside = routers.create(ctx, name="inside")
    Router.objects.filter(id=inside.id).update(external=None, external_ip=None)
    routers.attach(ctx, inside.id, network_id=alone.id)
    with pytest.raises(Conflict, match="outside"):
        vpn.create(ctx, name="x", network_id=alone.id)
    assert world.network.router_id is not None
    instance = world.running(network_ids=(world.network.id,))
    with pytest.raises(Conflict, match="entrance"):
        port_forwards.create(ctx, router_id=world.network.router_id, protocol="udp", external_port=51820, port_id=instance.ports.get().id)
    host.fabric().no_vpn = "There is no wireguard-go."  # type: ignore[attr-defined]
    with pytest.raises(Conflict, match="wireguard-go"):
        vpn.create(ctx, name="x", network_id=world.network.id)


def test_who_comes_in_no_more(world: World) -> None:
    """Whose account is suspended, who has left the project, and whose network has left the router, is taken out; it says why."""
    ctx = world.ctx("member")
    row, _ = vpn.create(ctx, name="ada", network_id=world.network.id)
    assert vpn.trouble(vpn.get(ctx, row.id)) == ""
    user = world.users["member"]
    user.is_active = False
    user.save()
    spec = _spec(world)
    assert spec is not None
    assert spec.peers == ()
    assert "suspended" in vpn.trouble(vpn.get(world.ctx("owner"), row.id))
    user.is_active = True
    user.save()
    with transaction.atomic():
        Membership.objects.filter(user=user, project=world.project).delete()
        spec = _spec(world)
        assert spec is not None
        assert spec.peers == ()
        assert "no longer in this project" in vpn.trouble(vpn.get(world.ctx("owner"), row.id))
        transaction.set_rollback(True)
    spec = _spec(world)
    assert spec is not None
    assert len(spec.peers) == 1
    Network.objects.filter(id=world.network.id).update(router=None)
    spec = _spec(world)
    assert spec is not None
    assert spec.peers == ()
    assert "has left the router" in vpn.trouble(vpn.get(ctx, row.id))


def test_what_was_heard(world: World) -> None:
    """Bytes add up over restarts of the entrance, whose counters begin anew; the last handshake stays."""
    ctx = world.ctx("member")
    row, _ = vpn.create(ctx, name="ada", network_id=world.network.id)
    _spec(world)
    heard = host.fabric().heard  # type: ignore[attr-defined]
    for at, bytes_in in ((1_700_000_000, 100), (1_700_000_000, 150), (None, 30)):
        heard[row.public_key] = VpnPeerFacts(public_key=row.public_key, handshake_at=at, bytes_in=bytes_in, bytes_out=1)
        desired_vpn.observe()
    row.refresh_from_db()
    assert (row.bytes_in, row.bytes_out) == (180, 1)
    assert row.handshake_at is not None
    assert row.handshake_at.timestamp() == 1_700_000_000


def test_by_rest_and_portal(world: World) -> None:
    """Both give, show and revoke; the private key is on the first answer alone, which nobody may keep; a code for phones beside it."""
    rest = Client(headers={"Authorization": f"Bearer {world.token('member', 'member')}"})
    base = f"/api/v1/projects/{world.project.slug}/vpn-peers"
    made = rest.post(base, {"name": "ada", "network_id": str(world.network.id)}, content_type="application/json")
    assert made.status_code == 201, made.content
    private = re.search(r"PrivateKey = (\S+)", made.json()["config"])
    assert private is not None
    shown = rest.get(f"{base}/{made.json()['id']}").json()
    assert (shown["endpoint"], shown["trouble"], "config" in shown) == (f"{world.network.router.external_ip}:51820", "", False)  # type: ignore[union-attr]
    assert rest.delete(f"{base}/{made.json()['id']}").status_code == 204

    portal = Client()
    portal.force_login(world.users["member"])
    page = f"/p/{world.project.slug}/vpn"
    assert portal.post(page, {"name": "bob", "network": "", "public_key": ""}).status_code == 400
    answer = portal.post(page, {"name": "bob", "network": str(world.network.id), "public_key": ""})
    text = answer.content.decode()
    assert (answer.status_code, answer["Cache-Control"]) == (200, "no-store")
    found = re.search(r"PrivateKey = (\S+)", text)
    assert found is not None
    assert len(found[1].replace("&#x2B;", "+")) == 44
    assert '<svg role="img"' in text
    row = VpnPeer.objects.get()
    again = portal.get(f"{page}/{row.id}").content.decode()
    assert found[1] not in again
    assert "(your private key)" in again
    assert "bob" in portal.get(page).content.decode()
    assert portal.post(f"{page}/{row.id}/revoke").status_code == 302
    assert not VpnPeer.objects.exists()
    host.fabric().no_vpn = "There is no wireguard-go."  # type: ignore[attr-defined]
    assert "There is no wireguard-go." in portal.get(page).content.decode()
