"""Routers, floating IPs and external networks in the browser: each action by its form, and the reason where it is not possible."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from compute import floating_ips, networks, port_forwards, routers
from compute.models import ExternalNetwork, FloatingIp, Network, Router
from tests.world import World

ROUTERS, FLOATING = "/p/shop/routers", "/p/shop/floating-ips"


def test_a_router_by_its_forms(world: World, browse: Any) -> None:
    """Made, led nowhere, given a network, routes and a forwarded port, and all of it undone; each refusal stands in its dialog."""
    client, ctx, port = browse("member"), world.ctx("member"), world.launch()[0].ports.get()
    mine = networks.get(ctx, world.network.id).router
    assert mine is not None
    assert client.post(f"{ROUTERS}/new", {"name": "edge", "external_id": "", "snat": "on"}).status_code == 302
    edge = Router.objects.get(name="edge")
    assert edge.external is None
    back = networks.create(ctx, name="back", nat=False)
    refused = client.post(f"{ROUTERS}/{edge.id}/attach", {"network_id": str(world.network.id)})
    assert refused.status_code == 409
    assert "is on another router" in refused.content.decode()
    client.post(f"{ROUTERS}/{edge.id}/attach", {"network_id": str(back.id)})
    page = client.get(f"{ROUTERS}/{edge.id}").content.decode()
    assert f"/networks/{back.id}" in page
    assert "so it has no address to share" in page
    external = ExternalNetwork.objects.get()
    client.post(f"{ROUTERS}/{edge.id}/gateway", {"external_id": str(external.id), "snat": ""})
    assert list(Router.objects.filter(id=edge.id).values_list("external_id", "snat")) == [(external.id, False)]
    bad = client.post(f"{ROUTERS}/{mine.id}/routes", {"routes": "10.99.0.0/24 to 10.20.0.9"})
    assert bad.status_code == 400
    assert "is not a route" in bad.content.decode()
    client.post(f"{ROUTERS}/{mine.id}/routes", {"routes": "10.99.0.0/24 via 10.20.0.9\n\n"})
    assert routers.get(ctx, mine.id).static_routes == [{"destination": "10.99.0.0/24", "next_hop": "10.20.0.9"}]
    asked = {"floating_ip_id": "", "protocol": "tcp", "external_port": "8022", "port_id": str(port.id), "internal_port": "22"}
    assert client.post(f"{ROUTERS}/{mine.id}/forward", asked).status_code == 302
    assert "is forwarded already" in client.post(f"{ROUTERS}/{mine.id}/forward", asked).content.decode()
    (forward,) = port_forwards.list(ctx)
    assert ":8022 TCP" in client.get(f"{ROUTERS}/{mine.id}").content.decode()
    client.post(f"{ROUTERS}/{mine.id}/port-forwards/{forward.id}/remove")
    assert not port_forwards.list(ctx).exists()
    client.post(f"{ROUTERS}/{edge.id}/delete")
    assert Router.objects.filter(id=edge.id).exists()
    client.post(f"{ROUTERS}/{edge.id}/networks/{back.id}/remove")
    client.post(f"{ROUTERS}/{edge.id}/delete")
    assert not Router.objects.filter(id=edge.id).exists()


def test_a_floating_ip_by_its_forms(world: World, browse: Any) -> None:
    """Taken, given to a card, moved to another, taken off, given back; a card that cannot have it says why in the dialog."""
    client, ctx = browse("member"), world.ctx("member")
    one, two = world.launch(name="one")[0].ports.get(), world.launch(name="two")[0].ports.get()
    networks.create(ctx, name="lonely", nat=False)
    far = world.launch(name="far", network_ids=(Network.objects.get(name="lonely").id,))[0].ports.get()
    client.post(f"{FLOATING}/new", {"external_id": "", "address": "", "description": "The shop"})
    row = FloatingIp.objects.get()
    page = client.get(f"{FLOATING}/{row.id}").content.decode()
    assert "lonely is on no router" in page
    for port in (one, two):
        client.post(f"{FLOATING}/{row.id}/associate", {"port_id": str(port.id)})
        assert floating_ips.get(ctx, row.id).port == port
    assert client.post(f"{FLOATING}/{row.id}/associate", {"port_id": str(far.id)}).status_code == 409
    assert "Choose the network card" in client.post(f"{FLOATING}/{row.id}/associate", {"port_id": ""}).content.decode()
    assert client.post(f"{FLOATING}/{row.id}/associate", {"port_id": str(uuid4())}).status_code == 404
    assert ">two</a>" in client.get(FLOATING).content.decode()
    client.post(f"{FLOATING}/{row.id}/describe", {"description": "Ours"})
    client.post(f"{FLOATING}/{row.id}/do/disassociate")
    assert (floating_ips.get(ctx, row.id).port, floating_ips.get(ctx, row.id).description) == (None, "Ours")
    assert client.post(f"{FLOATING}/{row.id}/do/nonsense").status_code == 404
    client.post(f"{FLOATING}/{row.id}/do/release")
    assert not FloatingIp.objects.exists()


def test_a_networks_words_of_dhcp(world: World, browse: Any) -> None:
    """Made on a chosen router with its own gateway and DNS, and changed by the dialog of its page."""
    client = browse("member")
    router = routers.create(world.ctx("member"), name="edge")
    asked = {
        "name": "db",
        "cidr": "10.70.0.0/24",
        "router_id": str(router.id),
        "gateway_ip": "10.70.0.254",
        "dns_servers": "9.9.9.9, 1.1.1.1",
    }
    assert client.post("/p/shop/networks/new", {**asked, "dhcp": "on", "mtu": "1400"}).status_code == 302
    network = Network.objects.get(name="db")
    assert (network.router_id, network.gateway_ip, network.dns_servers, network.mtu) == (
        router.id,
        "10.70.0.254",
        ["9.9.9.9", "1.1.1.1"],
        1400,
    )
    changed = {"name": "db", "dns_servers": "", "host_routes": "10.98.0.0/24 via 10.70.0.9", "mtu": "1500", "pool_first": "10.70.0.50"}
    assert client.post(f"/p/shop/networks/{network.id}", changed).status_code == 302
    network.refresh_from_db()
    assert (network.dhcp, network.dns_servers, network.pool_first) == (False, [], "10.70.0.50")
    assert network.host_routes == [{"destination": "10.98.0.0/24", "next_hop": "10.70.0.9"}]


def test_the_reader_and_the_box(world: World, browse: Any) -> None:
    """A reader sees every button with its reason; administrators alone make external networks, whose bridges are offered."""
    router = world.network.router
    assert router is not None
    page = browse("reader").get(f"{ROUTERS}/{router.id}").content.decode()
    assert 'data-open="attach"' not in page
    assert "This needs the role member" in page
    client = browse("admin")
    assert 'value="br0"' in client.get("/admin/external-networks/new").content.decode()
    asked = {"name": "lab", "kind": "bridge", "bridge": "br0", "cidr": "198.51.100.0/24", "gateway_ip": "198.51.100.1", "mtu": "1500"}
    assert client.post("/admin/external-networks/new", asked).status_code == 302
    lab = ExternalNetwork.objects.get(name="lab")
    client.post(f"/admin/external-networks/{lab.id}/make-default")
    lab.refresh_from_db()
    assert lab.is_default
    shown = client.get("/admin/external-networks").content.decode()
    assert "in use by 1 router" in shown
    assert "The host has no bridge" not in shown
    ExternalNetwork.objects.filter(id=lab.id).update(bridge="br7")
    assert "The host has no bridge br7 now, so nothing passes." in client.get("/admin/external-networks").content.decode()
    client.post(f"/admin/external-networks/{lab.id}/delete")
    assert not ExternalNetwork.objects.filter(id=lab.id).exists()
