"""IPv6 of networks through the verbs: ranges, addresses, what the driver is told, names, and the tracer."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network

import pytest

from cloudbox.common.errors import Conflict, Invalid
from compute import addresses, desired, dns, load_balancers, networks, ports, routers, security_groups, trace
from compute.drivers.fabric import firewall, names
from compute.drivers.specs import Ipv6Mode
from compute.models import Network, Port
from tests.world import World


def test_ranges(world: World) -> None:
    """A project's own ranges lie in one /48 that no other project has, one after the other; a range of one's own is taken as it is, and
    switched off it is free again."""
    ctx = world.ctx("member")
    made = [networks.create(ctx, name=f"n{n}", ipv6_mode="slaac") for n in range(3)]
    ranges = [IPv6Network(each.ipv6_cidr) for each in made]
    site = ranges[0].supernet(new_prefix=48)
    assert [each.network_address.packed[6:8] for each in ranges] == [b"\0\1", b"\0\2", b"\0\3"]
    assert all(each.subnet_of(site) and each.is_private for each in ranges)
    elsewhere = networks.create(world.ctx("stranger", world.other), name="n", ipv6_mode="dhcp-stateful")
    assert not IPv6Network(elsewhere.ipv6_cidr).overlaps(site)
    assert made[0].ipv6_gateway_ip == str(ranges[0][1])
    own = networks.create(ctx, name="own", ipv6_cidr="2001:db8:0:7::/64")
    assert (own.ipv6_mode, own.ipv6_cidr) == ("slaac", "2001:db8:0:7::/64")
    off = networks.update(ctx, made[0].id, {"ipv6_mode": ""})
    assert (off.ipv6_mode, off.ipv6_cidr, off.ipv6_gateway_ip) == ("", "", "")
    assert networks.update(ctx, own.id, {"ipv6_mode": "dhcp-stateless"}).ipv6_cidr == "2001:db8:0:7::/64"
    assert networks.update(ctx, own.id, {"ipv6_cidr": ""}).ipv6_cidr == str(ranges[0])


@pytest.mark.parametrize(
    ("cidr", "mode", "what"),
    [
        ("10.0.0.0/24", "slaac", "not an IPv6 range"), ("fd00::/48", "slaac", "is a /64"), ("fd00::1/64", "slaac", "not an IPv6 range"),
        ("fe80::/64", "slaac", "something else"), ("ff00::/64", "slaac", "something else"), ("::/64", "", "something else"),
        (str(names.TRANSIT_RANGE6), "slaac", "The box uses"), ("fd63:6c6f:7565::/64", "slaac", "The box uses"),
        ("", "magic", "mode is one of"),
    ],
)  # fmt: skip
def test_refused(world: World, cidr: str, mode: str, what: str) -> None:
    with pytest.raises(Invalid, match=what):
        networks.create(world.ctx("member"), name="n", ipv6_cidr=cidr, ipv6_mode=mode)


def test_the_box_keeps_its_own_ranges() -> None:
    """What networks may not have covers what the fabric and the way out use."""
    from compute.drivers import box_namespace

    assert all(each.subnet_of(addresses.OURS6) for each in (names.OWN_RANGE6, names.TRANSIT_RANGE6, box_namespace.UPLINK_RANGE6))


def test_what_does_not_go_together(world: World) -> None:
    """Too small an MTU; two networks of one range on a router, however that would come about."""
    ctx = world.ctx("member")
    with pytest.raises(Invalid, match="1280"):
        networks.create(ctx, name="n", mtu=1000, ipv6_mode="slaac")
    first = networks.create(ctx, name="first", ipv6_cidr="fd00:1::/64")
    with pytest.raises(Invalid, match="1280"):
        networks.update(ctx, first.id, {"mtu": 1279})
    assert first.router is not None
    second = networks.create(ctx, name="second", ipv6_cidr="fd00:1::/64", nat=False)
    with pytest.raises(Conflict, match="IPv6 range fd00:1::/64 is that of first"):
        routers.attach(ctx, first.router.id, second.id)
    networks.update(ctx, second.id, {"ipv6_cidr": "fd00:2::/64"})
    routers.attach(ctx, first.router.id, second.id)
    with pytest.raises(Conflict, match="overlaps with the IPv6 range of first"):
        networks.update(ctx, second.id, {"ipv6_cidr": "fd00:1::/64"})


def test_addresses(world: World) -> None:
    """Of the MAC where guests make theirs, of the IPv4 address where DHCPv6 gives them out; a load balancer has none. The driver is told
    the same, members of groups included."""
    ctx = world.ctx("member")
    networks.update(ctx, world.network.id, {"ipv6_mode": "slaac"})
    balancer = load_balancers.create(ctx, name="front", network_id=world.network.id)
    port = world.running().ports.get()
    cidr = IPv6Network(Network.objects.get(id=world.network.id).ipv6_cidr)
    own = int(IPv6Address(firewall.link_local(port.mac))) & (2**64 - 1)
    assert IPv6Address(port.ip6) == cidr[own]
    spec = desired.fabric()
    assert next(each for each in spec.ports if each.id == port.id).ip6 == (port.ip6,)
    members = {each for rule in spec.ports[0].rules or () for each in rule.remote_ips or ()}
    assert {port.ip, port.ip6} <= members
    assert Port.objects.get(id=balancer.port_id).ip6 == ""
    net = next(each for each in spec.networks if each.id == world.network.id)
    assert net.ipv6 is not None
    assert (net.ipv6.cidr, net.ipv6.gateway, net.ipv6.mode) == (cidr, cidr[1], Ipv6Mode.SLAAC)
    networks.update(ctx, world.network.id, {"ipv6_mode": "dhcp-stateful"})
    port = Port.objects.get(id=port.id)
    assert IPv6Address(port.ip6).packed[-4:] == bytes(map(int, port.ip.split(".")))
    assert IPv6Address(port.ip6).packed[8:12] == bytes(4)


def test_names(world: World) -> None:
    ctx = world.ctx("member")
    port = world.running().ports.get()
    assert [each.ip6 for each in dns.records(ctx, world.network)] == [""]
    networks.update(ctx, world.network.id, {"ipv6_mode": "slaac"})
    assert [each.ip6 for each in dns.records(ctx, world.network)] == [Port.objects.get(id=port.id).ip6] != [""]


def test_why_can_it_not_be_reached(world: World) -> None:
    """The tracer follows IPv6: the rule that would let it in is of IPv6, and with it, it arrives; without IPv6 it says so; outside it
    leaves hidden, or not at all."""
    ctx = world.ctx("member")
    web = world.running(name="web")
    shut = security_groups.create(ctx, name="shut")
    db = world.running(name="db", security_group_ids=(shut.id,))

    def ask(**question: object) -> trace.Answer:
        return trace.ask(ctx, **({"from_instance_id": web.id, "port": 443} | question))  # type: ignore[arg-type]

    answer = ask(to_address="2001:db8::1")
    assert (answer.verdict, answer.fix.sentence if answer.fix else "") == ("blocked", "Give the network IPv6.")
    networks.update(ctx, world.network.id, {"ipv6_mode": "slaac"})
    mine, theirs = (row.ports.select_related("network").get().ip6 for row in (web, db))
    answer = ask(to_address=theirs)
    assert answer.fix is not None
    assert answer.fix.fields["remote_cidr"] == f"{mine}/128"
    security_groups.add_rule(ctx, shut.id, direction="ingress", protocol="tcp", port_min=443, remote_cidr="0.0.0.0/0")
    assert ask(to_address=theirs).verdict == "blocked"
    security_groups.add_rule(ctx, shut.id, direction="ingress", protocol="tcp", port_min=443, remote_cidr=f"{mine}/128")
    answer = ask(to_address=theirs)
    assert (answer.verdict, answer.sentence.split(". ")[0]) == ("reaches", f"db gets TCP 443 at {theirs}")
    assert ask(from_instance_id=None, from_address=mine, to_address=theirs).verdict == "reaches"
    assert ask(from_instance_id=None, from_address=mine, to_instance_id=db.id).verdict == "reaches"
    security_groups.add_rule(ctx, shut.id, direction="ingress", protocol="icmp", ethertype="IPv6", port_min=128)
    assert ask(to_address=theirs, protocol="icmp", port=None).verdict == "reaches"
    assert ask(to_address="2001:db8::1").verdict == "leaves"
    assert ask(from_instance_id=None, from_address="2001:db8::1", to_instance_id=db.id).verdict == "blocked"
    with pytest.raises(Invalid, match="no packet goes"):
        ask(from_instance_id=None, from_address="2001:db8::1", to_address="10.20.0.10")
    routers.set_gateway(world.ctx("owner"), world.network.router_id, external_id=None)
    assert ask(to_address="2001:db8::1").sentence.startswith("Blocked: 2001:db8::1 lies outside")
    assert ports.list(ctx, q=mine).count() == 0  # found by IPv4 address, MAC and name
