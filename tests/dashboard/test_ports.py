"""Ports, address groups, names, topology and the tracer in the portal."""

from __future__ import annotations

from collections.abc import Callable

from django.test import Client

from compute import address_groups, floating_ips, load_balancers, networks, ports, security_groups
from tests.world import World

Browse = Callable[..., Client]


def test_a_port_s_life(browse: Browse, world: World) -> None:
    client = browse("owner")
    form = {"network_id": str(world.network.id), "ip": "10.20.0.1", "name": "db", "dns_name": "", "mac": "", "description": ""}
    refused = client.post("/p/shop/ports/new", form)
    assert refused.status_code == 409
    assert "is the gateway" in refused.content.decode()
    at = client.post("/p/shop/ports/new", form | {"ip": "10.20.0.60"})["Location"]
    settings = {
        "name": "database", "dns_name": "db", "rate_in": "12.5", "rate_out": "", "pairs": "10.20.0.61\n10.9.0.0/16 52:54:00:aa:bb:cc",
        "security": "off", "description": "",
    }  # fmt: skip
    assert client.post(at, settings | {"rate_in": "fast"}).status_code == 400
    assert client.post(at, settings)["Location"] == at
    row = ports.list(world.ctx("owner")).get()
    assert (row.name, row.rate_in_kbps, row.port_security) == ("database", 12500, False)
    assert row.allowed_pairs == [{"ip": "10.20.0.61", "mac": ""}, {"ip": "10.9.0.0/16", "mac": "52:54:00:aa:bb:cc"}]
    group = security_groups.create(world.ctx("owner"), name="web")
    client.post(f"{at}/groups", {"groups": "1", "group": [str(group.id)]})
    client.post(f"{at}/groups", {"nothing": "1"})
    assert [each.name for each in ports.get(world.ctx("owner"), row.id).security_groups.all()] == ["web"]
    shown = client.get(at).content.decode()
    assert "12.5" in shown
    assert "unguarded" in client.get("/p/shop/ports").content.decode()
    assert browse("stranger").get(at).status_code == 404
    assert client.post(f"{at}/delete")["Location"] == "/p/shop/ports"


def test_a_member_saves_all_but_port_security(browse: Browse, world: World) -> None:
    row = ports.reserve(world.ctx("member"), network_id=world.network.id)
    client, at = browse("member"), f"/p/shop/ports/{row.id}"
    assert client.post(at, {"name": "mine", "security": "on"})["Location"] == at
    assert client.post(at, {"name": "mine", "security": "off"}).status_code == 403
    assert ports.get(world.ctx("member"), row.id).name == "mine"


def test_rules_in_full(browse: Browse, world: World) -> None:
    """ICMP with type and code, another protocol, one family, an address group: as the form gives them."""
    ctx, client = world.ctx("member"), browse("member")
    offices = address_groups.create(ctx, name="offices", cidrs=["203.0.113.0/24"])
    group = security_groups.create(ctx, name="web")
    base = {
        "direction": "ingress", "protocol": "tcp", "other_protocol": "", "ethertype": "", "port_min": "", "port_max": "", "icmp_type": "",
        "icmp_code": "", "remote": "any", "remote_cidr": "", "remote_group_id": "", "remote_address_group_id": "", "description": "",
    }  # fmt: skip
    for more in (
        {"protocol": "icmp", "icmp_type": "8"},
        {"protocol": "icmpv6", "icmp_type": "128", "icmp_code": "0"},
        {"protocol": "other", "other_protocol": "esp", "ethertype": "IPv6"},
        {"protocol": "tcp", "port_min": "22", "remote": "addresses", "remote_address_group_id": str(offices.id)},
        {"protocol": "any", "remote": "cidr", "remote_cidr": "2001:db8::/32"},
    ):
        answer = client.post(f"/p/shop/security-groups/{group.id}", base | more)
        assert answer.status_code == 302, (more, answer.content[:2000])
    assert client.post(f"/p/shop/security-groups/{group.id}", base | {"protocol": "other"}).status_code == 400
    told = {security_groups.sentence(rule) for rule in security_groups.get(ctx, group.id).rules.all()}
    assert told == {
        "Everything out to anywhere", "ICMP 8 in from anywhere over IPv4", "ICMPv6 128 code 0 in from anywhere",
        "ESP in from anywhere over IPv6", "TCP 22 in from addresses offices", "Everything in from 2001:db8::/32",
    }  # fmt: skip
    shown = client.get(f"/p/shop/security-groups/{group.id}").content.decode()
    assert "Passed" in shown
    assert f"/p/shop/address-groups/{offices.id}" in shown


def test_reachability_leads_to_the_rule(browse: Browse, world: World) -> None:
    """Blocked, with a link to the group's form, filled in; the same question after the rule is added arrives."""
    client = browse("member")
    shut = security_groups.create(world.ctx("member"), name="shut")
    web, db = world.running(), world.running(name="db", security_group_ids=(shut.id,))
    question = f"/p/shop/reachability?from_instance_id={web.id}&to_instance_id={db.id}&protocol=tcp&port=5432"
    shown = client.get(question).content.decode()
    assert "It is blocked" in shown
    link = f"/p/shop/security-groups/{shut.id}?direction=ingress&amp;protocol=tcp&amp;port_min=5432&amp;remote=cidr&amp;remote_cidr="
    assert link in shown
    assert (
        'value="5432"' in client.get(shown.split(f'href="{link}')[1].join([link.replace("&amp;", "&"), ""]).split("#")[0]).content.decode()
    )
    ctx = world.ctx("member")
    security_groups.add_rule(ctx, shut.id, direction="ingress", protocol="tcp", port_min=5432)
    assert "It arrives" in client.get(question).content.decode()
    assert client.get("/p/shop/reachability?to_address=nowhere&port=1").status_code == 400


