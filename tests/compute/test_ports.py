"""Ports as a noun, rules in full, address groups and names, through the verbs."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from cloudbox.common.errors import AlreadyExists, Conflict, Forbidden, Invalid, NotFound, QuotaExceeded
from compute import address_groups, desired, dns, host, instances, ports, reconcilers, security_groups
from compute.drivers.specs import PairSpec, PortSpec
from compute.models import Port, SecurityGroupRule
from identity import quotas
from tests.world import World, work


def reserve(world: World, who: str = "member", **fields: object) -> Port:
    return ports.reserve(world.ctx(who), network_id=world.network.id, **fields)  # type: ignore[arg-type]


def spec_of(port_id: UUID) -> PortSpec:
    return next(port for port in desired.fabric().ports if port.id == port_id)


def test_a_reserved_port_outlives_its_instance(world: World) -> None:
    """Its address is there before the instance, goes to it as its first card, and waits for the next one; the quota follows."""
    ctx = world.ctx("member")
    port = reserve(world, ip="10.20.0.77", name="database", dns_name="db")
    assert desired.fabric().ports == ()
    instance = world.running(port_ids=(port.id,))
    assert [(each.ip, each.index) for each in ports.list(ctx, instance_id=instance.id)] == [("10.20.0.77", 0)]
    assert spec_of(port.id).hostname == "db"
    with pytest.raises(Conflict, match="is web's"):
        world.launch(name="second", port_ids=(port.id,))
    with pytest.raises(Conflict, match="a card of web"):
        ports.delete(ctx, port.id)
    instances.delete(ctx, instance.id)
    work()
    assert ports.get(ctx, port.id).instance is None
    assert quotas.recount() == []
    both = world.running(name="both", port_ids=(port.id,), network_ids=(world.network.id,))
    assert [each.ip for each in ports.list(ctx, instance_id=both.id)] == ["10.20.0.77", "10.20.0.10"]
    instances.delete(ctx, both.id)
    work()
    ports.delete(ctx, port.id)
    assert list(ports.list(ctx)) == []
    assert quotas.recount() == []


def test_several_cannot_share_a_port(world: World) -> None:
    port = reserve(world)
    with pytest.raises(Invalid, match="cannot share one port"):
        world.launch(count=2, port_ids=(port.id,))
    with pytest.raises(NotFound):
        ports.get(world.ctx("stranger", world.other), port.id)


REFUSED = [
    ({"ip": "10.20.0.1"}, Conflict, "is the gateway"),
    ({"ip": "10.20.0.0"}, Invalid, "is not an address of private"),
    ({"ip": "10.20.0.255"}, Invalid, "is not an address of private"),
    ({"ip": "10.21.0.5"}, Invalid, "is not an address of private"),
    ({"ip": "fd00::1"}, Invalid, "not an IPv4 address"),
    ({"ip": "10.20.0.9"}, AlreadyExists, "Another port of private has"),
    ({"mac": "52:54:00"}, Invalid, "not a MAC"),
    ({"mac": "53:54:00:00:00:01"}, Invalid, "no card's own address"),
    ({"mac": "52:54:00:00:00:09"}, AlreadyExists, "Another card has the MAC"),
    ({"rate_in_kbps": 3}, Invalid, "A cap is"),
    ({"allowed_pairs": [{"ip": "x"}]}, Invalid, "not an address or a range"),
    ({"allowed_pairs": [{"ip": "10.0.0.1", "mac": "zz"}]}, Invalid, "not a MAC"),
    ({"allowed_pairs": [{"ip": f"10.0.0.{n}"} for n in range(11)]}, Invalid, "at most 10"),
    ({"dns_name": "-x"}, Invalid, "DNS name"),
    ({"security_group_ids": [uuid4()]}, NotFound, "no security group"),
    ({"port_security": False}, Forbidden, ""),
]


@pytest.mark.parametrize(("fields", "error", "sentence"), REFUSED, ids=[f"{n}" for n in range(len(REFUSED))])
def test_refused_ports(world: World, fields: dict[str, object], error: type[Exception], sentence: str) -> None:
    """Each is refused in a sentence, and nothing is charged."""
    reserve(world, ip="10.20.0.9", mac="52:54:00:00:00:09")
    with pytest.raises(error, match=sentence):
        reserve(world, "member", **fields)
    assert Port.objects.count() == 1
    assert quotas.recount() == []


def test_the_quota_of_ports(world: World) -> None:
    quotas.set_limits(world.box(), world.project, {"ports": 1})
    reserve(world)
    with pytest.raises(QuotaExceeded):
        reserve(world)


def test_changes_reach_the_fabric(world: World) -> None:
    """Caps, pairs and port security of a running card are in the spec after one round; only an admin of the project unguards."""
    instance = world.running()
    port = ports.list(world.ctx("member"), instance_id=instance.id)[0]
    changed = ports.update(
        world.ctx("member"), port.id, rate_in_kbps=5000, rate_out_kbps=1000, allowed_pairs=[{"ip": "10.20.0.100/32"}, {"ip": "10.9.0.0/16"}]
    )
    assert changed.allowed_pairs == [{"ip": "10.20.0.100", "mac": ""}, {"ip": "10.9.0.0/16", "mac": ""}]
    reconcilers.networks()
    spec = next(each for each in host.fabric().spec.ports if each.id == port.id)  # type: ignore[attr-defined]
    assert (spec.rate_in_kbps, spec.rate_out_kbps, spec.rules is None) == (5000, 1000, False)
    assert spec.pairs == (PairSpec(ip="10.20.0.100"), PairSpec(ip="10.9.0.0/16"))
    with pytest.raises(Forbidden):
        ports.update(world.ctx("member"), port.id, port_security=False)
    assert ports.update(world.ctx("member"), port.id, port_security=True, rate_in_kbps=None).rate_in_kbps is None
    ports.update(world.ctx("owner"), port.id, port_security=False)
    assert spec_of(port.id).rules is None
    with pytest.raises(Forbidden):
        ports.update(world.ctx("member"), port.id, port_security=True)


RULES = [
    ({"protocol": "6", "port_min": 22}, "TCP 22 in from anywhere"),
    ({"protocol": "SCTP", "port_min": 1, "port_max": 9}, "SCTP 1-9 in from anywhere"),
    ({"protocol": "47"}, "GRE in from anywhere"),
    ({"protocol": "200", "ethertype": "IPv6"}, "protocol 200 in from anywhere over IPv6"),
    ({"protocol": "icmp", "port_min": 8, "port_max": 0}, "ICMP 8 code 0 in from anywhere"),
    ({"protocol": "ipv6-icmp", "port_min": 128}, "ICMPv6 128 in from anywhere"),
    ({"remote_cidr": "2001:db8::1/32"}, "Everything in from 2001:db8::/32"),
]


@pytest.mark.parametrize(("fields", "sentence"), RULES, ids=[text for _, text in RULES])
def test_rules_as_people_say_them(world: World, fields: dict[str, object], sentence: str) -> None:
    group = security_groups.create(world.ctx("member"), name="g")
    rule = security_groups.add_rule(world.ctx("member"), group.id, direction="ingress", **fields)  # type: ignore[arg-type]
    assert security_groups.sentence(rule) == sentence


def test_address_groups(world: World) -> None:
    """A rule follows its address group, which stays as long as it is named; a stranger's is not there."""
    ctx = world.ctx("member")
    offices = address_groups.create(ctx, name="offices", cidrs=["203.0.113.7/24", "2001:db8::/32", "203.0.113.0/24"])
    assert offices.cidrs == ["203.0.113.0/24", "2001:db8::/32"]
    group = security_groups.create(ctx, name="web")
    rule = security_groups.add_rule(ctx, group.id, direction="ingress", protocol="tcp", port_min=22, remote_address_group_id=offices.id)
    assert security_groups.sentence(rule) == "TCP 22 in from addresses offices"
    with pytest.raises(AlreadyExists):
        security_groups.add_rule(ctx, group.id, direction="ingress", protocol="tcp", port_min=22, remote_address_group_id=offices.id)
    port = ports.list(ctx, instance_id=world.running(security_group_ids=(group.id,)).id)[0]
    assert [each.remote_ips for each in spec_of(port.id).rules or () if each.id == rule.id] == [("203.0.113.0/24", "2001:db8::/32")]
    address_groups.update(ctx, offices.id, cidrs=["198.51.100.4"])
    assert [each.remote_ips for each in spec_of(port.id).rules or () if each.id == rule.id] == [("198.51.100.4/32",)]
    with pytest.raises(Conflict, match="the security group web names offices"):
        address_groups.delete(ctx, offices.id)
    with pytest.raises(NotFound):
        address_groups.get(world.ctx("stranger", world.other), offices.id)
    with pytest.raises(Invalid, match="not an address"):
        address_groups.create(ctx, name="bad", cidrs=["1.2.3"])
    security_groups.remove_rule(ctx, group.id, rule.id)
    address_groups.delete(ctx, offices.id)


