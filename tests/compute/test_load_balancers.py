"""Load balancers, through the verbs: what they may lead to, what the machine is told, and what comes back from it."""

from __future__ import annotations

from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from cloudbox.common.errors import AlreadyExists, Conflict, Forbidden, Invalid, NotFound, QuotaExceeded
from compute import desired, desired_balancers, floating_ips, host, instances, load_balancers, networks, ports
from compute.models import Instance, Listener, LoadBalancer, Pool, PoolMember, Port
from identity import quotas
from tests.certificates import certificate, pem
from tests.world import World, work


def card(instance: Instance) -> Port:
    return instance.ports.get()


def front(world: World, *instances: Instance, **more: object) -> LoadBalancer:
    fields = {"name": "front", "network_id": world.network.id, "protocol": "http", "number": 80, "member_number": 8080} | more
    return load_balancers.launch(world.ctx("member"), port_ids=[card(each).id for each in instances], **fields)  # type: ignore[arg-type]


def test_a_whole_one_at_once(world: World) -> None:
    """Address, pool, members and listener, or nothing; the machine is told, what it tells is written down, and it goes without a rest."""
    ctx, one, two = world.ctx("member"), world.running(name="one"), world.running(name="two")
    with pytest.raises(NotFound):
        load_balancers.launch(
            ctx, name="front", network_id=world.network.id, protocol="http", number=80, member_number=8080, port_ids=[uuid4()]
        )
    assert not LoadBalancer.objects.exists()
    row = front(world, one, two, check_path="/health", algorithm="least-connections")
    desired.apply_fabric()
    (told,) = host.fabric().spec.balancers  # type: ignore[attr-defined]
    assert (str(told.address), told.network_id) == (row.port.ip, world.network.id)
    (listener,), (pool,) = told.listeners, told.pools
    assert (listener.port, listener.http, listener.pool_id) == (80, True, pool.id)
    assert (pool.algorithm, pool.check_path) == ("least-connections", "/health")
    assert {(str(each.address), each.port) for each in pool.members} == {(card(one).ip, 8080), (card(two).ip, 8080)}
    # Members let the group's own in: so the balancer is one of the group.
    group = card(one).security_groups.get()
    spec = next(each for each in desired.fabric().ports if each.id == card(one).id)
    assert any(row.port.ip in (rule.remote_ips or ()) for rule in spec.rules or ()), group.name
    host.fabric().down.add(pool.members[1].id)  # type: ignore[attr-defined]
    desired_balancers.observe()
    states = {each.id: (each.status, each.detail) for each in PoolMember.objects.all()}
    assert states == {pool.members[0].id: ("up", ""), pool.members[1].id: ("down", "takes no connection")}
    assert load_balancers.get(ctx, row.id).seen_at is not None
    instances.delete(ctx, two.id)
    work()
    assert [member.port.instance.name for member in PoolMember.objects.all()] == ["one"]
    assert quotas.recount() == []
    load_balancers.delete(ctx, row.id)
    assert quotas.recount() == []
    for model in (LoadBalancer, Pool, Listener, PoolMember):
        assert not model.objects.exists()
    assert not Port.objects.filter(ip=row.port.ip, network=world.network).exists()
    desired.apply_fabric()
    assert host.fabric().spec.balancers == ()  # type: ignore[attr-defined]


def test_a_process_that_does_not_answer_is_made_again(world: World) -> None:
    """Nothing is heard of it: the networks are made to match at once, and nothing is written down."""
    row = front(world, world.running())
    host.fabric().apply(desired.fabric())
    host.fabric().spec = type(host.fabric().spec)()  # type: ignore[attr-defined]
    desired_balancers.observe()
    assert load_balancers.get(world.ctx("member"), row.id).seen_at is None


def test_what_may_answer(world: World) -> None:
    """Cards on its network or on one of the same router; not those of strangers, of networks out of reach, or its own address."""
    ctx, one = world.ctx("member"), world.running(name="one")
    row = front(world, one)
    (pool,) = row.pools.all()
    near = networks.create(ctx, name="near")
    far = networks.create(ctx, name="far", nat=False)
    reachable, unreachable = world.running(name="near", network_ids=(near.id,)), world.running(name="far", network_ids=(far.id,))
    load_balancers.add_member(ctx, row.id, pool.id, port_id=card(reachable).id, number=8080)
    for port_id in (card(unreachable).id, row.port_id, uuid4()):
        with pytest.raises(NotFound):
            load_balancers.add_member(ctx, row.id, pool.id, port_id=port_id, number=8080)
    with pytest.raises(AlreadyExists):
        load_balancers.add_member(ctx, row.id, pool.id, port_id=card(reachable).id, number=8080)
    for number in (0, 65536, 53):
        with pytest.raises(Invalid):
            load_balancers.add_member(ctx, row.id, pool.id, port_id=card(one).id, number=number)
        with pytest.raises(Invalid):
            load_balancers.add_listener(ctx, row.id, protocol="http", number=number, pool_id=pool.id)
    member = pool.members.first()
    assert member is not None
    load_balancers.update_member(ctx, row.id, pool.id, member.id, {"is_enabled": False, "weight": 7})
    spec = next(each for each in desired.fabric().balancers[0].pools[0].members if each.id == member.id)
    assert (spec.enabled, spec.weight) == (False, 7)