def test_the_topology(browse: Browse, world: World) -> None:
    """Every instance, network and router is in the picture and in the table, and leads to its page."""
    web = world.running()
    world.launch(name="x" * 50)
    ports.reserve(world.ctx("member"), network_id=world.network.id, name="kept")
    shown = browse("reader").get("/p/shop/topology").content.decode()
    picture, _, table = shown.partition('class="to-svg"')[2].partition("</svg>")
    for each in (f'/p/shop/instances/{web.id}"', f'/p/shop/networks/{world.network.id}"', "kept"):
        assert each in picture
        assert each in table
    assert "x" * 27 + "…" in picture
    empty = browse("stranger").get("/p/elsewhere/topology").content.decode()
    assert "No networks" in empty


def test_address_groups_and_names(browse: Browse, world: World) -> None:
    client = browse("member")
    assert client.post("/p/shop/address-groups/new", {"name": "offices", "cidrs": "1.2.3", "description": ""}).status_code == 400
    client.post("/p/shop/address-groups/new", {"name": "offices", "cidrs": "203.0.113.0/24\n2001:db8::/32", "description": ""})
    group = address_groups.list(world.ctx("member")).get()
    at = f"/p/shop/address-groups/{group.id}"
    assert client.post(at, {"name": "offices", "cidrs": "198.51.100.0/24", "description": ""})["Location"] == at
    assert address_groups.list(world.ctx("member")).get().cidrs == ["198.51.100.0/24"]
    client.post(f"{at}/delete")
    assert not address_groups.list(world.ctx("member"))
    names = f"/p/shop/networks/{world.network.id}/names"
    assert client.post(names, {"dns_domain": "a b"}).status_code == 400
    assert client.post(names, {"dns_domain": "lab.example.org"})["Location"] == names
    web = world.running()
    assert "web.lab.example.org" in client.get(names).content.decode()
    assert f'href="{names}"' in client.get(f"/p/shop/networks/{world.network.id}").content.decode()
    port = f'href="/p/shop/ports/{web.ports.get().id}"'
    assert port in client.get(f"/p/shop/instances/{web.id}/networking").content.decode()


def test_ipv6_in_the_portal(browse: Browse, world: World) -> None:
    """Switched on in the form of a network, and shown wherever its cards are; switched off again."""
    ctx, client = world.ctx("owner"), browse("owner")
    form = {"name": "six", "nat": "on", "dhcp": "on", "mtu": "1500", "ipv6_mode": "slaac", "ipv6_cidr": "fd00:5::/64"}
    assert client.post("/p/shop/networks/new", form | {"ipv6_cidr": "fd00:5::/48"}).status_code == 400
    at = client.post("/p/shop/networks/new", form)["Location"]
    network = networks.list(ctx).get(name="six")
    instance = world.running(network_ids=(network.id,))
    port = ports.list(ctx, instance_id=instance.id).get()
    floating = floating_ips.allocate(ctx)
    floating_ips.associate(ctx, floating.id, port_id=port.id)
    assert port.ip6.startswith("fd00:5::5054:")
    pages = (at, f"{at}/names", "/p/shop/ports", f"/p/shop/ports/{port.id}", f"/p/shop/instances/{instance.id}/networking")
    for page in (*pages, f"/p/shop/instances/{instance.id}", "/p/shop/topology"):
        assert port.ip6 in client.get(page).content.decode(), page
    for page in (*pages[3:], f"/p/shop/instances/{instance.id}"):
        assert floating.address in client.get(page).content.decode(), page
    assert "fd00:5::/64" in client.get("/p/shop/instances/new").content.decode()
    change = {"name": "six", "dhcp": "on", "mtu": "1500", "ipv6_mode": "", "ipv6_cidr": "fd00:5::/64"}
    assert client.post(at, change)["Location"] == at
    assert networks.get(ctx, network.id).ipv6_cidr == ""


def test_the_address_of_a_load_balancer(browse: Browse, world: World) -> None:
    """The pages of ports call it what it is, and its deletion is refused with the reason; the dialog of floating IPs names it."""
    ctx, client = world.ctx("owner"), browse("owner")
    row = load_balancers.create(ctx, name="front", network_id=world.network.id)
    floating = floating_ips.allocate(ctx)
    assert "load balancer" in client.get("/p/shop/ports").content.decode()
    shown = client.get(f"/p/shop/ports/{row.port_id}").content.decode()
    assert 'aria-disabled="true" title="' in shown
    assert "is the address of the load balancer front, and goes with it." in shown
    assert f"lb-front, {row.port.ip}" in client.get(f"/p/shop/floating-ips/{floating.id}").content.decode()
