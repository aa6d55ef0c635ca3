"""Networks, ports, security groups and key pairs, through the verbs."""

from __future__ import annotations

from uuid import uuid4

import pytest

from cloudbox.common.errors import AlreadyExists, CloudError, Conflict, Invalid, NotFound, QuotaExceeded
from compute import keypairs, networks, ports, security_groups
from identity import quotas
from tests.world import World, work


def test_addresses(world: World) -> None:
    """Ranges are chosen without overlap within a project, and may overlap between projects; the first free number is used again."""
    ctx = world.ctx("member")
    made = [networks.create(ctx, name=f"n{n}") for n in range(3)]
    assert [world.network.cidr, *(each.cidr for each in made)] == [f"10.{n}.0.0/24" for n in (20, 21, 22, 23)]
    assert made[0].gateway_ip == "10.21.0.1"
    assert networks.create(world.ctx("stranger", world.other), name="n0").cidr == "10.20.0.0/24"
    networks.delete(ctx, made[1].id)
    assert networks.create(ctx, name="again").number == made[1].number


@pytest.mark.parametrize(
    "cidr",
    [
        "8.8.8.0/24",
        "10.0.0.0/8",
        "10.0.0.0/29",
        "10.0.0.1/24",
        "fd00::/64",
        "x",
        "10.0.0.0/24; rm",
        "10.0.0.0/33",
        "172.32.0.0/24",
        "1/2/3",
    ],
)
def test_refused_ranges(world: World, cidr: str) -> None:
    with pytest.raises(Invalid):
        networks.create(world.ctx("member"), name="n", cidr=cidr)


def test_names_and_limits(world: World) -> None:
    ctx = world.ctx("member")
    with pytest.raises(AlreadyExists):
        networks.create(ctx, name="PRIVATE")
    networks.create(ctx, name="second")
    with pytest.raises(AlreadyExists):
        networks.rename(ctx, world.network.id, "second")
    quotas.set_limits(world.box(), world.project, {"networks": 2})
    with pytest.raises(QuotaExceeded):
        networks.create(ctx, name="third")
    assert quotas.recount() == []


def test_a_network_in_use_stays(world: World) -> None:
    instance = world.running()
    with pytest.raises(Conflict, match="1 network card is on private"):
        networks.delete(world.ctx("member"), world.network.id)
    from compute import instances

    instances.delete(world.ctx("member"), instance.id)
    work()
    networks.delete(world.ctx("member"), world.network.id)


def test_a_full_network(world: World) -> None:
    """A /28 has room for eleven cards above the addresses that the house keeps; the twelfth is told so, and not charged."""
    ctx = world.ctx("member")
    small = networks.create(ctx, name="small", cidr="10.99.0.0/28")
    quotas.set_limits(world.box(), world.project, {"instances": None, "vcpus": None, "memory_mib": None, "disk_gib": None})
    world.launch(count=11, network_ids=(small.id,))
    addresses = [port.ip for port in ports.list(ctx, network_id=small.id)]
    assert len(set(addresses)) == 11
    assert small.gateway_ip not in addresses
    with pytest.raises(CloudError, match="no free address"):
        world.launch(name="more", network_ids=(small.id,))
    assert quotas.recount() == []


RULES = [
    ({"direction": "sideways"}, "ingress or egress"),
    ({"direction": "ingress", "protocol": "carrier-pigeon"}, "protocol is one of"),
    ({"direction": "ingress", "protocol": "256"}, "protocol is one of"),
    ({"direction": "ingress", "protocol": "gre", "port_min": 1}, "protocol that has them"),
    ({"direction": "ingress", "ethertype": "IPX"}, "ethertype is"),
    ({"direction": "ingress", "ethertype": "IPv4", "protocol": "icmpv6"}, "ICMPv6 is of IPv6"),
    ({"direction": "ingress", "ethertype": "IPv4", "remote_cidr": "2001:db8::/32"}, "is of IPv6, the rule of IPv4"),
    ({"direction": "ingress", "port_min": 80}, "Ports need a protocol"),
    ({"direction": "ingress", "protocol": "tcp", "port_min": 90, "port_max": 80}, "the lower first"),
    ({"direction": "ingress", "protocol": "tcp", "port_max": 80}, "the lower first"),
    ({"direction": "ingress", "protocol": "tcp", "port_min": 0}, "1 to 65535"),
    ({"direction": "ingress", "protocol": "tcp", "port_min": 70000}, "1 to 65535"),
    ({"direction": "ingress", "protocol": "icmp", "port_min": 256}, "0 to 255"),
    ({"direction": "ingress", "protocol": "icmp", "port_max": 1}, "needs a type"),
    ({"direction": "ingress", "remote_cidr": "1.2.3"}, "not an address"),
    ({"direction": "ingress", "remote_cidr": "::/129"}, "not an address"),
]