def test_settings_are_checked(world: World) -> None:
    """Protocols fit, paths are paths and hold no words of HAProxy's, numbers lie within their limits, names are free."""
    ctx = world.ctx("member")
    row = front(world)
    (web,) = row.pools.all()
    raw = load_balancers.create_pool(ctx, row.id, name="raw", protocol="tcp")
    with pytest.raises(Conflict, match="needs another"):
        load_balancers.add_listener(ctx, row.id, protocol="http", number=81, pool_id=raw.id)
    with pytest.raises(Conflict, match="needs another"):
        load_balancers.add_listener(ctx, row.id, protocol="tcp", number=81, pool_id=web.id)
    with pytest.raises(AlreadyExists):
        load_balancers.add_listener(ctx, row.id, protocol="http", number=80, pool_id=web.id)
    for path in ("health", "/a b", "/a\nuser root", "/a#b", '/"', "/a\\", "/" + "a" * 255):
        with pytest.raises(Invalid):
            load_balancers.update_pool(ctx, row.id, web.id, {"check_path": path})
    for wrong in ({"check_seconds": 0}, {"check_falls": 11}, {"timeout_seconds": 86401}, {"algorithm": "random"}):
        with pytest.raises(Invalid):
            load_balancers.update_pool(ctx, row.id, web.id, wrong)
    for wrong in ({"is_sticky": True}, {"check_path": "/"}):
        with pytest.raises(Invalid):
            load_balancers.update_pool(ctx, row.id, raw.id, wrong)
    with pytest.raises(AlreadyExists):
        load_balancers.create_pool(ctx, row.id, name="RAW")
    with pytest.raises(Conflict, match="leads to members"):
        load_balancers.delete_pool(ctx, row.id, web.id)
    load_balancers.delete_pool(ctx, row.id, raw.id)
    with pytest.raises(AlreadyExists):
        load_balancers.create(ctx, name="Front", network_id=world.network.id)
    quotas.set_limits(world.box(), world.project, {"load_balancers": 1})
    with pytest.raises(QuotaExceeded):
        load_balancers.create(ctx, name="second", network_id=world.network.id)


def test_certificates(world: World) -> None:
    """HTTPS takes a certificate with its own key, neither locked nor expired; the key lies sealed and is told to the worker only."""
    ctx = world.ctx("member")
    row = front(world)
    (pool,) = row.pools.all()
    key, other = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    good = {"certificate": certificate(key), "private_key": pem(key)}
    for wrong, words in (
        ({}, "needs a certificate"),
        (good | {"private_key": pem(other)}, "not that of the certificate"),
        (good | {"private_key": pem(key, password=b"x")}, "passphrase"),
        (good | {"private_key": "nonsense"}, "no private key"),
        (good | {"certificate": "nonsense"}, "no certificate"),
        (good | {"certificate": certificate(key, days=-1)}, "expired"),
    ):
        with pytest.raises(Invalid, match=words):
            load_balancers.add_listener(ctx, row.id, protocol="https", number=443, pool_id=pool.id, **wrong)
    with pytest.raises(Invalid, match="Only HTTPS"):
        load_balancers.add_listener(ctx, row.id, protocol="http", number=81, pool_id=pool.id, **good)
    listener = load_balancers.add_listener(ctx, row.id, protocol="https", number=443, pool_id=pool.id, **good)
    listener.refresh_from_db()
    assert listener.certificate_names == ["www.example.org"]
    assert "PRIVATE" not in listener.sealed_key + listener.certificate
    told = next(each for each in desired.fabric().balancers[0].listeners if each.port == 443)
    assert told.pem == certificate_of(good)
    assert "PRIVATE" not in repr(told)


def certificate_of(good: dict[str, str]) -> str:
    return good["certificate"] + good["private_key"]


def test_its_address(world: World) -> None:
    """It is the balancer's: no instance gets it, nobody deletes it apart; a floating IP leads to it from outside."""
    ctx = world.ctx("member")
    row = front(world)
    with pytest.raises(Conflict, match="load balancer front"):
        ports.delete(ctx, row.port_id)
    with pytest.raises(Conflict, match="load balancer front"):
        world.launch(port_ids=(row.port_id,))
    address = floating_ips.allocate(ctx)
    floating_ips.associate(ctx, address.id, port_id=row.port_id)
    (router,) = desired.fabric().routers
    assert [(str(outer), str(inner)) for outer, inner in router.floating] == [(address.address, row.port.ip)]
    load_balancers.delete(ctx, row.id)
    assert floating_ips.get(ctx, address.id).port is None


def test_who_may(world: World) -> None:
    row = front(world)
    assert load_balancers.get(world.ctx("reader"), row.id) == row
    for act in (lambda ctx: load_balancers.delete(ctx, row.id), lambda ctx: load_balancers.create_pool(ctx, row.id, name="x")):
        with pytest.raises(Forbidden):
            act(world.ctx("reader"))
        with pytest.raises(NotFound):
            act(world.ctx("stranger", world.other))