def test_hits(world: World) -> None:
    """What the fabric counted is added to the rules, once; a rule that is gone meanwhile is nobody's."""
    rule = SecurityGroupRule.objects.filter(group__project=world.project).first()
    assert rule is not None
    for _ in range(2):
        host.fabric().hits = {rule.id: 3, uuid4(): 5}  # type: ignore[attr-defined]
        reconcilers.hits()
        reconcilers.hits()
    rule.refresh_from_db()
    assert rule.hits == 6
    assert rule.hit_at is not None


def test_names(world: World) -> None:
    """The domain follows the network's name until it has one of its own; of two ports of one name the lower address has it."""
    ctx = world.ctx("member")
    one, two = world.running(name="one", hostname="db"), world.running(name="two", hostname="db")
    first, second = dns.records(ctx, world.network)
    assert (first.full_name, first.reverse) == ("db.private.internal", "10.0.20.10.in-addr.arpa")
    assert (second.full_name, second.why_not) == ("", f"{first.port.ip} is called db already. Give one of them a name of its own.")
    assert {first.port.instance_id, second.port.instance_id} == {one.id, two.id}
    ports.update(ctx, second.port.id, dns_name="Replica")
    network = dns.set_domain(ctx, world.network.id, "Lab.Example.org.")
    assert [each.full_name for each in dns.records(ctx, network)] == ["db.lab.example.org", "replica.lab.example.org"]
    assert desired.fabric().networks[0].dns_domain == "lab.example.org"
    assert dns.set_domain(ctx, network.id, "").dns_domain == ""
    with pytest.raises(NotFound):
        dns.set_domain(world.ctx("stranger", world.other), network.id, "x.org")


@pytest.mark.parametrize("domain", ["x..org", "-x.org", "a b", "10.in-addr.arpa", "foo.local", "1.2.3.4", "x" * 64 + ".org", "x.org\ny"])
def test_refused_domains(world: World, domain: str) -> None:
    with pytest.raises(Invalid):
        dns.set_domain(world.ctx("member"), world.network.id, domain)


def test_members_share_one_tuple(world: World) -> None:
    """Ports in the same groups have the very same rules, so the firewall makes one chain of them."""
    world.running(count=1)
    world.running(name="second")
    one, two = desired.fabric().ports
    assert one.rules is two.rules
    assert len(ports.list(world.ctx("member"), network_id=world.network.id)) == 2