@pytest.mark.parametrize(("rule", "sentence"), RULES, ids=[text for _, text in RULES])
def test_refused_rules(world: World, rule: dict[str, object], sentence: str) -> None:
    group = security_groups.create(world.ctx("member"), name="g")
    with pytest.raises(Invalid, match=sentence):
        security_groups.add_rule(world.ctx("member"), group.id, **rule)  # type: ignore[arg-type]


def test_rules(world: World) -> None:
    ctx = world.ctx("member")
    group = security_groups.create(ctx, name="web")
    rule = security_groups.add_rule(ctx, group.id, direction="ingress", protocol="tcp", port_min=443, remote_cidr="203.0.113.7/24")
    assert (rule.port_max, rule.remote_cidr) == (443, "203.0.113.0/24")
    assert security_groups.sentence(rule) == "TCP 443 in from 203.0.113.0/24"
    with pytest.raises(AlreadyExists):
        security_groups.add_rule(
            ctx, group.id, direction="ingress", protocol="tcp", port_min=443, port_max=443, remote_cidr="203.0.113.0/24"
        )
    with pytest.raises(NotFound):
        security_groups.add_rule(ctx, group.id, direction="ingress", remote_group_id=uuid4())
    with pytest.raises(NotFound):
        security_groups.remove_rule(world.ctx("stranger", world.other), group.id, rule.id)
    security_groups.remove_rule(ctx, group.id, rule.id)
    with pytest.raises(NotFound):
        security_groups.remove_rule(ctx, group.id, rule.id)


def test_groups_that_stay(world: World) -> None:
    """The default group, one with cards in it, one that others name."""
    ctx = world.ctx("member")
    default = security_groups.default(ctx)
    with pytest.raises(Conflict, match="default group stays"):
        security_groups.delete(ctx, default.id)
    with pytest.raises(Conflict, match="keeps its name"):
        security_groups.update(ctx, default.id, name="other")
    one, two = security_groups.create(ctx, name="one"), security_groups.create(ctx, name="two")
    security_groups.add_rule(ctx, one.id, direction="ingress", remote_group_id=two.id)
    with pytest.raises(Conflict, match="name two"):
        security_groups.delete(ctx, two.id)
    world.launch(security_group_ids=(one.id,))
    with pytest.raises(Conflict, match="1 network card is in one"):
        security_groups.delete(ctx, one.id)
    port = ports.list(ctx)[0]
    security_groups.set_for_port(ctx, port.id, [default.id])
    security_groups.delete(ctx, one.id)
    security_groups.delete(ctx, two.id)
    with pytest.raises(NotFound):
        security_groups.set_for_port(world.ctx("stranger", world.other), port.id, [])
    assert quotas.recount() == []


PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ9b1yAE7Ae1Wi1pY9H9dIRK0Y5BtVg2YdB8SF2gKXpW me"


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_keys_made_here(world: World, kind: str) -> None:
    """The private half opens with the public one and is kept nowhere."""
    from cryptography.hazmat.primitives.serialization import load_ssh_private_key

    keypair, private = keypairs.create(world.ctx("member"), name="laptop", kind=kind)
    assert load_ssh_private_key(private.encode(), None)
    assert keypair.public_key.endswith(" laptop")
    assert keypair.fingerprint.startswith("SHA256:")
    with pytest.raises(AlreadyExists):
        keypairs.create(world.ctx("member"), name="Laptop")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "ssh-ed25519",
        "ssh-ed25519 AAAA",
        PUBLIC + "\n" + PUBLIC,
        "-----BEGIN OPENSSH PRIVATE KEY-----",
        "ssh-ed25519 " + "A" * 5000,
        PUBLIC + "\x1b[31m",
        "ecdsa-sha2-nistp256 AAAA",
    ],
    ids=range(9),
)
def test_refused_keys(world: World, text: str) -> None:
    with pytest.raises(Invalid):
        keypairs.import_key(world.ctx("member"), name="k", public_key=text)


def test_keys_brought(world: World) -> None:
    keypair = keypairs.import_key(world.ctx("member"), name="k", public_key=f"  {PUBLIC}\n")
    assert (keypair.kind, keypair.public_key) == ("ed25519", PUBLIC)
    with pytest.raises(NotFound):
        keypairs.delete(world.ctx("stranger", world.other), keypair.id)
    keypairs.delete(world.ctx("member"), keypair.id)
    assert quotas.recount() == []
